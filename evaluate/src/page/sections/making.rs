//! Section 7: how it was made.

use artifacts::{EpochMetrics, Provenance, Weights};
use maud::{Markup, html};

use super::table;
use crate::page::svg::Figure;
use crate::page::svg::axes::{Axes, Axis, legend};
use crate::page::text::{count, counted, number, percentage};
use crate::page::{Figures, TIMINGS_PAGE};
use crate::report::{DatasetSummary, Making, Report};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let making = &report.making;
    html! {
        h3 { "Learning curves" }
        (curves(making, figures))
        h3 { "The network" }
        (network(making))
        h3 { "The data" }
        (data(report, &making.dataset))
        h3 { "The stages" }
        p { "What each stage was asked for. The same arguments and inputs give the same bytes." }
        @for stage in &making.stages { (arguments(stage)) }
        h3 { "Digests" }
        details {
            summary { "SHA-256 of " (counted(making.artifacts.len() as u64, "file")) ", from the archive to the model" }
            (table("Digests of the artifacts", &["file", "written by", "SHA-256"], html! {
                @for artifact in &making.artifacts {
                    tr {
                        th scope="row" { (artifact.file) }
                        td { (artifact.written_by.as_deref().unwrap_or("its author")) }
                        td { code { (artifact.sha256.to_string()) } }
                    }
                }
            }, "words"))
        }
        h3 { "Times" }
        p {
            "This page is the same bytes each time it is written. What the clock said (throughput, latency, the time of the training)
             is on " a href=(TIMINGS_PAGE) { "a page of its own" } ", and in " code { "timings.json" } "."
        }
    }
}

/// A curve's style, its name and its values.
type Curve<'a> = (&'a str, &'a str, Vec<(f64, Option<f64>)>);

fn curves(making: &Making, figures: &mut Figures) -> Markup {
    let epochs = &making.learning_curves;
    if epochs.is_empty() {
        return html! { p.note { "The run has no metrics.jsonl, so that its learning curves are not known." } };
    }
    let of = |value: fn(&EpochMetrics) -> Option<f64>| {
        epochs.iter().map(|epoch| (epoch.epoch as f64, value(epoch))).collect::<Vec<_>>()
    };
    let averaged = |curve: Curve<'static>| curve.2.iter().any(|(_, value)| value.is_some()).then_some(curve);
    let loss = [
        ("first", "training", of(|epoch| Some(epoch.train_loss))),
        ("second", "validation", of(|epoch| Some(epoch.valid_loss))),
    ]
    .into_iter()
    .chain(averaged(("third", "averaged weights", of(|epoch| epoch.averaged_valid_loss))));
    let accuracy = [("second", "validation", of(|epoch| Some(epoch.valid_accuracy)))].into_iter().chain(averaged((
        "third",
        "averaged weights",
        of(|epoch| epoch.averaged_valid_accuracy),
    )));
    let rate = [("first", "", of(|epoch| Some(epoch.learning_rate)))];
    let which = match making.kept_weights {
        Weights::Trained => "the weights",
        Weights::Averaged => "the moving average of the weights",
    };
    html! {
        p {
            "Of " (counted(epochs.len() as u64, "epoch")) ", " (which) " after number " (making.kept_epoch) " was kept: on
             validation, a loss of "
            @if let Some(kept) = epochs.iter().find(|epoch| epoch.epoch == making.kept_epoch) {
                @let (_, loss, accuracy) = kept.best();
                (number(loss)) " nats and an accuracy of " (percentage(accuracy)) "."
            } @else { "which no record is left." }
            @if let Some(pixels) = making.test_time_shift() {
                " The network that is judged here also averages over images shifted by " (counted(pixels, "pixel")) " to each
                 side, which these figures of its training leave out."
            }
        }
        div.figures {
            (figures.show(curve("loss", "Loss", "loss, nats", false, &loss.collect::<Vec<_>>()), &html! {
                "Training loss is as trained, label smoothing and dropout included, so that it may lie above validation's." }))
            (figures.show(curve("accuracy", "Accuracy", "accuracy, %", true, &accuracy.collect::<Vec<_>>()), &html! {
                "The share of the validation split that is classified rightly, by the weights and by their moving average where
                 one is kept." }))
            (figures.show(curve("learning-rate", "Learning rate", "learning rate", false, &rate), &html! {
                "At each epoch's last step." }))
        }
    }
}

fn curve(name: &str, title: &str, label: &str, is_share: bool, curves: &[Curve<'_>]) -> Figure {
    let (width, height) = (420.0, 270.0);
    let values = || curves.iter().flat_map(|(.., points)| points.iter().filter_map(|(_, value)| *value));
    let (low, high) =
        values().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let y = if is_share { Axis::percent(label, low, high, 5) } else { Axis::linear(label, 0.0_f64.min(low), high, 5) };
    let last = curves.iter().flat_map(|(.., points)| points.iter().map(|(epoch, _)| *epoch)).fold(1.0, f64::max);
    let named: Vec<(&str, &str)> =
        curves.iter().map(|(class, name, _)| (*class, *name)).filter(|(_, name)| !name.is_empty()).collect();
    let axes =
        Axes::new([width, height], if named.is_empty() { 10.0 } else { 30.0 }, Axis::linear("epoch", 0.0, last, 6), y);
    let is_one_point = curves.iter().all(|(.., points)| points.len() == 1);
    let drawing = html! {
        (axes.frame())
        @for (class, _, points) in curves {
            @if is_one_point {
                @for (epoch, value) in points { @if let Some(value) = value { (axes.point(class, *epoch, *value, &number(*value))) } }
            } @else {
                (axes.line(class, points.iter().copied()))
            }
        }
        (legend(30.0, 10.0, &named))
    };
    let told = |(_, name, points): &Curve<'_>| {
        let ends = [points.first(), points.last()]
            .map(|point| point.and_then(|(_, value)| *value).map_or("unknown".to_owned(), number));
        format!("{} from {} to {}", if name.is_empty() { title } else { name }, ends[0], ends[1])
    };
    Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        description: format!("Over {last} epochs: {}.", curves.iter().map(told).collect::<Vec<_>>().join("; ")),
        width,
        height,
        drawing,
    }
}

fn network(making: &Making) -> Markup {
    let columns = ["layer", "inputs", "outputs", "activation", "parameters"];
    table(
        "The network's layers",
        &columns,
        html! {
            @for layer in &making.layers {
                tr {
                    th scope="row" { "Linear " (layer.name) @if layer.groups > 1 { ", in " (layer.groups) " groups" } }
                    td { (count(layer.inputs)) }
                    td { (count(layer.outputs)) }
                    td { @if layer.relu { "ReLU" } @else { "softmax" } }
                    td { (count(layer.parameters)) }
                }
            }
            tr.average { th scope="row" { "all" } td {} td {} td {} td { (count(making.parameters)) } }
        },
        "",
    )
}

fn data(report: &Report, data: &DatasetSummary) -> Markup {
    let removed = &data.removed;
    let splits = [&data.train, &data.valid, &data.test];
    let left_out = [
        ("same image and label as another of its split", removed.duplicates),
        ("same image and label as one of the test or validation split", removed.leaks),
        ("same image as one of the test split, under another label", removed.conflicting_leaks),
        ("same image under two labels, in training and validation", removed.conflicts),
        ("same image under two labels in the test split: kept", removed.test_conflicts),
        ("no usable image", data.rejected),
    ];
    html! {
        (table("Images by class and split", &["class", "training", "validation", "test"], html! {
            @for (class, name) in report.model.classes.iter().enumerate() {
                tr {
                    th.name scope="row" { (name) }
                    @for split in splits { td { (count(split.get(class).copied().unwrap_or(0))) } }
                }
            }
            tr.average { th scope="row" { "all" } @for split in splits { td { (count(split.iter().sum())) } } }
        }, ""))
        (table("What was left out", &["left out or reported", "images"], html! {
            @for (what, images) in left_out { tr { th scope="row" { (what) } td { (count(images)) } } }
            @for (kind, images) in &data.converted {
                tr { th scope="row" { "converted to 8-bit grey from " (kind) } td { (count(*images)) } }
            }
        }, "words"))
        p {
            @if data.fonts.images == 0 { "No file name tells a font." } @else {
                "The names of " (counted(data.fonts.images, "file")) " tell " (counted(data.fonts.fonts, "font")) "; "
                @if data.fonts.shared_with_test == 0 { "none of the test split's is in another split." }
                @else { (count(data.fonts.shared_with_test)) " of the test split's are in other splits too." }
            }
            " The training pixels, scaled to 0 to 1, have mean " (number(data.mean)) " and standard deviation "
            (number(data.standard_deviation)) "."
        }
        @if !data.rejected_files.is_empty() {
            details {
                summary { "Files that are no usable image" }
                (table("Rejected files", &["file", "reason"], html! {
                    @for file in &data.rejected_files { tr { th scope="row" { (file.file) } td { (file.reason) } } }
                }, "words"))
            }
        }
    }
}

fn arguments(stage: &Provenance) -> Markup {
    html! {
        details {
            summary { (stage.tool) " " (stage.version) }
            (table(&format!("Arguments of {}", stage.tool), &["argument", "value"], html! {
                @if let Some(seed) = stage.seed { tr { th scope="row" { "seed" } td { (seed) } } }
                @for (name, value) in &stage.arguments {
                    tr { th scope="row" { (name) } td { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
                }
                @for (name, digest) in &stage.inputs {
                    tr { th scope="row" { "input " (name) } td { code { (digest.to_string()) } } }
                }
            }, "words"))
        }
    }
}
