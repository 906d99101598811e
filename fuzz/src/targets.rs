use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::LazyLock;

use archive::{Input, Limits};
use artifacts::{Checkpoint, Dataset, Provenance, Role, Source, SplitName, npy};
use clap::Parser;
use files::Digest;
use flate2::Crc;
use image::ImageFormat;
use ndarray::Ix2;
use safetensors::SafeTensors;
use serde_json::Value;
use terminal::Console;
use train::Hyperparameters;
use train::model::Mlp;
use train::state::Progress;

/// A parser, and what it promises.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The folder of its corpus.
    pub name: &'static str,
    /// Gives bytes to the parser, and panics where it breaks its promise; tells whether it took them.
    pub check: fn(&[u8]) -> bool,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "archive", check: archive },
    Target { name: "checkpoint", check: checkpoint },
    Target { name: "dataset", check: dataset },
    Target { name: "digest", check: digest },
    Target { name: "logits", check: logits },
    Target { name: "png", check: png },
    Target { name: "shard", check: shard },
    Target { name: "source", check: source },
    Target { name: "state", check: state },
];

/// What an archive gives lies below the folder, and is no more than the limits allow.
fn archive(bytes: &[u8]) -> bool {
    const LIMITS: Limits = Limits { max_files: 100, max_unpacked_bytes: 1 << 20 };
    let input = Input::Embedded("archive".to_owned(), Cow::Owned(bytes.to_vec()));
    let (mut files, mut unpacked) = (0, 0);
    let mut contents = Vec::new();
    let progress = Console::silent().progress_bytes(0);
    let read = archive::read(input, LIMITS, &std::env::temp_dir(), &progress, |file| {
        let path = Path::new(file.path());
        assert!(path.components().all(|component| matches!(component, Component::Normal(_))), "{path:?}");
        assert!(!file.path().chars().any(char::is_control), "{path:?}");
        contents.clear();
        unpacked += file.read(u64::MAX, &mut contents)?;
        files += 1;
        Ok::<_, archive::Error>(())
    });
    assert!(files <= LIMITS.max_files && unpacked as u64 <= LIMITS.max_unpacked_bytes);
    read.is_ok_and(|contents| {
        assert_eq!((contents.files, contents.digest), (files, Digest::of(bytes)));
        true
    })
}

/// A network's layers fit together and hold finite numbers. The digest of what the file says is mended before.
fn checkpoint(bytes: &[u8]) -> bool {
    let bytes = with_digest(bytes, "checkpoint");
    let Ok(checkpoint) = Checkpoint::parse(&bytes, Path::new("checkpoint")) else { return false };
    let shapes = checkpoint.model.layers();
    assert_eq!(checkpoint.layers.len(), shapes.len());
    for (shape, layer) in shapes.iter().zip(&checkpoint.layers) {
        assert!(shape.inputs > 0 && shape.outputs > 0);
        assert!(shape.inputs.is_multiple_of(shape.groups.get()) && shape.outputs.is_multiple_of(shape.groups.get()));
        assert_eq!(layer.weight.shape(), shape.weight());
        assert_eq!((layer.bias.len(), layer.groups), (shape.outputs, shape.groups));
        assert!(layer.weight.iter().chain(&layer.bias).all(|value| value.is_finite()));
    }
    true
}

/// The training whose state is read.
pub(crate) struct Training {
    pub hyperparameters: Hyperparameters,
    pub dataset: Digest,
    /// The sizes of each network.
    pub model: Mlp,
}

impl Default for Training {
    fn default() -> Self {
        #[derive(Parser)]
        struct Arguments {
            #[command(flatten)]
            hyperparameters: Hyperparameters,
        }
        let flags = ["train", "--hidden=2", "--ensemble=2", "--ema-decay=0.5", "--patience=3"];
        let Arguments { hyperparameters } = Arguments::parse_from(flags);
        Self { hyperparameters, dataset: Digest::of(b""), model: Mlp::new(&[4, 2, 2]) }
    }
}

/// A training's networks have as many finite numbers as their model, and its progress can be told.
fn state(bytes: &[u8]) -> bool {
    static TRAINING: LazyLock<Training> = LazyLock::new(Training::default);
    let Training { hyperparameters, dataset, model } = &*TRAINING;
    let bytes = with_digest(bytes, "training_state");
    let read = Progress::parse(&bytes, Path::new("state"), hyperparameters, *dataset, model);
    let Ok((progress, states)) = read else { return false };
    assert_eq!(states.len(), hyperparameters.ensemble as usize);
    let kept = progress.kept.iter().flat_map(|kept| &kept.parameters);
    let buffers = states.iter().flat_map(|state| [&state.parameters, &state.exp_avg, &state.exp_avg_sq]);
    let averaged = states.iter().map(|state| state.averaged.as_ref().expect("the training keeps an average"));
    for buffer in buffers.chain(averaged).chain(kept) {
        assert_eq!(buffer.len(), model.parameters());
        assert!(buffer.iter().all(|value| value.is_finite()));
    }
    let _metrics = progress.kept_metrics();
    let _either = progress.is_over(hyperparameters);
    let _provenance = train::provenance::with_computed(Provenance::new("train", "0"), &progress.computed);
    true
}

/// A file of tensors with the digest in its description that it should have, as far as it can be read; `artifacts::tensors`
/// says what of.
fn with_digest(bytes: &[u8], key: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some((recorded, digest)) = digests(&bytes, key) {
        let place = bytes.windows(digest.len()).position(|part| part == recorded.as_bytes());
        if let Some(place) = place {
            bytes[place..place + digest.len()].copy_from_slice(digest.as_bytes());
        }
    }
    bytes
}

/// The digest that such a file records, and that of what it says.
fn digests(bytes: &[u8], key: &str) -> Option<(String, String)> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let mut description: Value = serde_json::from_str(header.metadata().as_ref()?.get(key)?).ok()?;
    let recorded = description.as_object_mut()?.remove("sha256")?.as_str()?.to_owned();
    let mut said = description.to_string().into_bytes();
    for (name, view) in file.iter().collect::<BTreeMap<_, _>>() {
        said.extend(format!("\n{:?} {:?} {name}\n", view.dtype(), view.shape()).bytes());
        said.extend(view.data());
    }
    Some((recorded, Digest::of(&said).to_string()))
}

/// The counts agree, and the shards lie beside the file.
fn dataset(bytes: &[u8]) -> bool {
    let Ok(dataset) = Dataset::parse(bytes, Path::new("dataset")) else { return false };
    assert!((2..=Dataset::MOST_CLASSES).contains(&dataset.classes.len()));
    assert!(dataset.height * dataset.width > 0 && dataset.standard_deviation > 0.0);
    for split in SplitName::ALL.map(|name| dataset.split(name)) {
        assert_eq!(split.images, split.images_by_class.iter().sum::<usize>());
        assert_eq!(split.images, split.shards.iter().map(|shard| shard.rows).sum::<usize>());
        for file in split.shards.iter().flat_map(|shard| [&shard.images, &shard.labels, &shard.names]) {
            let mut components = Path::new(&file.path).components();
            assert!(components.all(|component| matches!(component, Component::Normal(_))), "{}", file.path);
        }
    }
    true
}

/// One part to train on and at most one to test on, each in the folder that is its own.
fn source(bytes: &[u8]) -> bool {
    let Ok(source) = Source::parse(bytes, Path::new("source")) else { return false };
    let directories: Vec<&str> = source.parts.iter().map(|part| part.directory.as_str()).collect();
    assert!(matches!(directories[..], ["train"] | ["train", "test"]), "{directories:?}");
    assert_eq!(source.test_part().map(|part| part.role), source.parts.get(1).map(|_| Role::Test));
    true
}

/// What is read is written the same, but for upper case.
fn digest(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(digest) = text.parse::<Digest>() else { return false };
    assert_eq!(digest.to_string(), text.to_ascii_lowercase());
    true
}

/// As many values as the shape says, out of the file's own bytes.
fn logits(bytes: &[u8]) -> bool {
    let Ok(matrix) = npy::array::<f32, Ix2>(bytes) else { return false };
    assert!(4 * matrix.len() <= bytes.len());
    true
}

/// The image has the pixels that `image` finds, which looks at every checksum and chunk. These are mended before, so that more
/// than the few files with right ones is looked into.
fn png(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    mend_checksums(&mut bytes);
    let Ok((height, width, pixels)) = preprocess::decode_file(&bytes) else { return false };
    assert_eq!(pixels.len(), height * width);
    let image = image::load_from_memory_with_format(&bytes, ImageFormat::Png).expect("what is decoded is whole");
    if !image.color().has_alpha() {
        assert_eq!(image.into_luma8().into_raw(), pixels);
    }
    true
}

/// Mends the checksums of the chunks of a PNG file, as far as they are all there: length, name, data, checksum of the two.
fn mend_checksums(bytes: &mut [u8]) {
    let mut rest = bytes.get_mut(8..).unwrap_or_default();
    while let Some((&mut length, after)) = rest.split_first_chunk_mut::<4>() {
        let end = u32::from_be_bytes(length) as usize + 4;
        let Some((chunk, after)) = after.split_at_mut_checked(end) else { return };
        let Some((checksum, after)) = after.split_first_chunk_mut() else { return };
        let mut crc = Crc::new();
        crc.update(chunk);
        *checksum = crc.sum().to_be_bytes();
        rest = after;
    }
}

/// The first three bytes are the shape that is asked for.
fn shard(bytes: &[u8]) -> bool {
    let Some((&[rows, height, width], file)) = bytes.split_first_chunk() else { return false };
    let [rows, height, width] = [rows, height, width].map(usize::from);
    let labels = npy::labels(file, rows, height);
    if let Ok(labels) = &labels {
        assert!(labels.len() == rows && labels.iter().all(|&label| usize::from(label) < height));
    }
    let images = npy::images(file, [rows, height, width]);
    if let Ok(pixels) = &images {
        assert_eq!(pixels.len(), rows * height * width);
    }
    labels.is_ok() || images.is_ok()
}
