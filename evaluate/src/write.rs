//! The report's files, written in the order in which they vouch for one another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::{SplitName, npy};
use files::{Digest, StagedDirectory};
use ndarray::{Array1, Array3};

use crate::error::Error;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::page::{self, Material};
use crate::report::arrays::{LOGITS, PREDICTIONS, PROBABILITIES, SALIENCY, VALIDATION_LOGITS};
use crate::report::{Report, Timings};

/// Writes the arrays, `timings.json`, the pages and figures and, with the arrays' digests, `report.json`; returns that
/// report and its place.
///
/// `report.json` vouches for the files beside it: an older one goes before they do, and its page; the new one comes last.
pub(crate) fn write(
    folder: &Path,
    figures: StagedDirectory,
    inputs: &Inputs<'_>,
    judged: &Judged,
    validation: &Judged,
    timings: &Timings,
    (mut report, saliency): (Report, Array3<f32>),
) -> Result<(Report, PathBuf), Error> {
    let place = folder.join("report.json");
    files::remove_file(&place)?;
    files::remove_file(&folder.join(page::PAGE))?;
    report.files = write_arrays(folder, judged, validation, &saliency)?;
    artifacts::write_json(&folder.join("timings.json"), timings)?;
    write_page(folder, figures, inputs, judged, validation, timings, (&report, &saliency))?;
    artifacts::write_json(&place, &report)?;
    Ok((report, place))
}

/// Writes the pages and the figures.
fn write_page(
    folder: &Path,
    figures: StagedDirectory,
    inputs: &Inputs<'_>,
    judged: &Judged,
    validation: &Judged,
    timings: &Timings,
    (report, saliency): (&Report, &Array3<f32>),
) -> Result<(), Error> {
    let shows_training_images = report.failures.label_issues.iter().any(|issues| issues.split == SplitName::Train);
    let training = shows_training_images.then(|| inputs.open_split(SplitName::Train)).transpose()?;
    let image = |split: SplitName, row: usize| {
        let data = match split {
            split if split == judged.split => &judged.data,
            SplitName::Valid => &validation.data,
            SplitName::Train => training.as_ref()?,
            SplitName::Test => return None,
        };
        (row < data.len()).then(|| data.image(row))
    };
    let first_layer = &inputs.checkpoint.layers[0].weight;
    page::write(folder, figures, &Material { report, image: &image, first_layer, saliency }, timings)
}

/// Returns the digests, by file name.
fn write_arrays(
    folder: &Path,
    judged: &Judged,
    validation: &Judged,
    saliency: &Array3<f32>,
) -> Result<BTreeMap<String, Digest>, Error> {
    let predictions = Array1::from_vec(judged.outcomes.predicted.clone());
    let place = |name: &str| folder.join(name);
    let digests = [
        (PREDICTIONS, npy::write(&place(PREDICTIONS), &predictions)?),
        (PROBABILITIES, npy::write(&place(PROBABILITIES), &judged.predictions.probabilities)?),
        (LOGITS, npy::write(&place(LOGITS), &judged.predictions.logits)?),
        (SALIENCY, npy::write(&place(SALIENCY), saliency)?),
        (VALIDATION_LOGITS, npy::write(&place(VALIDATION_LOGITS), &validation.predictions.logits)?),
    ];
    Ok(digests.map(|(name, digest)| (name.to_owned(), digest)).into())
}
