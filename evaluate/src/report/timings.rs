use artifacts::{Document, Provenance, StageTiming};
use serde::{Deserialize, Serialize};

use crate::runtime::Latency;

/// `timings.json`: what the clock said, which no two evaluations share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// What was timed.
    pub provenance: Provenance,
    /// What computed: "cpu" or "cuda".
    pub provider: String,
    /// Its model, where the system tells it: "AMD EPYC".
    pub device: Option<String>,
    /// How many threads.
    pub threads: usize,
    /// Images in a batch.
    pub batch_size: usize,
    /// How many images were classified.
    pub images: usize,
    /// How long the runtime computed for them.
    pub seconds: f64,
    /// The first by the second.
    pub images_per_second: f64,
    /// Of a batch.
    pub batch: Latency,
    /// Of one image alone.
    pub one_image: Latency,
    /// Of fetch, preprocess and export, as far as the data set's folder and the run's know of them.
    pub stages: Vec<StageTiming>,
    /// Of the training, from its `timings.jsonl`; nothing where that is gone.
    pub training: Option<TrainingTimings>,
}

/// What `timings.jsonl` says of a training, an unfinished one that was resumed included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingTimings {
    /// How many epochs.
    pub epochs: usize,
    /// Wall time of the training steps of all epochs, in seconds.
    pub train_seconds: f64,
    /// Wall time of the validation passes, in seconds.
    pub valid_seconds: f64,
    /// Training images a second, the median over the epochs.
    pub images_per_second: f64,
}

impl Document for Timings {
    const KIND: &'static str = "timings.json";
    const SCHEMA_VERSION: u32 = 3;
}
