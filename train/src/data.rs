//! The training and validation images, and the order in which an epoch sees them.

use std::path::Path;

use artifacts::{Dataset, Digest, ModelDescription, SplitData, SplitName};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use crate::error::Error;
use crate::options::HiddenSizes;
use crate::random::{Purpose, generator};

/// What an engine trains and validates on.
#[derive(Debug)]
pub struct Data {
    /// `dataset.json`.
    pub dataset: Dataset,
    /// Its digest.
    pub digest: Digest,
    /// The training split.
    pub train: SplitData,
    /// The labels that are trained on, by row: those of the split, but for planted noise.
    pub train_labels: Vec<u8>,
    /// The validation split.
    pub valid: SplitData,
}

/// `(p / 255 - mean) / standard_deviation` of pixel values `p`, which need not be whole, as a product and a sum.
#[derive(Debug, Clone, Copy)]
pub struct Standardisation {
    scale: f32,
    offset: f32,
}

impl Standardisation {
    /// The standardised value of a pixel from 0 to 255.
    #[must_use]
    #[inline(always)]
    pub fn of(self, pixel: f32) -> f32 {
        pixel * self.scale + self.offset
    }
}

impl Data {
    /// Opens the training and validation shards in `folder`, whose digests are left to [`Data::verify`].
    ///
    /// # Errors
    /// When a file is missing or has another form than `dataset.json` says, or a split has no image.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (dataset, digest) = Dataset::read(folder)?;
        let open = |split| match dataset.open(folder, split, false) {
            Ok(data) if data.is_empty() => Err(Error::EmptySplit { folder: folder.to_owned(), split }),
            Ok(data) => Ok(data),
            Err(error) => Err(Error::from(error)),
        };
        let (train, valid) = (open(SplitName::Train)?, open(SplitName::Valid)?);
        let train_labels = (0..train.len()).map(|row| train.label(row)).collect();
        Ok(Self { dataset, digest, train, train_labels, valid })
    }

    /// Opens the training shards in `folder` to train and to validate on: for whoever trains on some of the images and
    /// classifies the others.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_training_twice(folder: &Path) -> Result<Self, Error> {
        let data = Self::open(folder)?;
        let valid = data.dataset.open(folder, SplitName::Train, false)?;
        Ok(Self { valid, ..data })
    }

    /// Compares the shards with their digests in `dataset.json`.
    ///
    /// # Errors
    /// Names the first shard that has another one.
    pub fn verify(&self) -> Result<(), Error> {
        Ok(self.train.verify().and_then(|()| self.valid.verify())?)
    }

    /// Whether the shards are still those that were opened.
    ///
    /// # Errors
    /// Names the first one that somebody has written to.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        Ok(self.train.check_unchanged().and_then(|()| self.valid.check_unchanged())?)
    }

    /// Gives a share of the training images a random other label.
    #[must_use]
    pub fn with_label_noise(mut self, share: f64, seed: u64) -> Self {
        if share == 0.0 {
            return self;
        }
        let mut generator = generator(seed, Purpose::LabelNoise);
        let others = u8::try_from(self.dataset.classes.len() - 1).expect("a label is a byte");
        for label in &mut self.train_labels {
            let (is_noisy, other) = (generator.random_bool(share), generator.random_range(0..others));
            if is_noisy {
                *label = if other < *label { other } else { other + 1 };
            }
        }
        self
    }

    /// How the pixels become the network's input.
    #[must_use]
    pub fn standardisation(&self) -> Standardisation {
        Standardisation {
            scale: (1.0 / 255.0 / self.dataset.standard_deviation) as f32,
            offset: (-self.dataset.mean / self.dataset.standard_deviation) as f32,
        }
    }

    /// A network with these hidden layers for this data.
    #[must_use]
    pub fn describe_model(&self, hidden: &HiddenSizes) -> ModelDescription {
        ModelDescription {
            classes: self.dataset.classes.clone(),
            height: self.dataset.height,
            width: self.dataset.width,
            mean: self.dataset.mean,
            standard_deviation: self.dataset.standard_deviation,
            hidden: hidden.0.clone(),
        }
    }

    /// All training rows.
    ///
    /// # Panics
    /// With more than 2³² images.
    #[must_use]
    pub fn rows(&self) -> Vec<u32> {
        (0..u32::try_from(self.train.len()).expect("there are fewer than 2³² images")).collect()
    }
}

/// `rows` in the order of an epoch, counted from 1.
#[must_use]
pub fn order(rows: &[u32], seed: u64, epoch: u32) -> Vec<u32> {
    let mut order = rows.to_vec();
    order.shuffle(&mut generator(seed, Purpose::Order(epoch)));
    order
}
