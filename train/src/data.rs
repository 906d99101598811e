//! The training and validation images, and the order in which an epoch sees them.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use artifacts::{Dataset, ModelDescription, SplitData, SplitName, Standardisation};
use files::Digest;
use rand::seq::SliceRandom as _;
use scratch::FileVec;

use crate::error::Error;
use crate::model::Mlp;
use crate::options::{HiddenSizes, Hyperparameters};
use crate::random::{Purpose, generator, philox};

/// What an engine trains and validates on.
#[derive(Debug, Clone)]
pub struct Data {
    /// `dataset.json`.
    pub dataset: Dataset,
    /// Its digest.
    pub digest: Digest,
    /// The training split.
    pub train: Arc<SplitData>,
    /// The validation split.
    pub valid: Arc<SplitData>,
    label_noise: LabelNoise,
}

/// Planted wrong labels: the share of the images that have one.
#[derive(Debug, Clone, Copy, Default)]
struct LabelNoise {
    share: f64,
    seed: u64,
}

/// The fourth word of the counter, as in [`augment`](crate::augment).
const LABEL_NOISE: u32 = u32::from_be_bytes(*b"nois");

impl Data {
    /// Opens the training and validation shards in `folder`, whose digests are left to [`Data::verify`].
    ///
    /// # Errors
    /// When a file is missing or has another form than `dataset.json` says, or a split has no image.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (dataset, digest) = Dataset::read(folder)?;
        let open = |split| match dataset.open(folder, split, false) {
            Ok(data) if data.is_empty() => Err(Error::EmptySplit { folder: folder.to_owned(), split }),
            Ok(data) => Ok(Arc::new(data)),
            Err(error) => Err(Error::from(error)),
        };
        let (train, valid) = (open(SplitName::Train)?, open(SplitName::Valid)?);
        Ok(Self { dataset, digest, train, valid, label_noise: LabelNoise::default() })
    }

    /// The training split to train and to validate on: for whoever trains on some of its images and classifies the others.
    #[must_use]
    pub fn of_training_alone(&self) -> Self {
        Self { valid: Arc::clone(&self.train), ..self.clone() }
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
    pub fn with_label_noise(self, share: f64, seed: u64) -> Self {
        Self { label_noise: LabelNoise { share, seed }, ..self }
    }

    /// The label that the training image in `row` is trained on: that of the split, but for planted noise.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn train_label(&self, row: usize) -> u8 {
        let (label, LabelNoise { share, seed }) = (self.train.label(row), self.label_noise);
        if share == 0.0 {
            return label;
        }
        let [decides, chooses, ..] = philox([row as u32, 0, 0, LABEL_NOISE], seed);
        if f64::from(decides) >= share * 2_f64.powi(32) {
            return label;
        }
        let others = self.dataset.classes.len() as u64 - 1;
        let other = ((u64::from(chooses) * others) >> 32) as u8;
        if other < label { other } else { other + 1 }
    }

    /// How the pixels become the network's input.
    #[must_use]
    pub fn standardisation(&self) -> Standardisation {
        Standardisation::new(self.dataset.mean, self.dataset.standard_deviation)
    }

    /// The sizes of each network that these hyperparameters train on this data.
    #[must_use]
    pub fn model(&self, hyperparameters: &Hyperparameters) -> Mlp {
        Mlp::new(&self.describe_model(&hyperparameters.hidden).sizes())
    }

    /// A network with these hidden layers for this data.
    fn describe_model(&self, hidden: &HiddenSizes) -> ModelDescription {
        ModelDescription {
            classes: self.dataset.classes.clone(),
            height: self.dataset.height,
            width: self.dataset.width,
            mean: self.dataset.mean,
            standard_deviation: self.dataset.standard_deviation,
            hidden: hidden.0.clone(),
            groups: NonZeroUsize::MIN,
        }
    }

    /// The network that a training leaves: its networks' copies side by side.
    #[must_use]
    pub fn describe_joined(&self, hyperparameters: &Hyperparameters) -> ModelDescription {
        let (network, copies) = (self.describe_model(&hyperparameters.hidden), hyperparameters.copies());
        // A single hidden layer sees the whole image, and nothing but the output sees it.
        let groups = if network.hidden.len() > 1 { copies } else { NonZeroUsize::MIN };
        ModelDescription {
            hidden: network.hidden.iter().map(|width| width * copies.get()).collect(),
            groups,
            ..network
        }
    }

    /// All training rows.
    ///
    /// # Panics
    /// With 2³² images or more.
    #[must_use]
    pub fn rows(&self) -> Range<u32> {
        0..u32::try_from(self.train.len()).expect("there are fewer than 2³² images")
    }
}

/// The order in which an epoch sees the images, in a scratch file: there is one number an image.
#[derive(Debug)]
pub struct Order<R> {
    rows: R,
    seed: u64,
    order: FileVec<u32>,
    /// Which epoch's it is.
    epoch: Option<u32>,
}

impl<R: Iterator<Item = u32> + Clone> Order<R> {
    /// An order of `rows`; the file is in `folder`, and has its size from the start.
    ///
    /// # Errors
    /// When no file can be made there, or the disk is full.
    pub fn new(rows: R, seed: u64, folder: &Path) -> Result<Self, Error> {
        let order = FileVec::filled(folder, rows.clone().count(), 0)?;
        Ok(Self { rows, seed, order, epoch: None })
    }

    /// The rows in the order of an epoch, counted from 1.
    pub fn of_epoch(&mut self, epoch: u32) -> &[u32] {
        self.draw(epoch);
        &self.order
    }

    /// Draws the order of an epoch, so that it is there when it is asked for.
    pub fn draw(&mut self, epoch: u32) {
        if self.epoch != Some(epoch) {
            self.order.iter_mut().zip(self.rows.clone()).for_each(|(place, row)| *place = row);
            self.order.shuffle(&mut generator(self.seed, Purpose::Order(epoch)));
            self.epoch = Some(epoch);
        }
    }
}
