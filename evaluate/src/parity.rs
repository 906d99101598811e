//! The model's logits against the trainer's own.

use artifacts::{SplitName, logits};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::inputs::Inputs;
use crate::runtime::Batches;

/// The largest relative difference that passes.
///
/// Both compute in `f32` and sum in different orders: for sums of some thousand products, differences are near 1e-6.
pub(crate) const LIMIT: f64 = 1e-4;

/// How far the exported model is from the trainer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parity {
    /// How many validation images were compared.
    pub images: usize,
    /// `max |model − trainer|` over all logits of these images.
    pub largest_absolute_difference: f64,
    /// The same, divided by `max |trainer|` over all logits of these images.
    pub largest_relative_difference: f64,
    /// What the relative difference may be at most.
    pub limit: f64,
}

/// Runs the model on the validation images that the trainer left its logits of, and compares.
///
/// # Errors
/// When the run's reference logits are not those that its training recorded, are not of these images, or differ from
/// the model's by more than the limit.
pub(crate) fn check(inputs: &mut Inputs<'_>) -> Result<Parity, Error> {
    let path = inputs.run.reference_logits();
    let (reference, found) = logits::read(&path)?;
    found.check(&path, inputs.training.reference_logits, &inputs.run.training_record())?;
    let validation = inputs.open_split(SplitName::Valid)?;
    let expected = [validation.len().min(logits::REFERENCE_ROWS), inputs.model.classes()];
    if reference.shape() != expected {
        return Err(Error::ReferenceShape { path, found: [reference.nrows(), reference.ncols()], expected });
    }
    let mut logits = Vec::with_capacity(reference.len());
    for batch in Batches::new(&validation, reference.nrows(), inputs.options.batch_size()) {
        logits.extend(inputs.model.run(&batch.images)?.logits);
    }
    let images = reference.nrows();
    compare(images, reference.iter().copied().zip(logits)).map_err(|relative| Error::Parity { images, relative })
}

/// See [`Parity`]; the relative difference where it is more than the limit, or not a number.
pub(crate) fn compare(images: usize, logits: impl Iterator<Item = (f32, f32)>) -> Result<Parity, f64> {
    let (mut largest, mut absolute) = (f64::from(f32::MIN_POSITIVE), 0.0_f64);
    for (trainer, model) in logits {
        let (trainer, model) = (f64::from(trainer), f64::from(model));
        let difference = (model - trainer).abs();
        if difference.is_nan() {
            return Err(f64::NAN);
        }
        absolute = absolute.max(difference);
        largest = largest.max(trainer.abs());
    }
    let relative = absolute / largest;
    if relative > LIMIT {
        return Err(relative);
    }
    Ok(Parity { images, largest_absolute_difference: absolute, largest_relative_difference: relative, limit: LIMIT })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(trainer: &[f32], model: &[f32]) -> Result<Parity, f64> {
        compare(1, trainer.iter().copied().zip(model.iter().copied()))
    }

    #[test]
    fn the_difference_is_relative_to_the_trainer_s_largest_logit() {
        // 2^-18 on a logit of 1/4, where the largest is 8: 2^-21 relative.
        let parity = compared(&[0.25, -8.0], &[0.25 + 2.0_f32.powi(-18), -8.0]).unwrap();
        assert_eq!(parity.largest_absolute_difference, 2.0_f64.powi(-18));
        assert_eq!(parity.largest_relative_difference, 2.0_f64.powi(-21));
    }

    #[test]
    fn equal_logits_differ_by_nothing_even_if_all_are_zero() {
        assert_eq!(compared(&[0.0, 0.0], &[0.0, -0.0]).unwrap().largest_relative_difference, 0.0);
    }

    #[test]
    fn more_than_a_ten_thousandth_does_not_pass() {
        assert!(compared(&[8.0, 1.0], &[8.0, 1.0 + 0.00079]).is_ok());
        let relative = compared(&[8.0, 1.0], &[8.0, 1.0 + 0.00081]).unwrap_err();
        assert!((relative - 0.00081 / 8.0).abs() < 1e-8);
    }

    #[test]
    fn what_is_not_a_number_does_not_pass() {
        for model in [[f32::NAN, 1.0], [1.0, f32::NAN], [f32::INFINITY, 1.0]] {
            assert!(compared(&[1.0, 1.0], &model).is_err(), "{model:?}");
        }
        assert!(compared(&[f32::INFINITY, 1.0], &[f32::INFINITY, 1.0]).is_err());
    }
}
