//! What an exported model is worth on images that it has not seen.
//!
//! The model runs in onnxruntime, as it will where it is deployed. Its logits are compared with the trainer's own before
//! anything is counted; then every image of the split is classified. `report.json` and the predictions beside it are the
//! same bytes for the same model, data, batch size and runtime, whatever the number of threads; times are in
//! `timings.json`.

mod batches;
mod cuda;
mod error;
mod inputs;
mod latency;
mod library;
mod metrics;
mod model;
mod options;
mod parity;
mod predict;
mod report;
mod table;

use std::collections::BTreeMap;

use artifacts::{Digest, SplitData};
pub use error::Error;
pub use latency::Latency;
pub use metrics::{Accuracy, ClassFigures, ConfusionMatrix, MacroAverage, wilson_interval};
pub use options::{JudgedSplit, Options, Provider};
pub use parity::Parity;
pub use report::{Report, Timings};
use terminal::Console;

use crate::inputs::Inputs;
use crate::predict::Predictions;

/// Judges the run that `options` names, and writes its report.
///
/// # Errors
/// See [`Error`]. Nothing is written unless the model has passed every check.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let mut inputs = Inputs::open(options)?;
    console.say(inputs.announcement());
    console.say(format!("evaluate: {}", inputs.model.choice));
    for line in inputs.details() {
        console.detail(line);
    }
    let parity = check_parity(&mut inputs, console)?;
    let data = inputs.judged()?;
    let predictions = predict::classify(&mut inputs, &data, console)?;
    let timings = measure(&mut inputs, &data, &predictions)?;

    let folder = options.output.clone().unwrap_or_else(|| inputs.run.report());
    let report = |files| report(&inputs, &data, &predictions, parity, files);
    let (report, place) = report::write(&folder, &predictions, &timings, report)?;

    show(&report, &timings, console);
    console.data(format!("report {}", place.display()));
    Ok(())
}

const ANOTHER_DATA_SET: &str = "the run was trained on another data set, and the trainer's logits are of that one";

fn check_parity(inputs: &mut Inputs<'_>, console: &Console) -> Result<Option<Parity>, Error> {
    if !inputs.trained_on_this_data() {
        let dataset = &inputs.dataset.name;
        console.warn(format!("parity cannot be checked on data set `{dataset}`: {ANOTHER_DATA_SET}"));
        return Ok(None);
    }
    let parity = parity::check(inputs)?;
    let Parity { images, largest_relative_difference, limit, .. } = parity;
    let (path, digest) = (inputs.run.reference_logits(), inputs.training.reference_logits);
    console.detail(format!("evaluate: `{}` has SHA-256 {digest}", path.display()));
    console.say(format!(
        "evaluate: the logits of {images} validation images differ from the trainer's by at most \
         {largest_relative_difference:.1e} of the largest (limit {limit:e})"
    ));
    Ok(Some(parity))
}

fn measure(inputs: &mut Inputs<'_>, data: &SplitData, predictions: &Predictions) -> Result<Timings, Error> {
    let (images, seconds) = (data.len(), predictions.elapsed.as_secs_f64());
    let (threads, batch_size) = (inputs.options.threads(), inputs.options.batch_size());
    Ok(Timings {
        provenance: inputs.provenance(),
        provider: inputs.model.provider.to_owned(),
        threads,
        batch_size,
        images,
        seconds,
        images_per_second: images as f64 / seconds,
        batch: Latency::measure(&mut inputs.model, data, batch_size)?,
        one_image: Latency::measure(&mut inputs.model, data, 1)?,
    })
}

fn report(
    inputs: &Inputs<'_>,
    data: &SplitData,
    predictions: &Predictions,
    parity: Option<Parity>,
    files: BTreeMap<String, Digest>,
) -> Report {
    let model = &inputs.model.metadata.model;
    let labels = (0..data.len()).map(|row| data.label(row));
    let pairs = labels.zip(predictions.classes.iter().copied());
    let confusion_matrix = ConfusionMatrix::count(model.classes.len(), pairs);
    let per_class = confusion_matrix.per_class(&model.classes);
    let provenance = match parity {
        Some(_) => inputs.provenance().with_input("reference-logits.npy", inputs.training.reference_logits),
        None => inputs.provenance(),
    };
    Report {
        provenance,
        model: model.clone(),
        dataset: inputs.dataset.name.clone(),
        split: inputs.split(),
        images: data.len(),
        provider: inputs.model.provider.to_owned(),
        accuracy: confusion_matrix.accuracy(),
        loss: predictions.loss,
        macro_average: MacroAverage::of(&per_class),
        confusion_matrix,
        per_class,
        parity_unchecked: parity.is_none().then(|| ANOTHER_DATA_SET.to_owned()),
        parity,
        files,
    }
}

fn show(report: &Report, timings: &Timings, console: &Console) {
    console.table(&table::figures(&report.per_class, &report.macro_average));
    match table::confusion(&report.confusion_matrix, &report.model.classes) {
        Some(table) => console.table(&table),
        None => console.say("evaluate: the confusion matrix is too wide for a terminal; it stands in report.json"),
    }
    console.table(&table::speed(timings));
    console.data(table::accuracy_line(report));
}
