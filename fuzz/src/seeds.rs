//! Files that the parsers take, to begin the corpus with.

use std::fs;
use std::io::{self, Cursor, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;

use artifacts::{
    Checkpoint, Dataset, EpochMetrics, Fonts, LinearLayer, ModelDescription, Provenance, RemovedCounts, Role, Shard,
    ShardFile, Source, Split, Splits, logits, npy,
};
use files::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgba, RgbaImage};
use ndarray::{Array1, Array2, Array3};
use train::engine::{LossScale, State};
use train::state::Progress;

use crate::targets::Training;

/// Writes them to `folder/TARGET/NAME`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path) -> Result<(), train::Error> {
    checkpoint().write(&folder.join("checkpoint/groups"))?;
    write_state(&folder.join("state/ensemble"))?;
    artifacts::write_json(&folder.join("dataset/small"), &dataset())?;
    let logits = Array2::from_shape_fn((3, 2), |(row, class)| row as f32 - class as f32);
    logits::write(&folder.join("logits/small"), &logits)?;

    let put = |name: &str, bytes: &[u8]| files::write_file(&folder.join(name), |file| file.write_all(bytes));
    let context = |error: io::Error| files::Error::Io { action: "make", path: folder.to_owned(), source: error };
    let images = Array3::from_shape_fn((2, 3, 4), |(n, y, x)| (10 * n + 4 * y + x) as u8);
    let begin_with = |shape: [u8; 3], name: &str| {
        let file = fs::read(folder.join(name)).map_err(context)?;
        put(name, &[&shape[..], &file].concat())
    };
    npy::write(&folder.join("shard/images"), &images)?;
    begin_with([2, 3, 4], "shard/images")?;
    npy::write(&folder.join("shard/labels"), &Array1::from_vec(vec![0_u8, 1, 2, 1, 0]))?;
    begin_with([5, 3, 0], "shard/labels")?;
    let grey = GrayImage::from_fn(5, 4, |x, y| Luma([(40 * x + 9 * y * y) as u8]));
    let colour = RgbaImage::from_fn(5, 4, |x, y| Rgba([(50 * x) as u8, (60 * y) as u8, 7, (255 - 20 * x) as u8]));
    for (name, image) in [
        ("png/grey", DynamicImage::from(grey.clone())),
        ("png/grey-16", DynamicImage::from(grey).into_luma16().into()),
        ("png/colour", DynamicImage::from(colour)),
    ] {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).map_err(|error| context(io::Error::other(error)))?;
        put(name, &bytes.into_inner())?;
    }
    let source = Source::new("letters").with_part(Role::Train, "large.tar.gz", Digest::of(b"large"), 5, 2);
    let source = source.with_part(Role::Test, "small.tar.gz", Digest::of(b"small"), 5, 1);
    artifacts::write_json(&folder.join("source/two-parts"), &source)?;
    put("digest/abc", Digest::of(b"abc").to_string().as_bytes())?;
    let plain = archive().map_err(context)?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&plain).map_err(context)?;
    put("archive/plain.tar", &plain)?;
    put("archive/packed.tar.gz", &packed.finish().map_err(context)?)?;
    Ok(())
}

fn checkpoint() -> Checkpoint {
    let model = ModelDescription {
        classes: vec!["A".into(), "B".into()],
        height: 2,
        width: 2,
        mean: 0.25,
        standard_deviation: 0.5,
        hidden: vec![2, 2],
        groups: NonZeroUsize::new(2).expect("2 is not 0"),
    };
    let layers = vec![
        LinearLayer::full(Array2::zeros((2, 4)), Array1::zeros(2)),
        LinearLayer { weight: Array2::zeros((2, 1)), bias: Array1::zeros(2), groups: model.groups },
        LinearLayer::full(Array2::ones((2, 2)), Array1::ones(2)),
    ];
    Checkpoint { model, provenance: Provenance::new("train", "0").with_seed(1), layers }
}

/// After an epoch of a training that uses all that a state may hold.
fn write_state(path: &Path) -> Result<(), train::Error> {
    let Training { hyperparameters, dataset, model } = Training::default();
    let parameters = |seed| model.kaiming_normal(seed);
    let states: Vec<_> = hyperparameters
        .seeds()
        .map(|seed| State { loss_scale: Some(LossScale::default()), ..State::first(parameters(seed), true) })
        .collect();
    let metrics = EpochMetrics {
        epoch: 1,
        learning_rate: 0.001,
        train_loss: 0.75,
        valid_loss: 0.5,
        valid_accuracy: 0.625,
        averaged_valid_loss: Some(0.25),
        averaged_valid_accuracy: Some(0.75),
    };
    let mut progress = Progress::default();
    progress.goes_on_by(vec![("precision", "f16".to_owned())]);
    progress.add(metrics, &states, &hyperparameters);
    progress.stage(path, &hyperparameters, dataset, &model, &states)?.commit()?;
    Ok(())
}

fn dataset() -> Dataset {
    let file = |path: &str| ShardFile { path: path.to_owned(), sha256: Digest::of(b"") };
    let split = |name: &str| Split {
        images: 3,
        images_by_class: vec![2, 1],
        shards: vec![Shard { rows: 3, images: file(name), labels: file("labels.npy"), names: file("names.txt") }],
    };
    Dataset {
        provenance: Provenance::new("preprocess", "0").with_argument("name", "small"),
        name: "small".into(),
        classes: vec!["A".into(), "B".into()],
        height: 2,
        width: 2,
        mean: 0.25,
        standard_deviation: 0.5,
        splits: Splits { train: split("train/images.npy"), valid: split("v.npy"), test: split("t.npy") },
        fonts: Fonts::default(),
        removed: RemovedCounts::default(),
        removed_list: Digest::of(b""),
        converted: [("rgb, 8-bit".to_owned(), 1)].into(),
        rejected: vec![],
    }
}

/// Plain files, a long name in each of the two forms, and a folder.
fn archive() -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header
    };
    builder.append_data(&mut header(tar::EntryType::Directory, 0), "set/A/", io::empty())?;
    builder.append_data(&mut header(tar::EntryType::Regular, 3), "set/A/1.png", &b"one"[..])?;
    let mut long = tar::Header::new_gnu();
    long.set_size(3);
    builder.append_data(&mut long, format!("set/B/{}.png", "x".repeat(120)), &b"two"[..])?;
    builder.append_pax_extensions([("path", &b"set/B/pax.png"[..])])?;
    builder.append_data(&mut header(tar::EntryType::Regular, 5), "set/B/3.png", &b"three"[..])?;
    builder.into_inner()
}
