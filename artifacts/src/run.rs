use std::path::{Path, PathBuf};

pub(crate) const EXPORT_RECORD: &str = "export.json";
pub(crate) const REFERENCE_LOGITS: &str = "reference-logits.npy";
pub(crate) const OUT_OF_SAMPLE_LOGITS: &str = "out-of-sample-logits.npy";

/// The files of a training run, `runs/NAME/`.
#[derive(Debug, Clone)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// The run in `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The trained weights ([`crate::Checkpoint`]).
    #[must_use]
    pub fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.safetensors")
    }

    /// What an unfinished training resumes from; `train`'s alone.
    #[must_use]
    pub fn training_state(&self) -> PathBuf {
        self.0.join("training-state.safetensors")
    }

    /// The account of a finished training, written last ([`crate::TrainingRecord`]).
    #[must_use]
    pub fn training_record(&self) -> PathBuf {
        self.0.join("training.json")
    }

    /// One line an epoch ([`crate::EpochMetrics`]).
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }

    /// One line an epoch ([`crate::EpochTiming`]).
    #[must_use]
    pub fn timings(&self) -> PathBuf {
        self.0.join("timings.jsonl")
    }

    /// The figures of each epoch as TensorBoard reads them, where they are wanted; written by `train --tensorboard`.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.0.join("events.out.tfevents")
    }

    /// The trainer's logits on the first validation images ([`crate::reference_logits`]).
    #[must_use]
    pub fn reference_logits(&self) -> PathBuf {
        self.0.join(REFERENCE_LOGITS)
    }

    /// The account of a cross-validation ([`crate::CrossValidation`]).
    #[must_use]
    pub fn cross_validation(&self) -> PathBuf {
        self.0.join("cross-validation.json")
    }

    /// The logits of the training images by networks that were not trained on them.
    #[must_use]
    pub fn out_of_sample_logits(&self) -> PathBuf {
        self.0.join(OUT_OF_SAMPLE_LOGITS)
    }

    /// The exported model.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.0.join("model.onnx")
    }

    /// The account of the export, written last ([`crate::ExportRecord`]).
    #[must_use]
    pub fn export_record(&self) -> PathBuf {
        self.0.join(EXPORT_RECORD)
    }

    /// The folder of the evaluation's report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }
}
