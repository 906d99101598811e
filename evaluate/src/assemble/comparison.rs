//! Section 8: against another model on the same images.

use crate::inputs::Other;
use crate::judged::Judged;
use crate::measures::paired;
use crate::measures::undefined::Reasons;
use crate::report::{Comparison, Disagreement, Proportion};

pub(crate) fn comparison(other: &Other, judged: &Judged, classes: &[String], reasons: &mut Reasons) -> Comparison {
    let outcomes = &judged.outcomes;
    let count = |this_right: bool, other_right: bool| {
        let of_images =
            |&row: &usize| (outcomes.is_right(row), is_right(other, judged, row)) == (this_right, other_right);
        (0..outcomes.len()).filter(of_images).count() as u64
    };
    let (only_this_right, only_other_right, both_right) = (count(true, false), count(false, true), count(true, true));
    let advantage = |row: usize| i32::from(outcomes.is_right(row)) - i32::from(is_right(other, judged, row));
    let groups = &judged.groups;
    let by_font = groups.are_fonts().then(|| paired::by_font(groups, advantage));
    reasons.explain(by_font.as_ref(), "comparison.by_font", "no file name tells a font");
    if let Some(by_font) = &by_font {
        let reason =
            if by_font.fonts == 1 { "a single font tells nothing of others" } else { "it is the same in every font" };
        reasons.explain(by_font.difference_95.as_ref(), "comparison.by_font.difference_95", reason);
    }
    let total = outcomes.len() as u64;
    let differing: Vec<usize> =
        (0..outcomes.len()).filter(|&row| outcomes.predicted[row] != other.predictions[row]).collect();
    Comparison {
        report: other.digest,
        other_digest: other.model,
        other: other.report.model.clone(),
        other_accuracy: Proportion::of(both_right + only_other_right, total),
        both_right,
        only_this_right,
        only_other_right,
        both_wrong: count(false, false),
        difference: paired::difference(only_this_right, only_other_right, total),
        mcnemar_p: paired::mcnemar(only_this_right, only_other_right),
        by_font,
        differing: differing.len() as u64,
        images: differing
            .into_iter()
            .take(Comparison::MOST)
            .map(|row| disagreement(other, judged, row, classes))
            .collect(),
    }
}

fn is_right(other: &Other, judged: &Judged, row: usize) -> bool {
    other.predictions[row] == judged.outcomes.labels[row]
}

fn disagreement(other: &Other, judged: &Judged, row: usize, classes: &[String]) -> Disagreement {
    let outcomes = &judged.outcomes;
    let [label, this, that] = [outcomes.labels[row], outcomes.predicted[row], other.predictions[row]].map(usize::from);
    Disagreement {
        row,
        file: judged.files[row].clone(),
        font: judged.fonts[row].clone(),
        label: classes[label].clone(),
        this: classes[this].clone(),
        this_confidence: outcomes.confidence(row),
        other: classes[that].clone(),
        other_confidence: f64::from(other.probabilities[[row, that]]),
    }
}
