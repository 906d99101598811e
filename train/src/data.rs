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
        let train_labels = (0..train.len()).map(|row| train.label(row)).collect();
        Ok(Self { dataset, digest, train, train_labels, valid, standardised })
    }

    /// Gives a share of the training images a random other label.
    #[must_use]
    pub fn with_label_noise(mut self, share: f64, seed: u64) -> Self {
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

    /// The standardised values of an image's pixels.
    pub fn standardise(&self, image: &[u8], output: &mut [f32]) {
        for (value, &pixel) in output.iter_mut().zip(image) {
            *value = self.standardised[usize::from(pixel)];
        }
    }

    /// The standardised values of pixels between 0 and 255 that need not be whole.
    pub fn standardise_in_place(&self, pixels: &mut [f32]) {
        let scale = (1.0 / 255.0 / self.dataset.standard_deviation) as f32;
        let offset = (-self.dataset.mean / self.dataset.standard_deviation) as f32;
        pixels.iter_mut().for_each(|value| *value = *value * scale + offset);
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
    pub fn order(&self, seed: u64, epoch: u32) -> Vec<u32> {
        let images = u32::try_from(self.train.len()).expect("there are fewer than 2³² images");
        let mut order: Vec<u32> = (0..images).collect();
        order.shuffle(&mut generator(seed, Purpose::Order(epoch)));
        order
    }
}
