//! A split with everything that is known of its images.

use std::collections::HashMap;
use std::path::Path;

use artifacts::{Dataset, Removed, SplitData, SplitName, font_of};
use terminal::Console;

use crate::error::Error;
use crate::inputs::Inputs;
use crate::measures::groups::Groups;
use crate::measures::outcomes::Outcomes;
use crate::predict::{self, Predictions};
use crate::report::ImageRecord;

/// A classified split. All lists are in the order of its rows.
#[derive(Debug)]
pub(crate) struct Judged {
    pub split: SplitName,
    pub data: SplitData,
    /// The file that each image was read from.
    pub files: Vec<String>,
    /// The font that its name tells.
    pub fonts: Vec<Option<String>>,
    /// The images of each font, or each by itself.
    pub groups: Groups,
    pub predictions: Predictions,
    pub outcomes: Outcomes,
}

impl Judged {
    /// Classifies a split: the one to judge on has at least one image.
    pub(crate) fn classify(inputs: &mut Inputs<'_>, split: SplitName, console: &Console) -> Result<Self, Error> {
        let data = inputs.open_split(split)?;
        if data.is_empty() && split == inputs.split() {
            return Err(Error::EmptySplit { dataset: inputs.dataset.name.clone(), split });
        }
        let predictions = predict::classify(inputs, &data, split, console)?;
        let files = data.names()?;
        let fonts: Vec<_> = files.iter().map(|file| font_of(file)).collect();
        let groups = Groups::of(&fonts);
        let labels = (0..data.len()).map(|row| data.label(row)).collect();
        let outcomes = Outcomes::new(labels, predictions.logits.clone(), inputs.model_temperature());
        check_probabilities(&inputs.model.path, split, &predictions, &outcomes)?;
        Ok(Self { split, data, files, fonts, groups, predictions, outcomes })
    }

    /// What the report says of an image.
    pub(crate) fn record(&self, row: usize, classes: &[String]) -> ImageRecord {
        let name = |class: u8| classes[usize::from(class)].clone();
        ImageRecord {
            row,
            file: self.files[row].clone(),
            font: self.fonts[row].clone(),
            label: name(self.outcomes.labels[row]),
            prediction: name(self.outcomes.predicted[row]),
            confidence: self.outcomes.confidence(row),
            probabilities: self.outcomes.probabilities.row(row).to_vec(),
        }
    }

    /// The duplicates that `preprocess` removed from the split: the row of the image that stayed for each, and the font that
    /// its own name tells.
    pub(crate) fn duplicates(&self, inputs: &Inputs<'_>) -> Result<Vec<(usize, Option<String>)>, Error> {
        let rows: HashMap<&str, usize> = self.files.iter().map(String::as_str).zip(0..).collect();
        let mut duplicates = Vec::new();
        let folder = &inputs.options.dataset;
        for removed in inputs.dataset.read_removed_list(folder)? {
            if removed.split == self.split && removed.reason == Removed::Duplicate {
                let row = rows.get(removed.same_as.as_str()).ok_or_else(|| artifacts::Error::Malformed {
                    path: folder.join(Dataset::REMOVED_LIST),
                    kind: Dataset::REMOVED_LIST,
                    reason: format!("`{}` is no image of the {} split", removed.same_as, self.split),
                })?;
                duplicates.push((*row, font_of(&removed.file)));
            }
        }
        Ok(duplicates)
    }
}

/// How far a probability may be from the one that is computed from the logits: that is single precision and a runtime's `exp`.
const MOST_DIFFERENCE: f64 = 1e-3;

/// The model's own probabilities are those of its logits and of the temperature in its metadata.
fn check_probabilities(
    model: &Path,
    split: SplitName,
    predictions: &Predictions,
    outcomes: &Outcomes,
) -> Result<(), Error> {
    let rows = predictions.probabilities.rows().into_iter().zip(outcomes.probabilities.rows());
    for (row, (given, computed)) in rows.enumerate() {
        let differences = given.iter().zip(computed).map(|(&given, computed)| (f64::from(given) - computed).abs());
        // Unlike `f64::max`, it keeps what is no number.
        let difference =
            differences.fold(0.0, |most: f64, next| if next > most || next.is_nan() { next } else { most });
        if difference.is_nan() || difference > MOST_DIFFERENCE {
            let (model, temperature) = (model.to_owned(), outcomes.temperature);
            return Err(Error::Probabilities { model, row, split, temperature, difference });
        }
    }
    Ok(())
}
