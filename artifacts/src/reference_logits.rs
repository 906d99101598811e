//! `reference-logits.npy`: the trainer's own logits on the first validation images, `f32`, `[rows, classes]`.
//!
//! Whoever runs the model elsewhere compares with them. Its digest stands in `training.json`.

use std::fs;
use std::path::Path;

use ndarray::Array2;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _, Result};
use crate::npy;

/// How many validation images it covers, where there are as many.
pub const ROWS: usize = 1024;

/// Writes the file; returns its digest.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, logits: &Array2<f32>) -> Result<Digest> {
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
