//! Section 1: how good.

use maud::{Markup, html};

use super::table_with_heads;
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::axes::{Axes, Axis};
use crate::page::svg::{Figure, px};
use crate::page::text::{count, counted, interval, number, or_undefined, per_cent};
use crate::report::{Overall, Quality, Report};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let Overall { without_duplicates, as_it_came } = &report.overall;
    html! {
        p {
            "All figures are on the " (report.split) " split without images that occur twice in it ("
            (counted(without_duplicates.images, "image")) ")"
            @if let Some(came) = as_it_came {
                @if came.images == without_duplicates.images { "; the test set as it came has no such image" }
                @else { "; beside them, those on the test set as it came, with its duplicates (" (counted(came.images, "image")) ")" }
            }
            ". An interval says where a figure would lie, 95 times of 100, if other images were drawn in the same way."
        }
        (measures(report, without_duplicates, as_it_came.as_ref()))
        (figures.show(intervals(&report.overall), &html! {
            "Three answers to how far chance may have moved the accuracy. The first two take the images as independent; the
             bootstrap draws whole fonts, and is the one to trust where fonts are known."
        }))
        @if without_duplicates.by_font.is_none() {
            p.note { "No file name tells a font, so that there is no bootstrap by font." }
        }
    }
}

/// A measure's name, its value, and its interval by font.
type Row<'a> = (&'a str, Note, fn(&Quality) -> Option<f64>, fn(f64) -> String, Option<[f64; 2]>, &'a str);

fn measures(report: &Report, quality: &Quality, came: Option<&Quality>) -> Markup {
    let fonts = quality.by_font.as_ref();
    let rows: [Row<'_>; 7] = [
        ("accuracy, %", Note::Accuracy, |q| q.accuracy.value, per_cent, fonts.map(|f| f.accuracy_95), "accuracy"),
        (
            "balanced accuracy, %",
            Note::BalancedAccuracy,
            |q| q.balanced_accuracy,
            per_cent,
            fonts.and_then(|f| f.balanced_accuracy_95),
            "balanced_accuracy",
        ),
        ("macro F1, %", Note::F1, |q| q.macro_f1, per_cent, fonts.and_then(|f| f.macro_f1_95), "macro_f1"),
        (
            "top-2 accuracy, %",
            Note::TopTwo,
            |q| q.top_2_accuracy.value,
            per_cent,
            fonts.map(|f| f.top_2_accuracy_95),
            "",
        ),
        (
            "negative log likelihood, nats",
            Note::NegativeLogLikelihood,
            |q| Some(q.negative_log_likelihood),
            number,
            fonts.map(|f| f.negative_log_likelihood_95),
            "",
        ),
        ("Brier score", Note::Brier, |q| Some(q.brier_score), number, fonts.map(|f| f.brier_score_95), ""),
        ("Cohen's kappa", Note::Kappa, |q| q.cohen_kappa, number, fonts.and_then(|f| f.cohen_kappa_95), "cohen_kappa"),
    ];
    let wilson = |field: &str| match field {
        "accuracy" => quality.accuracy.wilson_95,
        _ => None,
    };
    let heads = html! {
        th scope="col" { "measure" }
        th scope="col" { "value" }
        th scope="col" { "Wilson interval" (Note::Wilson.mark()) }
        @if fonts.is_some() { th scope="col" { "by font" (Note::Bootstrap.mark()) } }
        @if came.is_some() { th scope="col" { "as it came" } }
    };
    let body = html! {
        @for (name, note, value, write, by_font, field) in rows {
            @let reason = |part: &str| report.reason(&format!("overall.{part}.{field}"));
            @let wilson = if name.starts_with("top-2") { quality.top_2_accuracy.wilson_95 } else { wilson(field) };
            tr {
                th scope="row" { (name) (note.mark()) }
                td { strong { (or_undefined(value(quality), write, reason("without_duplicates"))) } }
                td { @if let Some(ends) = wilson { (interval(ends, write)) } }
                @if fonts.is_some() { td { @if let Some(ends) = by_font { (interval(ends, write)) } } }
                @if let Some(came) = came { td { (or_undefined(value(came), write, reason("as_it_came"))) } }
            }
        }
    };
    table_with_heads("Measures of quality", heads, body, "")
}

/// An interval's name, its ends, the accuracy, and how many images it is of.
type Interval = (String, [f64; 2], f64, u64);

fn accuracy_intervals(quality: &Quality, which: &str) -> Vec<Interval> {
    let accuracy = &quality.accuracy;
    let Some(value) = accuracy.value else { return Vec::new() };
    let by_font = quality.by_font.as_ref().map(|fonts| fonts.accuracy_95);
    let intervals = [("Wilson", accuracy.wilson_95), ("Beta posterior", accuracy.jeffreys_95), ("by font", by_font)];
    let intervals = intervals.into_iter().filter_map(|(name, ends)| Some((name, ends?)));
    intervals.map(|(name, ends)| (format!("{name}{which}"), ends, value, quality.images)).collect()
}

fn intervals(overall: &Overall) -> Figure {
    let mut intervals = accuracy_intervals(&overall.without_duplicates, "");
    if let Some(came) = overall.as_it_came.as_ref().filter(|came| came.images != overall.without_duplicates.images) {
        intervals.extend(accuracy_intervals(came, ", as it came"));
    }
    let (low, high) =
        intervals.iter().fold((1.0_f64, 0.0_f64), |(low, high), (_, ends, ..)| (low.min(ends[0]), high.max(ends[1])));
    let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
    let (width, row, left) = (440.0, 26.0, 168.0);
    let bottom = 10.0 + row * intervals.len() as f64;
    let y = Axis::linear("", 0.0, 1.0, 1);
    let axes = Axes::within([left, width - 16.0], [6.0, bottom], Axis::percent("accuracy, %", low, high, 5), y);
    let drawing = html! {
        (axes.x_axis())
        @for (index, (name, ends, value, _)) in intervals.iter().enumerate() {
            @let middle = 6.0 + row * (index as f64 + 0.5);
            text.tick text-anchor="end" x=(px(left - 10.0)) y=(px(middle + 4.0)) { (name) }
            (axes.whisker("first", *ends, *value, middle, &format!("{name}: {} to {} %", per_cent(ends[0]), per_cent(ends[1]))))
        }
    };
    let described: Vec<String> =
        intervals.iter().map(|(name, ends, ..)| format!("{name} {} %", interval(*ends, per_cent))).collect();
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
