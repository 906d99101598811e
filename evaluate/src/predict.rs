//! A pass over images.

use std::time::{Duration, Instant};

use artifacts::{SplitData, SplitName};
use ndarray::Array2;
use terminal::Console;

use crate::batches::Batches;
use crate::error::Error;
use crate::inputs::Inputs;

/// What the model says of each image.
#[derive(Debug)]
pub(crate) struct Predictions {
    /// `[N, C]`, finite.
    pub logits: Array2<f32>,
    /// `[N, C]`.
    pub probabilities: Array2<f32>,
    /// How long the runtime computed.
    pub elapsed: Duration,
}

/// Classifies all images of a split.
pub(crate) fn classify(
    inputs: &mut Inputs<'_>,
    data: &SplitData,
    split: SplitName,
    console: &Console,
) -> Result<Predictions, Error> {
    let batch_size = inputs.options.batch_size();
    let model = &mut inputs.model;
    let progress = console.progress(data.len() as u64, "images").labelled("evaluate");
    let classes = model.classes();
    let mut logits = Vec::with_capacity(data.len() * classes);
    let mut probabilities = Vec::with_capacity(data.len() * classes);
    let mut elapsed = Duration::ZERO;

    if let Some(first) = Batches::new(data, data.len(), batch_size).next() {
        model.run(&first.images)?; // The first run allocates: it is none of the pass's time.
    }
    for batch in Batches::new(data, data.len(), batch_size) {
        let begin = Instant::now();
        let scores = model.run(&batch.images)?;
        elapsed += begin.elapsed();
        for (row, logits) in (batch.start..).zip(scores.logits.chunks_exact(classes)) {
            if !logits.iter().all(|logit| logit.is_finite()) {
                return Err(Error::NotFinite { row, split });
            }
        }
        logits.extend(scores.logits);
        probabilities.extend(scores.probabilities);
        progress.set_position((logits.len() / classes) as u64);
    }
    let of_rows = |values| Array2::from_shape_vec((data.len(), classes), values).expect("each image has a row");
    Ok(Predictions { logits: of_rows(logits), probabilities: of_rows(probabilities), elapsed })
}
