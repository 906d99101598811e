//! Section 5: where the model fails, and where the labels likely do.

use artifacts::SplitName;

use crate::judged::Judged;
use crate::measures::label_issues;
use crate::measures::undefined::Reasons;
use crate::report::{Failures, LabelIssue, LabelIssues};

/// Section 5.
pub(crate) fn failures(judged: &Judged, validation: &Judged, classes: &[String], reasons: &mut Reasons) -> Failures {
    let outcomes = &judged.outcomes;
    let mut rising: Vec<usize> = (0..outcomes.len()).collect();
    rising.sort_by(|&one, &other| outcomes.confidence(one).total_cmp(&outcomes.confidence(other)));
    let errors = rising.iter().rev().filter(|&&row| !outcomes.is_right(row));
    let successes = rising.iter().filter(|&&row| outcomes.is_right(row));
    let record = |&row: &usize| judged.record(row, classes);
    let mut splits = vec![validation];
    if judged.split != SplitName::Valid {
        splits.push(judged);
    }
    Failures {
        confident_errors: errors.take(Failures::MOST).map(record).collect(),
        unsure_successes: successes.take(Failures::MOST).map(record).collect(),
        label_issues: splits.into_iter().map(|split| label_issues(split, classes, reasons)).collect(),
    }
}

fn label_issues(judged: &Judged, classes: &[String], reasons: &mut Reasons) -> LabelIssues {
    let found = label_issues::find(&judged.outcomes);
    let estimated_share = found.estimated_share(&judged.outcomes.labels);
    let place = format!("failures.label_issues.{}", judged.split);
    for (class, threshold) in classes.iter().zip(&found.thresholds) {
        let reason = format!("the split has no image of class {class}");
        reasons.explain(threshold.as_ref(), format!("{place}.thresholds.{class}"), reason);
    }
    reasons.explain(
        estimated_share.as_ref(),
        format!("{place}.estimated_share"),
        "no image is confidently of any class",
    );
    let out_of_sample = match judged.split {
        SplitName::Valid => "the weights were not fitted to it, though it decided which of them were kept",
        SplitName::Test | SplitName::Train => "it had no part in training",
    };
    let issue = |&(row, class): &(usize, u8)| {
        let [label, suggestion] = [judged.outcomes.labels[row], class].map(usize::from);
        let probability = |class: usize| judged.outcomes.probabilities[[row, class]];
        LabelIssue {
            row,
            file: judged.files[row].clone(),
            font: judged.fonts[row].clone(),
            label: classes[label].clone(),
            suggestion: classes[suggestion].clone(),
            label_probability: probability(label),
            suggestion_probability: probability(suggestion),
        }
    };
    LabelIssues {
        split: judged.split,
        out_of_sample: out_of_sample.to_owned(),
        images: judged.outcomes.len() as u64,
        thresholds: found.thresholds,
        confident_joint: found.joint,
        estimated_share,
        found: found.issues.len() as u64,
        images_found: found.issues.iter().take(LabelIssues::MOST).map(issue).collect(),
    }
}
