//! The training and validation images, and the order in which an epoch sees them.

use std::path::Path;

use artifacts::{Dataset, Digest, ModelDescription, SplitData, SplitName};
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
    /// The validation split.
    pub valid: SplitData,
    /// The standardised value of each pixel value: `(p / 255 - mean) / standard_deviation`.
    pub standardised: [f32; 256],
}

impl Data {
    /// Opens the training and validation shards in `folder`.
    ///
    /// # Errors
    /// When a file is missing or not what `dataset.json` says, or a split has no image.
    pub fn open(folder: &Path, verify: bool) -> Result<Self, Error> {
        let (dataset, digest) = Dataset::read(folder)?;
        let open = |split| match dataset.open(folder, split, verify) {
            Ok(data) if data.is_empty() => Err(Error::EmptySplit { folder: folder.to_owned(), split }),
            Ok(data) => Ok(data),
            Err(error) => Err(Error::from(error)),
        };
        let (train, valid) = (open(SplitName::Train)?, open(SplitName::Valid)?);
        let mut standardised = [0.0; 256];
        for (value, pixel) in standardised.iter_mut().zip(0..=u8::MAX) {
            *value = ((f64::from(pixel) / 255.0 - dataset.mean) / dataset.standard_deviation) as f32;
        }
        Ok(Self { dataset, digest, train, valid, standardised })
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

    /// The training rows in the order of an epoch, counted from 1.
    ///
    /// # Panics
    /// With more than 2³² images.
    #[must_use]
    pub fn order(&self, seed: u64, epoch: usize) -> Vec<u32> {
        let index = |number: usize| u32::try_from(number).expect("at most 2³² images and epochs");
        let mut order: Vec<u32> = (0..index(self.train.len())).collect();
        order.shuffle(&mut generator(seed, Purpose::Order(index(epoch))));
        order
    }
}
