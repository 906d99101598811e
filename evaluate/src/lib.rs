//! What an exported model is worth on images that it has not seen.
//!
//! The model runs in onnxruntime, as it will where it is deployed. Its logits are compared with the trainer's own before
//! anything is counted; then every image of the split is classified. `report.json`, the predictions beside it, and
//! `report.html`, which shows them, are the same bytes for the same model, data, batch size and runtime, whatever the
//! number of threads; times are in `timings.json` and `timings.html`.

mod assemble;
mod error;
mod inputs;
mod judged;
mod measures;
mod options;
mod page;
mod parity;
mod predict;
mod report;
mod runtime;
mod table;
pub mod textbook;
mod write;

use artifacts::{Dataset, RunDirectory, Source, SplitName};
pub use error::Error;
use files::Lock;
pub use options::Options;
use terminal::Console;

use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::parity::Parity;
use crate::report::{Report, Timings};
use crate::runtime::Latency;

/// Judges the run that `options` names, and writes its report.
///
/// # Errors
/// See [`Error`]. Nothing is written unless the model has passed every check.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let folder = options.output.clone().unwrap_or_else(|| RunDirectory::new(&options.run).report());
    if [Dataset::FILE_NAME, Source::FILE_NAME].iter().any(|record| folder.join(record).exists()) {
        return Err(Error::WithinDataset { folder });
    }
    let _lock = Lock::within(&folder)?;
    let figures = page::stage_figures(&folder)?;
    let mut inputs = Inputs::open(options)?;
    if options.output.is_none() && !inputs.trained_on_this_data() {
        return Err(Error::OthersReport { folder });
    }
    console.say(inputs.announcement());
    console.say(format!("evaluate: {}", inputs.model.choice));
    for line in inputs.details() {
        console.detail(line);
    }
    let parity = check_parity(&mut inputs, console)?;
    let split = inputs.split();
    let judged = Judged::classify(&mut inputs, split, console)?;
    let validation = match split {
        SplitName::Valid => None,
        _ => Some(Judged::classify(&mut inputs, SplitName::Valid, console)?),
    };
    let validation = validation.as_ref().unwrap_or(&judged);
    let timings = measure(&mut inputs, &judged)?;

    let unlabelled = predict::classify_unlabelled(&mut inputs, console)?;
    let report = assemble::report(&inputs, &judged, validation, unlabelled.as_ref(), parity)?;
    judged.data.check_unchanged()?;
    validation.data.check_unchanged()?;
    let (report, place) = write::write(&folder, figures, &inputs, &judged, validation, &timings, report)?;

    show(&report, &timings, console);
    console.say(format!("evaluate: the report as a page is `{}`", folder.join(page::PAGE).display()));
    console.data(format!("report {}", place.display()));
    Ok(())
}

const ANOTHER_DATA_SET: &str = "the run was trained on another data set, and the trainer's logits are of that one";

fn check_parity(inputs: &mut Inputs<'_>, console: &Console) -> Result<Option<Parity>, Error> {
    if !inputs.trained_on_this_data() {
        let dataset = &inputs.dataset.name;
        console.warn(format!("parity cannot be checked on data set `{dataset}`: {ANOTHER_DATA_SET}"));
        console.warn(
            "where that one is of the same archive, as with another seed, images that are judged here are among those that it was \
             trained on: the accuracy is then too high",
        );
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

fn measure(inputs: &mut Inputs<'_>, judged: &Judged) -> Result<Timings, Error> {
    let (images, seconds) = (judged.data.len(), judged.predictions.elapsed.as_secs_f64());
    let (threads, batch_size) = (inputs.options.threads(), inputs.options.batch_size());
    Ok(Timings {
        provenance: inputs.provenance(),
        provider: inputs.model.provider.to_owned(),
        device: runtime::device_name(inputs.model.provider),
        threads,
        batch_size,
        images,
        seconds,
        images_per_second: images as f64 / seconds,
        batch: Latency::measure(&mut inputs.model, &judged.data, batch_size)?,
        one_image: Latency::measure(&mut inputs.model, &judged.data, 1)?,
        stages: inputs.stages.clone(),
        training: inputs.timings.as_deref().and_then(assemble::training_timings),
    })
}

fn show(report: &Report, timings: &Timings, console: &Console) {
    console.table(&table::figures(&report.by_class));
    match table::confusion(&report.by_class.confusion_matrix, &report.model.classes) {
        Some(table) => console.table(&table),
        None => console.say("evaluate: the confusion matrix is too wide for a terminal; it stands in report.json"),
    }
    console.table(&table::overall(report));
    console.table(&table::priors(&report.bayes.priors));
    if let Some(estimate) = &report.bayes.estimated_prior {
        console.table(&table::estimated_prior(estimate, &report.model.classes));
    }
    if let Some(line) = table::temperature_line(&report.calibration) {
        console.say(line);
    }
    if let Some(comparison) = &report.comparison {
        console.say(table::comparison_line(comparison));
    }
    console.table(&table::speed(timings));
    console.data(table::accuracy_line(&report.overall.without_duplicates.accuracy));
}
