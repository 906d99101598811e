use std::fs;
use std::path::Path;

use files::{Digest, IoContext as _};
use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use super::model::ModelDescription;
use crate::document::{Document, parse_lines};
use crate::error::Result;
use crate::provenance::Provenance;

/// `training.json`: the account of a finished training. It is written after everything it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// How it was trained: the configuration stands in the arguments.
    pub provenance: Provenance,
    /// What the checkpoint holds.
    pub model: ModelDescription,
    /// How many epochs were trained.
    pub epochs: usize,
    /// The epoch, from 1, whose weights were kept.
    pub kept_epoch: usize,
    /// Which of its weights.
    pub kept_weights: Weights,
    /// Mean cross entropy on the validation split of the network with the kept weights, its shifts at test time included,
    /// in nats.
    pub valid_loss: f64,
    /// Share of the validation split classified rightly with the kept weights.
    pub valid_accuracy: f64,
    /// SHA-256 of `checkpoint.safetensors`.
    pub checkpoint: Digest,
    /// SHA-256 of `metrics.jsonl`.
    pub metrics: Digest,
    /// SHA-256 of `reference-logits.npy`.
    pub reference_logits: Digest,
}

impl Document for TrainingRecord {
    const KIND: &'static str = RunDirectory::TRAINING_RECORD;
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), String> {
        self.model.check()
    }
}

/// Which weights of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// Those after its last step.
    Trained,
    /// The exponential moving average over the steps.
    Averaged,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// At the epoch's last step.
    pub learning_rate: f64,
    /// Mean loss over the epoch's batches as they were trained (label smoothing and dropout included), in nats; of an
    /// ensemble the mean over its networks, whose mean logits are validated.
    pub train_loss: f64,
    /// Mean cross entropy on the validation split after the epoch, in nats.
    pub valid_loss: f64,
    /// Share of the validation split classified rightly after the epoch.
    pub valid_accuracy: f64,
    /// `valid_loss` of the averaged weights, where an average is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged_valid_loss: Option<f64>,
    /// `valid_accuracy` of the averaged weights, where an average is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub averaged_valid_accuracy: Option<f64>,
}

impl EpochMetrics {
    /// The weights with the lower validation loss, that loss, and their accuracy.
    #[must_use]
    pub fn best(&self) -> (Weights, f64, f64) {
        match (self.averaged_valid_loss, self.averaged_valid_accuracy) {
            (Some(loss), Some(accuracy)) if loss < self.valid_loss => (Weights::Averaged, loss, accuracy),
            _ => (Weights::Trained, self.valid_loss, self.valid_accuracy),
        }
    }
}

/// A line of `timings.jsonl`: what the clock said, which no two runs share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochTiming {
    /// From 1.
    pub epoch: usize,
    /// Wall time of the epoch's training steps, in seconds.
    pub train_seconds: f64,
    /// Wall time of the validation pass, in seconds.
    pub valid_seconds: f64,
    /// Training images a second of `train_seconds`, of an ensemble those of all networks.
    pub images_per_second: f64,
}

/// Reads `metrics.jsonl`.
///
/// # Errors
/// When the file cannot be read or a line of it is no [`EpochMetrics`].
pub fn read_metrics(path: &Path) -> Result<Vec<EpochMetrics>> {
    let text = fs::read_to_string(path).context("read", path)?;
    parse_lines(path, RunDirectory::METRICS, &text)
}

/// Reads `timings.jsonl`.
///
/// # Errors
/// When the file cannot be read or a line of it is no [`EpochTiming`].
pub fn read_timings(path: &Path) -> Result<Vec<EpochTiming>> {
    let text = fs::read_to_string(path).context("read", path)?;
    parse_lines(path, RunDirectory::TIMINGS, &text)
}
