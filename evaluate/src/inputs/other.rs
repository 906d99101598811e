//! Section 8: another model on the same images, `--compare`.

use std::fs;
use std::path::Path;

use artifacts::{Dataset, RunDirectory, SplitName, npy};
use files::{Digest, IoContext as _};
use ndarray::{Array1, Array2};
use ndarray_npy::ViewElement;

use crate::error::Error;
use crate::judged::Judged;
use crate::measures::fonts::Fonts;
use crate::measures::paired;
use crate::report::folder::{PREDICTIONS, PROBABILITIES};
use crate::report::{Comparison, Disagreement, Proportion, Report};

/// Another report, with the predictions beside it.
#[derive(Debug)]
pub(crate) struct Other {
    report: Report,
    pub digest: Digest,
    /// SHA-256 of its `model.onnx`.
    model: Digest,
    /// `[N]`.
    predictions: Array1<u8>,
    /// `[N, C]`.
    probabilities: Array2<f32>,
}

impl Other {
    /// Reads the report in `path` and its arrays: of the same split of the same data set.
    pub(crate) fn read(
        path: &Path,
        dataset: &Dataset,
        dataset_digest: Digest,
        split: SplitName,
    ) -> Result<Self, Error> {
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

    /// Section 8.
    pub(crate) fn compare(&self, judged: &Judged, classes: &[String]) -> Comparison {
        let outcomes = &judged.outcomes;
        let count = |this: bool, other: bool| {
            let rows = (0..outcomes.len())
                .filter(|&row| (outcomes.is_right(row), self.is_right(judged, row)) == (this, other));
            rows.count() as u64
        };
        let (only_this_right, only_other_right, both_right) =
            (count(true, false), count(false, true), count(true, true));
        let advantage = |row: usize| {
            let right = |is_right| f64::from(u8::from(is_right));
            right(outcomes.is_right(row)) - right(self.is_right(judged, row))
        };
        let total = outcomes.len() as u64;
        let differing: Vec<usize> =
            (0..outcomes.len()).filter(|&row| outcomes.predicted[row] != self.predictions[row]).collect();
        Comparison {
            report: self.digest,
            other_digest: self.model,
            other: self.report.model.clone(),
            other_accuracy: Proportion::of(both_right + only_other_right, total),
            both_right,
            only_this_right,
            only_other_right,
            both_wrong: count(false, false),
            difference: paired::difference(only_this_right, only_other_right, total),
            mcnemar_p: paired::mcnemar(only_this_right, only_other_right),
            by_font: Fonts::of(&judged.fonts).map(|fonts| paired::by_font(&fonts, advantage)),
            differing: differing.len() as u64,
            images: differing
                .into_iter()
                .take(Comparison::MOST)
                .map(|row| self.disagreement(judged, row, classes))
                .collect(),
        }
    }

    fn is_right(&self, judged: &Judged, row: usize) -> bool {
        self.predictions[row] == judged.outcomes.labels[row]
    }

    fn disagreement(&self, judged: &Judged, row: usize, classes: &[String]) -> Disagreement {
        let outcomes = &judged.outcomes;
        let [label, this, other] =
            [outcomes.labels[row], outcomes.predicted[row], self.predictions[row]].map(usize::from);
        Disagreement {
            row,
            file: judged.files[row].clone(),
            font: judged.fonts[row].clone(),
            label: classes[label].clone(),
            this: classes[this].clone(),
            this_confidence: outcomes.confidence(row),
            other: classes[other].clone(),
            other_confidence: f64::from(self.probabilities[[row, other]]),
        }
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
