use std::path::Path;

use files::Digest;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use super::logits;
use crate::document::Document;
use crate::error::Result;
use crate::provenance::Provenance;

/// `cross-validation.json`: predictions for the training images by networks that were not trained on them.
///
/// The logits, `f32 [N, C]` in the order of the training split's rows, lie beside it in `out-of-sample-logits.npy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// How the networks were trained: as the run's own, each on all folds but one.
    pub provenance: Provenance,
    /// The folds, at least two. The images of one font are in one of them.
    pub folds: Vec<Fold>,
    /// How many epochs each network was trained.
    pub epochs: usize,
    /// The share of the training images whose out-of-sample prediction is their label.
    pub accuracy: f64,
    /// SHA-256 of `out-of-sample-logits.npy`.
    pub logits: Digest,
}

/// A fold of the training images, as the network judged it that was trained on the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// How many images it has.
    pub images: u64,
    /// How many of them the network takes for their label.
    pub correct: u64,
}

impl Fold {
    /// The share that the network takes for their label; NaN where the fold is empty.
    pub fn accuracy(self) -> f64 {
        self.correct as f64 / self.images as f64
    }
}

impl CrossValidation {
    /// Reads the logits in `path`, which must be those that this records, in `recorded_by`.
    ///
    /// # Errors
    /// When the file cannot be read, has another digest, or is no `.npy` of `f32` with two axes.
    pub fn read_logits(&self, path: &Path, recorded_by: &Path) -> Result<Array2<f32>> {
        let (logits, found) = logits::read(path)?;
        found.check(path, self.logits, recorded_by)?;
        Ok(logits)
    }
}

impl Document for CrossValidation {
    const KIND: &'static str = RunDirectory::CROSS_VALIDATION;
    const SCHEMA_VERSION: u32 = 2;

    fn check(&self) -> Result<(), String> {
        if self.folds.len() < 2 {
            Err(format!("of {} folds, no network is trained on the others", self.folds.len()))
        } else {
            Ok(())
        }
    }
}
