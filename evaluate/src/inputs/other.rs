//! The report of another model on the same images: `--compare`.

use std::fs;
use std::path::Path;

use artifacts::{Dataset, Document as _, RunDirectory, SplitName, npy};
use files::{Digest, IoContext as _};
use ndarray::{Array1, Array2};
use ndarray_npy::ViewElement;

use crate::error::Error;
use crate::report::Report;
use crate::report::arrays::{PREDICTIONS, PROBABILITIES};

/// Another report, with the predictions beside it.
#[derive(Debug)]
pub(crate) struct Other {
    pub report: Report,
    pub digest: Digest,
    /// SHA-256 of its `model.onnx`.
    pub model: Digest,
    /// `[N]`.
    pub predictions: Array1<u8>,
    /// `[N, C]`.
    pub probabilities: Array2<f32>,
}

impl Other {
    /// Reads the report in `path`, or in the folder of that name, and its arrays: of the same split of the same data set.
    pub(crate) fn read(
        path: &Path,
        dataset: &Dataset,
        dataset_digest: Digest,
        split: SplitName,
    ) -> Result<Self, Error> {
        let within = path.join(Report::KIND);
        let path = if path.is_dir() { &within } else { path };
        let (report, digest) = artifacts::read_json::<Report>(path)?;
        if report.split != split || report.provenance.inputs.get(Dataset::FILE_NAME) != Some(&dataset_digest) {
            let other = (report.dataset, report.split);
            return Err(Error::OtherImages { path: path.to_owned(), other, this: (dataset.name.clone(), split) });
        }
        let predictions: Array1<u8> = read_array(path, &report, PREDICTIONS)?;
        let probabilities: Array2<f32> = read_array(path, &report, PROBABILITIES)?;
        let (images, classes) = (dataset.split(split).images, dataset.classes.len());
        let are_classes = predictions.iter().all(|&class| usize::from(class) < classes);
        let are_shares = probabilities.iter().all(|probability| (0.0..=1.0).contains(probability));
        if predictions.len() != images || probabilities.dim() != (images, classes) || !are_classes || !are_shares {
            let reason = format!("the arrays beside it are not predictions for {images} images and {classes} classes");
            return Err(artifacts::Error::Malformed { path: path.to_owned(), kind: "report.json", reason }.into());
        }
        let model =
            report.provenance.inputs.get(RunDirectory::MODEL).copied().ok_or_else(|| artifacts::Error::Malformed {
                path: path.to_owned(),
                kind: "report.json",
                reason: "its inputs have no model.onnx".to_owned(),
            })?;
        Ok(Self { report, digest, model, predictions, probabilities })
    }
}

/// An array beside the report, which has its digest.
fn read_array<T: ViewElement + Clone, D: ndarray::Dimension>(
    report_path: &Path,
    report: &Report,
    name: &'static str,
) -> Result<ndarray::Array<T, D>, Error> {
    let path = report_path.with_file_name(name);
    let bytes = fs::read(&path).context("read", &path)?;
    let recorded = report.files.get(name).ok_or_else(|| artifacts::Error::Malformed {
        path: report_path.to_owned(),
        kind: "report.json",
        reason: format!("it has no digest of {name}"),
    })?;
    Digest::of(&bytes).check(&path, *recorded, report_path)?;
    npy::array(&bytes)
        .map_err(|reason| artifacts::Error::Malformed { path, kind: "array of predictions", reason }.into())
}
