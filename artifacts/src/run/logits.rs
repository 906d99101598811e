//! Logits that `train` leaves for those who judge, `f32`, `[rows, classes]`.
//!
//! `reference-logits.npy` has the trainer's own on the first [`REFERENCE_ROWS`] validation images: whoever runs the model
//! elsewhere compares with them. `out-of-sample-logits.npy` has those of a cross-validation ([`crate::CrossValidation`]).
//! The digests stand in `training.json` and `cross-validation.json`.

use std::fs;
use std::path::Path;

use files::{Digest, IoContext as _};
use ndarray::Array2;

use crate::error::{Error, Result};
use crate::npy;

/// How many validation images the reference covers, where there are as many.
pub const REFERENCE_ROWS: usize = 1024;

/// Writes the file; returns its digest.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, logits: &Array2<f32>) -> files::Result<Digest> {
    npy::write(path, logits)
}

/// Reads the file, and its digest.
///
/// # Errors
/// When the file cannot be read or is no `.npy` of `f32` with two axes.
pub fn read(path: &Path) -> Result<(Array2<f32>, Digest)> {
    let bytes = fs::read(path).context("read", path)?;
    let malformed = |reason| Error::Malformed { path: path.to_owned(), kind: "array of logits", reason };
    let logits = npy::array(&bytes).map_err(malformed)?;
    Ok((logits, Digest::of(&bytes)))
}
