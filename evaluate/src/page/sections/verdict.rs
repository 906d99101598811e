//! The page's first lines: what was judged, and what came out, in a few sentences.

use artifacts::{ModelDescription, SplitName};
use maud::{Markup, html};

use crate::page::text::{count, counted, network, per_cent, percentage, split};
use crate::report::{Calibration, ClassFigures, Report};

/// What was judged.
pub(crate) fn title(report: &Report) -> Markup {
    html! { (report.dataset) ", " (report.model.classes.len()) " classes" }
}

/// What came out.
pub(crate) fn verdict(report: &Report) -> Markup {
    let quality = &report.overall.without_duplicates;
    let accuracy = &quality.accuracy;
    let unseen = match report.split {
        // The trainer's logits are of the data set that it was trained on, and are compared where it is this one.
        SplitName::Test | SplitName::Valid if report.parity.is_none() => {
            ", some of which may have had a part in training, as that was on another data set"
        }
        SplitName::Test => ", which had no part in training",
        SplitName::Valid => ", which decided when training stopped",
        SplitName::Train => "",
    };
    html! {
        "Of " (counted(accuracy.total, &format!("{} image", split(report.split)))) (unseen) ", the model names "
        (count(accuracy.count)) " rightly"
        @if let (Some(value), Some(wilson)) = (accuracy.value, accuracy.wilson_95) {
            @let by_font = quality.intervals.accuracy_by_font();
            @let ends = by_font.unwrap_or(wilson);
            ": " strong { (percentage(value)) } ", and with 95 % confidence between " (per_cent(ends[0])) " and " (per_cent(ends[1])) " %"
            @if by_font.is_some() { " for fonts like these" }
        }
        ". " (weakest(report)) " " (sureness(report))
    }
}

/// The class that is recognised least often, and what it is taken for.
fn weakest(report: &Report) -> Markup {
    let recall = |class: &ClassFigures| class.recall.value.unwrap_or(f64::INFINITY);
    let classes = report.by_class.classes.iter().enumerate();
    let Some((label, class)) = classes.min_by(|(_, a), (_, b)| recall(a).total_cmp(&recall(b))) else {
        return Markup::default();
    };
    let row = &report.by_class.confusion_matrix.rows()[label];
    let mistaken = row.iter().enumerate().filter(|&(other, &images)| other != label && images > 0);
    // Of equally frequent ones, the first.
    let most = mistaken.rev().max_by_key(|(_, images)| **images);
    html! {
        @if let (Some(recall), Some((other, &images))) = (class.recall.value, most) {
            "It recognises " strong { (class.class) } " least often (" (percentage(recall)) "), and takes it most often for "
            strong { (report.model.classes[other]) } " (" (count(images)) " of " (count(class.support)) ")."
        } @else {
            "Every class that has images is always recognised."
        }
    }
}

/// Whether its confidence can be taken at its word.
fn sureness(report: &Report) -> Markup {
    let Calibration { before, after, .. } = &report.calibration;
    let quality = &report.overall.without_duplicates;
    let (Some(accuracy), Some(wilson)) = (quality.accuracy.value, quality.accuracy.wilson_95) else {
        return Markup::default();
    };
    let [low, high] = quality.intervals.accuracy_by_font().unwrap_or(wilson);
    let confidence = before.mean_confidence;
    let expected = before.calibration_error_if_calibrated;
    html! {
        "Its confidence is on average " (percentage(confidence)) ", which is "
        @if (low..=high).contains(&confidence) { "no further from the share that it names rightly than chance explains" }
        @else if (confidence - accuracy).abs() < 0.1 * (1.0 - accuracy) { "about right" }
        @else if confidence > accuracy { "too high" } @else { "too low" }
        " (calibration error " (percentage(before.expected_calibration_error)) ", where that of a model whose confidence is true is "
        (percentage(expected.mean)) " on as many images"
        @if let Some(after) = after {
            "; after temperature scaling " (percentage(after.expected_calibration_error))
            @if after.expected_calibration_error <= after.calibration_error_if_calibrated.highest {
                ", no more than chance gives"
            }
        }
        ")."
    }
}

/// What was judged in which tool.
pub(crate) fn meta(report: &Report) -> Markup {
    html! {
        (kind(&report.model)) " " (network(&report.model)) " on " (report.model.height) "×" (report.model.width) " pixels; "
        (split(report.split)) " split of data set “" (report.dataset) "”; computed in ONNX Runtime on " (report.provider) "."
        @if let Some(parity) = &report.parity {
            " Its logits are the trainer's"
            @if parity.largest_relative_difference > 0.0 {
                " to within " (format!("{:.0e}", parity.largest_relative_difference)) " of the largest"
            }
            "."
        }
        " The numbers, for programs, are in " a href="report.json" { "report.json" } "."
    }
}

/// What a network is called.
fn kind(model: &ModelDescription) -> &'static str {
    if model.hidden.is_empty() { "Softmax regression" } else { "A multilayer perceptron" }
}
