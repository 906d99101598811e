//! Section 5: where the model fails, and where the labels likely do.

use artifacts::{SplitName, font_of};

use crate::error::Error;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::measures::label_issues;
use crate::measures::outcomes::Outcomes;
use crate::measures::undefined::Reasons;
use crate::report::{Failures, LabelIssue, LabelIssues};

/// Section 5.
pub(crate) fn failures(
    inputs: &Inputs<'_>,
    judged: &Judged,
    validation: &Judged,
    reasons: &mut Reasons,
) -> Result<Failures, Error> {
    let (outcomes, classes) = (&judged.outcomes, &inputs.dataset.classes);
    let (successes, mut errors): (Vec<usize>, _) =
        outcomes.by_confidence().into_iter().partition(|&row| outcomes.is_right(row));
    // Not reversed, so that of equally confident ones the first comes first here too.
    errors.sort_by(|&one, &other| outcomes.confidence(other).total_cmp(&outcomes.confidence(one)));
    let records =
        |rows: Vec<usize>| rows.into_iter().take(Failures::MOST).map(|row| judged.record(row, classes)).collect();
    let (confident_errors, unsure_successes) = (records(errors), records(successes));

    let training = training_images(inputs)?;
    let reason = "no cross-validation says what networks that did not see them make of these images: \
                  `train --cross-validate 5`, or `make evaluate CROSS_VALIDATE=5`";
    reasons.explain(training.as_ref(), Failures::TRAINING_LABELS, reason);
    let mut splits: Vec<Labelled> = training.into_iter().collect();
    let [of_validation, of_test] = if inputs.trained_on_this_data() {
        ["the weights were not fitted to it, though it decided which of them were kept", "it had no part in training"]
    } else {
        ["the weights were fitted to another data set, which may have had some of its images"; 2]
    };
    splits.push(Labelled::of(validation, of_validation));
    if judged.split == SplitName::Test {
        splits.push(Labelled::of(judged, of_test));
    }
    let label_issues = splits.iter().map(|split| split.label_issues(classes, reasons)).collect();
    Ok(Failures { confident_errors, unsure_successes, label_issues })
}

/// The training images with the predictions of the cross-validation, where there is one.
fn training_images(inputs: &Inputs<'_>) -> Result<Option<Labelled>, Error> {
    let Some((record, logits)) = &inputs.cross_validation else { return Ok(None) };
    let data = inputs.open_split(SplitName::Train)?;
    let labels = (0..data.len()).map(|row| data.label(row)).collect();
    Ok(Some(Labelled {
        split: SplitName::Train,
        out_of_sample: format!(
            "each image was predicted by a network trained on the other {} of {} folds; a font is in one fold",
            record.folds.len() - 1,
            record.folds.len()
        ),
        files: data.names()?,
        outcomes: Outcomes::new(labels, logits.clone(), 1.0),
    }))
}

/// Images whose labels can be judged, since nothing was fitted to them.
struct Labelled {
    split: SplitName,
    out_of_sample: String,
    files: Vec<String>,
    outcomes: Outcomes,
}

impl Labelled {
    fn of(judged: &Judged, out_of_sample: &str) -> Self {
        let (files, outcomes) = (judged.files.clone(), judged.outcomes.clone());
        Self { split: judged.split, out_of_sample: out_of_sample.to_owned(), files, outcomes }
    }

    fn label_issues(&self, classes: &[String], reasons: &mut Reasons) -> LabelIssues {
        let found = label_issues::find(&self.outcomes);
        let estimated_share = found.estimated_share(&self.outcomes.labels);
        let place = format!("failures.label_issues.{}", self.split);
        for (class, threshold) in classes.iter().zip(&found.thresholds) {
            let reason = format!("the split has no image of class {class}");
            reasons.explain(threshold.as_ref(), format!("{place}.thresholds.{class}"), reason);
        }
        let reason = "no image is confidently of any class";
        reasons.explain(estimated_share.as_ref(), format!("{place}.estimated_share"), reason);
        let issues = found.issues.iter().take(LabelIssues::MOST);
        LabelIssues {
            split: self.split,
            out_of_sample: self.out_of_sample.clone(),
            images: self.outcomes.len() as u64,
            estimated_share,
            found: found.issues.len() as u64,
            images_found: issues.map(|&(row, class)| self.issue(row, class, classes)).collect(),
            thresholds: found.thresholds,
            confident_joint: found.joint,
        }
    }

    fn issue(&self, row: usize, class: u8, classes: &[String]) -> LabelIssue {
        let [label, suggestion] = [self.outcomes.labels[row], class].map(usize::from);
        let probability = |class: usize| self.outcomes.probabilities[[row, class]];
        LabelIssue {
            row,
            file: self.files[row].clone(),
            font: font_of(&self.files[row]),
            label: classes[label].clone(),
            suggestion: classes[suggestion].clone(),
            label_probability: probability(label),
            suggestion_probability: probability(suggestion),
        }
    }
}
