//! A pass over the split that the model is judged on.

use std::time::{Duration, Instant};

use artifacts::SplitData;
use ndarray::{Array1, Array2};
use terminal::Console;

use crate::batches::Batches;
use crate::error::Error;
use crate::inputs::Inputs;

/// What the model says of each image.
#[derive(Debug)]
pub(crate) struct Predictions {
    /// `[N]`: the class with the largest logit, the first of them where several are equal.
    pub classes: Array1<u8>,
    /// `[N, C]`.
    pub probabilities: Array2<f32>,
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// How long the runtime computed.
    pub elapsed: Duration,
}

/// Classifies all images of a split.
pub(crate) fn classify(inputs: &mut Inputs<'_>, data: &SplitData, console: &Console) -> Result<Predictions, Error> {
    let (split, batch_size) = (inputs.split(), inputs.options.batch_size());
    let model = &mut inputs.model;
    let progress = console.progress(data.len() as u64, "images").labelled("evaluate");
    let classes = model.classes();
    let mut predicted = Vec::with_capacity(data.len());
    let mut probabilities = Vec::with_capacity(data.len() * classes);
    let (mut loss, mut elapsed) = (0.0, Duration::ZERO);

    if let Some(first) = Batches::new(data, data.len(), batch_size).next() {
        model.run(&first.images)?; // The first run allocates: it is none of the pass's time.
    }
    for batch in Batches::new(data, data.len(), batch_size) {
        let begin = Instant::now();
        let scores = model.run(&batch.images)?;
        elapsed += begin.elapsed();
        for (row, logits) in (batch.start..).zip(scores.logits.chunks_exact(classes)) {
            if !logits.iter().all(|logit| logit.is_finite()) {
                return Err(Error::NotFinite { model: model.path.clone(), row, split });
            }
            predicted.push(largest(logits));
            loss += cross_entropy(logits, data.label(row));
        }
        probabilities.extend(scores.probabilities);
        progress.set_position(predicted.len() as u64);
    }
    let probabilities = Array2::from_shape_vec((data.len(), classes), probabilities).expect("each image has a row");
    Ok(Predictions { classes: predicted.into(), probabilities, loss: loss / data.len() as f64, elapsed })
}

/// The place of the largest value, the first of them where several are equal, as NumPy's `argmax`.
fn largest(logits: &[f32]) -> u8 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    u8::try_from(best).expect("a data set has at most 256 classes")
}

/// `log Σ exp(logit) − logit of the label`, in nats, with the largest logit taken out of the sum.
fn cross_entropy(logits: &[f32], label: u8) -> f64 {
    let largest = f64::from(logits[usize::from(largest(logits))]);
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    largest + sum.ln() - f64::from(logits[usize::from(label)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_wins() {
        assert_eq!(largest(&[1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(largest(&[0.0, -0.0]), 0);
        assert_eq!(largest(&[f32::MIN, f32::MAX]), 1);
    }

    #[test]
    fn cross_entropy_is_exact_where_it_is_known_and_does_not_overflow() {
        assert!((cross_entropy(&[0.0; 10], 3) - 10.0_f64.ln()).abs() < 1e-15);
        // log(e + 1) - 1 and log(e + 1), worked by hand.
        assert!((cross_entropy(&[1.0, 0.0], 0) - 0.313_261_687_518_222_8).abs() < 1e-15);
        assert!((cross_entropy(&[1.0, 0.0], 1) - 1.313_261_687_518_222_8).abs() < 1e-15);
        assert_eq!(cross_entropy(&[1e30, 0.0], 0), 0.0);
        assert_eq!(cross_entropy(&[1e30, 0.0], 1), f64::from(1e30_f32));
    }
}
