use std::collections::BTreeMap;

use artifacts::{EpochMetrics, Fonts, Provenance, Rejected, RemovedCounts, Weights};
use files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Section 7: how it was made. Times are in [`super::Timings`]. Where the model is judged on another data set than the one
/// that it was trained on, `dataset`, the stage "preprocess" and its files are those of the data set that it is judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Making {
    /// `metrics.jsonl`, one an epoch.
    pub learning_curves: Vec<EpochMetrics>,
    /// The epoch, from 1, whose weights were kept.
    pub kept_epoch: usize,
    /// Which of its weights.
    pub kept_weights: Weights,
    /// The network's layers, first to last.
    pub layers: Vec<LayerSummary>,
    /// How many weights and biases they have together.
    pub parameters: u64,
    /// What it was trained and is judged on.
    pub dataset: DatasetSummary,
    /// What each stage was asked for, and its version, in the order of the chain: "preprocess", "train", "export",
    /// "evaluate".
    pub stages: Vec<Provenance>,
    /// What leads from the archive to the model, in the order of the chain.
    pub artifacts: Vec<ArtifactDigest>,
}

impl Making {
    /// By how many pixels the trained network was told to shift its images, where it was.
    #[must_use]
    pub fn test_time_shift(&self) -> Option<u64> {
        self.stages.iter().find_map(test_time_shift)
    }
}

/// By how many pixels the network shifts its images, where the stage is the training and told it to.
pub(crate) fn test_time_shift(stage: &Provenance) -> Option<u64> {
    stage.arguments.get("test_time_shift").and_then(Value::as_u64).filter(|&pixels| pixels > 0)
}

/// A linear layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerSummary {
    /// Its name in the checkpoint, as "0" or "2".
    pub name: String,
    /// How many inputs.
    pub inputs: u64,
    /// How many outputs.
    pub outputs: u64,
    /// Into how many groups inputs and outputs fall, each of which is connected with its own alone; 1 is fully connected.
    pub groups: u64,
    /// Whether a `ReLU` follows.
    pub relu: bool,
    /// Weights and biases, `inputs · outputs / groups + outputs`.
    pub parameters: u64,
}

/// `dataset.json` in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Its name.
    pub name: String,
    /// Mean of the training pixels, scaled to 0 to 1.
    pub mean: f64,
    /// Standard deviation of the training pixels, scaled to 0 to 1.
    pub standard_deviation: f64,
    /// Images of the training split by class, in the order of the classes.
    pub train: Vec<u64>,
    /// Of the validation split.
    pub valid: Vec<u64>,
    /// Of the test split.
    pub test: Vec<u64>,
    /// Duplicates, leaks and conflicts that were removed or reported.
    pub removed: RemovedCounts,
    /// What the file names told of fonts.
    pub fonts: Fonts,
    /// How many images were converted to 8-bit grey, by their colour type.
    pub converted: BTreeMap<String, u64>,
    /// How many files are no usable image.
    pub rejected: u64,
    /// The first of them; at most [`DatasetSummary::MOST_REJECTED`].
    pub rejected_files: Vec<Rejected>,
}

impl DatasetSummary {
    /// How many rejected files are listed at most.
    pub const MOST_REJECTED: usize = 20;
}

/// A file and its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactDigest {
    /// Its name, as "dataset.json"; "files" is the list of all images with their digests, as `sha256sum` prints it.
    pub file: String,
    /// The stage that writes it; nothing for an archive. `source.json` and the list are `fetch`'s even where `preprocess` has
    /// read an archive or folders by itself.
    pub written_by: Option<String>,
    /// Of its bytes.
    pub sha256: Digest,
}
