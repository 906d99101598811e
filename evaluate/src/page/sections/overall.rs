//! Section 1: how good.

use maud::{Markup, html};

use super::table_with_heads;
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::axes::{Axes, Axis};
use crate::page::svg::{Figure, px};
use crate::page::text::{count, counted, interval, number, or_undefined, per_cent, split};
use crate::report::{Overall, Proportion, Quality, Report, Unit};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let Overall { without_duplicates, as_it_came } = &report.overall;
    let unit = without_duplicates.intervals.unit.name();
    let is_by_font = without_duplicates.intervals.unit == Unit::Font;
    let has_by_font = without_duplicates.intervals.accuracy_by_font().is_some();
    let has_small_line = as_it_came.as_ref().is_some_and(|came| came.intervals.accuracy_95.is_some());
    html! {
        p {
            "All figures are on the " (split(report.split)) " split without images that occur twice in it ("
            (counted(without_duplicates.images, "image")) ")"
            @if let Some(came) = as_it_came {
                @if came.images == without_duplicates.images { "; the test set as it came has no such image" }
                @else { "; beside them, those on the test set as it came, with its duplicates (" (counted(came.images, "image")) ")" }
            }
            ". "
            @if has_by_font {
                "Were other fonts drawn in the same way, 95 of 100 intervals by font would hold the figure that all fonts would give;
                 Wilson's would, if the glyphs of a font had nothing in common."
            } @else if is_by_font {
                "All are of one font, which tells nothing of others: were other images of it drawn in the same way, 95 of 100
                 intervals of Wilson would hold the figure that all of its images would give."
            } @else {
                "Were other images drawn in the same way, 95 of 100 intervals of Wilson, or by image, would hold the figure that all
                 images would give."
            }
            " The Beta posterior answers otherwise: given these counts, independent images and Jeffreys' prior, the share lies in it
             with a probability of 95 %."
            @if has_small_line { " As it came, the small line is the interval by " (unit) "." }
        }
        (measures(report, without_duplicates, as_it_came.as_ref()))
        (figures.show(intervals(&report.overall), &html! {
            "How far chance may have moved the accuracy. Wilson's interval and the Beta posterior" (Note::Jeffreys.mark())
            " take the images as independent"
            @if has_by_font {
                "; the one by font counts what the glyphs of a font have in common, and is the one to trust"
            }
            "."
            @if as_it_came.as_ref().is_some_and(|came| came.images != without_duplicates.images) {
                " As it came, copies of an image count like images of their own, which makes intervals too narrow."
            }
        }))
        @if !is_by_font {
            p.note { "No file name tells a font: all intervals take the images as independent." }
        }
    }
}

/// A row of the table.
struct Measure<'a> {
    name: &'static str,
    /// Its name in the report.
    field: &'static str,
    note: Note,
    write: fn(f64) -> String,
    value: Option<f64>,
    /// What it is a share of, if it is one.
    share: Option<&'a Proportion>,
    interval: Option<[f64; 2]>,
}

fn measures_of(quality: &Quality) -> [Measure<'_>; 8] {
    let Quality { accuracy, top_2_accuracy, intervals, .. } = quality;
    [
        Measure {
            name: "accuracy, %",
            field: "accuracy",
            note: Note::Accuracy,
            write: per_cent,
            value: accuracy.value,
            share: Some(accuracy),
            interval: intervals.accuracy_95,
        },
        Measure {
            name: "always the most frequent class, %",
            field: "majority_baseline",
            note: Note::MajorityBaseline,
            write: per_cent,
            value: Some(quality.majority_baseline),
            share: None,
            interval: None,
        },
        Measure {
            name: "balanced accuracy, %",
            field: "balanced_accuracy",
            note: Note::BalancedAccuracy,
            write: per_cent,
            value: quality.balanced_accuracy,
            share: None,
            interval: intervals.balanced_accuracy_95,
        },
        Measure {
            name: "macro F1, %",
            field: "macro_f1",
            note: Note::F1,
            write: per_cent,
            value: quality.macro_f1,
            share: None,
            interval: intervals.macro_f1_95,
        },
        Measure {
            name: "top-2 accuracy, %",
            field: "top_2_accuracy",
            note: Note::TopTwo,
            write: per_cent,
            value: top_2_accuracy.value,
            share: Some(top_2_accuracy),
            interval: intervals.top_2_accuracy_95,
        },
        Measure {
            name: "negative log likelihood, nats",
            field: "negative_log_likelihood",
            note: Note::NegativeLogLikelihood,
            write: number,
            value: Some(quality.negative_log_likelihood),
            share: None,
            interval: intervals.negative_log_likelihood_95,
        },
        Measure {
            name: "Brier score",
            field: "brier_score",
            note: Note::Brier,
            write: number,
            value: Some(quality.brier_score),
            share: None,
            interval: intervals.brier_score_95,
        },
        Measure {
            name: "Cohen's kappa",
            field: "cohen_kappa",
            note: Note::Kappa,
            write: number,
            value: quality.cohen_kappa,
            share: None,
            interval: intervals.cohen_kappa_95,
        },
    ]
}

fn measures(report: &Report, quality: &Quality, came: Option<&Quality>) -> Markup {
    let heads = html! {
        th scope="col" { "measure" }
        th scope="col" { "value" }
        th scope="col" { "Wilson interval" (Note::Wilson.mark()) }
        th scope="col" { "Beta posterior" (Note::Jeffreys.mark()) }
        th scope="col" { "by " (quality.intervals.unit.name()) (Note::ByFont.mark()) }
        @if came.is_some() { th scope="col" { "as it came" } }
    };
    let as_it_came = came.map(|came| measures_of(came).map(Some)).unwrap_or_default();
    let body = html! {
        @for (measure, came) in measures_of(quality).iter().zip(as_it_came) {
            @let reason = |part: &str| report.reason(&format!("overall.{part}.{}", measure.field));
            @let ends = |ends: Option<[f64; 2]>| html! { @if let Some(ends) = ends { (interval(ends, measure.write)) } };
            tr {
                th scope="row" { (measure.name) (measure.note.mark()) }
                td { strong { (or_undefined(measure.value, measure.write, reason("without_duplicates"))) } }
                td { (ends(measure.share.and_then(|share| share.wilson_95))) }
                td { (ends(measure.share.and_then(|share| share.jeffreys_95))) }
                td { (ends(measure.interval)) }
                @if let Some(came) = came {
                    td {
                        (or_undefined(came.value, came.write, reason("as_it_came")))
                        small { (ends(came.interval)) }
                    }
                }
            }
        }
    };
    table_with_heads("Measures of quality", heads, body, "")
}

/// An interval's name, its ends, and the accuracy.
type Interval = (String, [f64; 2], f64);

fn accuracy_intervals(quality: &Quality, which: &str) -> Vec<Interval> {
    let accuracy = &quality.accuracy;
    let Some(value) = accuracy.value else { return Vec::new() };
    let by_font = quality.intervals.accuracy_by_font();
    let intervals = [("Wilson", accuracy.wilson_95), ("Beta posterior", accuracy.jeffreys_95), ("by font", by_font)];
    let intervals = intervals.into_iter().filter_map(|(name, ends)| Some((name, ends?)));
    intervals.map(|(name, ends)| (format!("{name}{which}"), ends, value)).collect()
}

fn intervals(overall: &Overall) -> Figure {
    let mut intervals = accuracy_intervals(&overall.without_duplicates, "");
    if let Some(came) = overall.as_it_came.as_ref().filter(|came| came.images != overall.without_duplicates.images) {
        intervals.extend(accuracy_intervals(came, ", as it came"));
    }
    let (low, high) =
        intervals.iter().fold((1.0_f64, 0.0_f64), |(low, high), (_, ends, _)| (low.min(ends[0]), high.max(ends[1])));
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let (width, row, left) = (440.0, 26.0, 168.0);
    let bottom = 10.0 + row * intervals.len() as f64;
    let y = Axis::linear("", 0.0, 1.0, 1);
    let axes = Axes::within([left, width - 16.0], [6.0, bottom], Axis::percent("accuracy, %", low, high, 5), y);
    let drawing = html! {
        (axes.x_axis())
        @for (index, (name, ends, value)) in intervals.iter().enumerate() {
            @let middle = 6.0 + row * (index as f64 + 0.5);
            text.tick text-anchor="end" x=(px(left - 10.0)) y=(px(middle + 4.0)) { (name) }
            (axes.whisker("first", *ends, *value, middle, &format!("{name}: {} to {} %", per_cent(ends[0]), per_cent(ends[1]))))
        }
    };
    let described: Vec<String> =
        intervals.iter().map(|(name, ends, _)| format!("{name} {} %", interval(*ends, per_cent))).collect();
    Figure {
        name: "accuracy-intervals".to_owned(),
        title: "95 % intervals of the accuracy".to_owned(),
        description: format!(
            "Accuracy {} of {} images. {}.",
            count(overall.without_duplicates.accuracy.count),
            count(overall.without_duplicates.images),
            described.join("; ")
        ),
        width,
        height: bottom + 42.0,
        drawing,
    }
}
