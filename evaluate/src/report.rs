//! The files of the report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use artifacts::{Digest, Document, ModelDescription, Provenance, SplitName};
use ndarray_npy::WriteNpyExt as _;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::latency::Latency;
use crate::metrics::{Accuracy, ClassFigures, ConfusionMatrix, MacroAverage};
use crate::parity::Parity;
use crate::predict::Predictions;

/// The class of each image, `u8 [N]`, in the order of the split's rows.
const PREDICTIONS: &str = "predictions.npy";
/// The probability of each class for each image, `f32 [N, C]`.
const PROBABILITIES: &str = "probabilities.npy";

/// `report.json`: what the model is worth. The same model, data, arguments and runtime give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How it was judged.
    pub provenance: Provenance,
    /// What was judged.
    pub model: ModelDescription,
    /// The data set's name.
    pub dataset: String,
    /// Which part of it.
    pub split: SplitName,
    /// How many images that has.
    pub images: usize,
    /// What computed: "cpu".
    pub provider: String,
    /// The share of images classified rightly.
    pub accuracy: Accuracy,
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// One row a true class, one column a predicted class, in the order of the model's classes.
    pub confusion_matrix: ConfusionMatrix,
    /// The figures of each class, in the same order.
    pub per_class: Vec<ClassFigures>,
    /// The means of these, over the classes for which the figure exists.
    pub macro_average: MacroAverage,
    /// How far the model's logits are from the trainer's; nothing where that could not be checked.
    pub parity: Option<Parity>,
    /// Why it could not be checked, where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parity_unchecked: Option<String>,
    /// SHA-256 of the files beside it that hold what the model says of each image.
    pub files: BTreeMap<String, Digest>,
}

/// `timings.json`: what the clock said, which no two evaluations share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// What was timed.
    pub provenance: Provenance,
    /// What computed: "cpu".
    pub provider: String,
    /// How many threads.
    pub threads: usize,
    /// Images in a batch.
    pub batch_size: usize,
    /// How many images were classified.
    pub images: usize,
    /// How long the runtime computed for them.
    pub seconds: f64,
    /// The first by the second.
    pub images_per_second: f64,
    /// Of a batch.
    pub batch: Latency,
    /// Of one image alone.
    pub one_image: Latency,
}

impl Document for Report {
    const KIND: &'static str = "report.json";
    const SCHEMA_VERSION: u32 = 1;
}

impl Document for Timings {
    const KIND: &'static str = "timings.json";
    const SCHEMA_VERSION: u32 = 1;
}

/// Writes `predictions.npy`, `probabilities.npy`, `timings.json` and, from the digests of the first two, `report.json`;
/// returns that report and its place.
///
/// `report.json` vouches for the files beside it: an older one goes before they do, and the new one comes last.
pub(crate) fn write(
    folder: &Path,
    predictions: &Predictions,
    timings: &Timings,
    report: impl FnOnce(BTreeMap<String, Digest>) -> Report,
) -> Result<(Report, PathBuf), Error> {
    let place = folder.join("report.json");
    remove(&place)?;
    let report = report(write_predictions(folder, predictions)?);
    artifacts::write_json(&folder.join("timings.json"), timings)?;
    artifacts::write_json(&place, &report)?;
    Ok((report, place))
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(artifacts::Error::Io { action: "remove", path: path.to_owned(), source }.into())
        }
        _ => Ok(()),
    }
}

/// Writes `predictions.npy` and `probabilities.npy`; returns their digests, by file name.
fn write_predictions(folder: &Path, predictions: &Predictions) -> Result<BTreeMap<String, Digest>, Error> {
    let classes = artifacts::write_file(&folder.join(PREDICTIONS), |writer| {
        predictions.classes.write_npy(writer).map_err(io::Error::other)
    })?;
    let probabilities = artifacts::write_file(&folder.join(PROBABILITIES), |writer| {
        predictions.probabilities.write_npy(writer).map_err(io::Error::other)
    })?;
    Ok([(PREDICTIONS, classes), (PROBABILITIES, probabilities)].map(|(name, digest)| (name.to_owned(), digest)).into())
}
