//! What the tests of this crate share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test binary uses some of it; a test that cannot go on fails"
)]

pub mod case;
pub mod reference;
pub mod standin;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use artifacts::{Dataset, Fonts, Provenance, RemovedCounts, Shard, ShardFile, Split, SplitName, Splits, npy};
use clap::Parser;
use files::Digest;
use ndarray::{Array1, Array3};
use train::Hyperparameters;
use train::data::Data;

/// Images with labels.
#[derive(Debug, Clone)]
pub struct Images {
    pub height: usize,
    pub width: usize,
    pub classes: usize,
    pub pixels: Vec<u8>,
    pub labels: Vec<u8>,
}

impl Images {
    /// Noise around a pattern of each class, by a small generator of its own.
    pub fn patterns(count: usize, height: usize, width: usize, classes: usize, seed: u32) -> Self {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let mut images = Self { height, width, classes, pixels: Vec::new(), labels: Vec::new() };
        for index in 0..count {
            let label = index % classes;
            images.labels.push(u8::try_from(label).unwrap());
            for pixel in 0..height * width {
                let bright = (pixel / (1 + label)).is_multiple_of(2);
                images.pixels.push(u8::try_from(random() % 180).unwrap() + if bright { 75 } else { 0 });
            }
        }
        images
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Writes a data set in the order of the given images, with one shard a split.
pub fn write_dataset(folder: &Path, train: &Images, valid: &Images, mean: f64, standard_deviation: f64) {
    let split = |name: SplitName, images: &Images| {
        let shape = (images.len(), images.height, images.width);
        let save = |what: &str, write: &dyn Fn(&Path) -> files::Result<Digest>| {
            let path = format!("{name}/{what}");
            ShardFile { sha256: write(&folder.join(&path)).unwrap(), path }
        };
        let pixels = Array3::from_shape_vec(shape, images.pixels.clone()).unwrap();
        let labels = Array1::from_vec(images.labels.clone());
        let names: String = (0..images.len()).map(|row| format!("{row}.png\n")).collect();
        let shard = Shard {
            rows: images.len(),
            images: save("images-00000.npy", &|path| npy::write(path, &pixels)),
            labels: save("labels-00000.npy", &|path| npy::write(path, &labels)),
            names: save("names-00000.txt", &|path| files::write_file(path, |file| file.write_all(names.as_bytes()))),
        };
        let of = |class: usize| images.labels.iter().filter(|&&label| usize::from(label) == class).count();
        Split { images: images.len(), images_by_class: (0..images.classes).map(of).collect(), shards: vec![shard] }
    };
    let dataset = Dataset {
        provenance: Provenance::new("tests", "0"),
        name: "patterns".to_owned(),
        classes: (0..train.classes).map(|class| format!("class {class}")).collect(),
        height: train.height,
        width: train.width,
        mean,
        standard_deviation,
        splits: Splits {
            train: split(SplitName::Train, train),
            valid: split(SplitName::Valid, valid),
            test: split(SplitName::Test, valid),
        },
        fonts: Fonts::default(),
        removed: RemovedCounts::default(),
        removed_list: Digest::of(b""),
        converted: [].into(),
        rejected: Vec::new(),
    };
    artifacts::write_json(&folder.join(Dataset::FILE_NAME), &dataset).unwrap();
}

/// Data as an engine takes it.
pub fn data(train: &Images, valid: &Images, mean: f64, standard_deviation: f64) -> Arc<Data> {
    let folder = tempfile::tempdir().unwrap();
    write_dataset(folder.path(), train, valid, mean, standard_deviation);
    Arc::new(Data::open(folder.path()).unwrap())
}

/// Data of two classes for every image of which the other label is planted, and data that has the other labels.
pub fn planted_and_exchanged() -> [Arc<Data>; 2] {
    let mut images = Images::patterns(60, 5, 6, 2, 8);
    let planted = Arc::into_inner(data(&images, &images, 0.45, 0.25)).unwrap().with_label_noise(1.0, 5);
    images.labels.iter_mut().for_each(|label| *label = 1 - *label);
    [Arc::new(planted), data(&images, &images, 0.45, 0.25)]
}

/// Hyperparameters as their flags give them.
pub fn hyperparameters(flags: &[&str]) -> Hyperparameters {
    #[derive(Parser)]
    #[command(args_override_self = true)]
    struct Arguments {
        #[command(flatten)]
        hyperparameters: Hyperparameters,
    }
    Arguments::parse_from([&["train"], flags].concat()).hyperparameters
}
