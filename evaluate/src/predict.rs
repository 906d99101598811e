//! A pass over images.

use std::time::{Duration, Instant};

use artifacts::{SplitData, SplitName};
use ndarray::{Array2, Axis};
use terminal::Console;

use crate::error::Error;
use crate::inputs::Inputs;
use crate::runtime::{Batch, Batches, Model};

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
    let batches = Batches::new(data, data.len(), inputs.options.batch_size());
    pass(&mut inputs.model, batches, data.len(), &format!("the {split} split"), console)
}

/// Classifies the images without labels, where some were named.
pub(crate) fn classify_unlabelled(inputs: &mut Inputs<'_>, console: &Console) -> Result<Option<Predictions>, Error> {
    let Some(unlabelled) = &inputs.unlabelled else { return Ok(None) };
    let (size, count) = (inputs.options.batch_size(), unlabelled.images.len_of(Axis(0)));
    let chunks = unlabelled.images.axis_chunks_iter(Axis(0), size);
    let batches = (0..).step_by(size).zip(chunks);
    let batches = batches.map(|(start, images)| Batch { start, images: images.iter().copied().collect() });
    pass(&mut inputs.model, batches, count, &format!("`{}`", unlabelled.name), console).map(Some)
}

fn pass(
    model: &mut Model,
    batches: impl Iterator<Item = Batch>,
    count: usize,
    place: &str,
    console: &Console,
) -> Result<Predictions, Error> {
    let progress = console.progress(count as u64, "images").labelled("evaluate");
    let classes = model.classes();
    let mut logits = Vec::with_capacity(count * classes);
    let mut probabilities = Vec::with_capacity(count * classes);
    let mut elapsed = Duration::ZERO;
    let mut run_before = None;

    for batch in batches {
        // The first run of so many images allocates: it is none of the pass's time.
        if run_before.replace(batch.images.len()) != Some(batch.images.len()) {
            model.run(&batch.images)?;
        }
        let begin = Instant::now();
        let scores = model.run(&batch.images)?;
        elapsed += begin.elapsed();
        for (row, logits) in (batch.start..).zip(scores.logits.chunks_exact(classes)) {
            if !logits.iter().all(|logit| logit.is_finite()) {
                return Err(Error::NotFinite { model: model.path.clone(), row, place: place.to_owned() });
            }
        }
        logits.extend(scores.logits);
        probabilities.extend(scores.probabilities);
        progress.set_position((logits.len() / classes) as u64);
    }
    let of_rows = |values| Array2::from_shape_vec((count, classes), values).expect("each image has a row");
    Ok(Predictions { logits: of_rows(logits), probabilities: of_rows(probabilities), elapsed })
}
