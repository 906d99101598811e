use std::path::{Path, PathBuf};

/// The files of a training run, `runs/NAME/`.
#[derive(Debug, Clone)]
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// The file name of [`RunDirectory::checkpoint`].
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// The file name of [`RunDirectory::training_state`].
    pub const TRAINING_STATE: &str = "training-state.safetensors";
    /// The file name of [`RunDirectory::training_record`].
    pub const TRAINING_RECORD: &str = "training.json";
    /// The file name of [`RunDirectory::metrics`].
    pub const METRICS: &str = "metrics.jsonl";
    /// The file name of [`RunDirectory::timings`].
    pub const TIMINGS: &str = "timings.jsonl";
    /// The file name of [`RunDirectory::reference_logits`].
    pub const REFERENCE_LOGITS: &str = "reference-logits.npy";
    /// The file name of [`RunDirectory::cross_validation`].
    pub const CROSS_VALIDATION: &str = "cross-validation.json";
    /// The file name of [`RunDirectory::out_of_sample_logits`].
    pub const OUT_OF_SAMPLE_LOGITS: &str = "out-of-sample-logits.npy";
    /// The file name of [`RunDirectory::model`].
    pub const MODEL: &str = "model.onnx";
    /// The file name of [`RunDirectory::export_record`].
    pub const EXPORT_RECORD: &str = "export.json";

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
        self.0.join(Self::CHECKPOINT)
    }

    /// What an unfinished training resumes from; `train`'s alone.
    #[must_use]
    pub fn training_state(&self) -> PathBuf {
        self.0.join(Self::TRAINING_STATE)
    }

    /// The account of a finished training, written last ([`crate::TrainingRecord`]).
    #[must_use]
    pub fn training_record(&self) -> PathBuf {
        self.0.join(Self::TRAINING_RECORD)
    }

    /// One line an epoch ([`crate::EpochMetrics`]).
    #[must_use]
    pub fn metrics(&self) -> PathBuf {
        self.0.join(Self::METRICS)
    }

    /// One line an epoch ([`crate::EpochTiming`]).
    #[must_use]
    pub fn timings(&self) -> PathBuf {
        self.0.join(Self::TIMINGS)
    }

    /// The figures of each epoch as TensorBoard reads them, where they are wanted; written by `train --tensorboard`.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.0.join("events.out.tfevents")
    }

    /// The trainer's logits on the first validation images ([`crate::logits`]).
    #[must_use]
    pub fn reference_logits(&self) -> PathBuf {
        self.0.join(Self::REFERENCE_LOGITS)
    }

    /// The account of a cross-validation ([`crate::CrossValidation`]).
    #[must_use]
    pub fn cross_validation(&self) -> PathBuf {
        self.0.join(Self::CROSS_VALIDATION)
    }

    /// The logits of the training images by networks that were not trained on them.
    #[must_use]
    pub fn out_of_sample_logits(&self) -> PathBuf {
        self.0.join(Self::OUT_OF_SAMPLE_LOGITS)
    }

    /// The exported model.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.0.join(Self::MODEL)
    }

    /// The account of the export, written last ([`crate::ExportRecord`]).
    #[must_use]
    pub fn export_record(&self) -> PathBuf {
        self.0.join(Self::EXPORT_RECORD)
    }

    /// The folder of the evaluation's report.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.0.join("report")
    }
}
