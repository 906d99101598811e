//! Validation: a network's logits against the labels of the validation split.

use std::ops::Range;

use ndarray::Array2;

use crate::data::Data;
use crate::error::Error;
use crate::softmax;

/// How good weights are on the validation split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// Mean cross entropy in nats.
    pub loss: f64,
    /// Share of images classified rightly.
    pub accuracy: f64,
}

/// Validation images that are judged at a time, at most.
pub const VALIDATED: usize = 4096;

impl Validation {
    /// On all of the validation split: `logits` gives those of the images in some of its rows.
    ///
    /// # Errors
    /// The errors of `logits`.
    pub fn of(data: &Data, mut logits: impl FnMut(Range<usize>) -> Result<Array2<f32>, Error>) -> Result<Self, Error> {
        let images = data.valid.len();
        let (mut loss, mut correct) = (0.0, 0_usize);
        for first in (0..images).step_by(VALIDATED) {
            let rows = first..images.min(first + VALIDATED);
            let logits = logits(rows.clone())?;
            for (logits, row) in logits.rows().into_iter().zip(rows) {
                let (logits, label) = (logits.to_slice().expect("logits are row-major"), data.valid.label(row));
                loss += softmax::cross_entropy(logits, label);
                correct += usize::from(softmax::is_right(logits, label));
            }
        }
        Ok(Self { loss: loss / images as f64, accuracy: correct as f64 / images as f64 })
    }
}
