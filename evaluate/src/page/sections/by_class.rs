//! Section 2: by class.

use maud::{Markup, html};

use super::{table, table_with_heads};
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::axes::{Axes, Axis, legend};
use crate::page::svg::heat_map::HeatMap;
use crate::page::svg::panels::Panels;
use crate::page::svg::{Figure, px, short};
use crate::page::text::{
    count, counted, estimate, interval, number, or_undefined, per_cent, percentage, proportion, ratio,
};
use crate::report::{Averages, ByClass, ClassFigures, ClassRoc, OperatingPoint, Report, Roc};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let by_class = &report.by_class;
    html! {
        p {
            "Each class as a question of its own: “is it this one?”. Shares are in per cent; below each figure stands its 95 %
             interval, Wilson's for shares" (Note::Wilson.mark()) ". They take the images as independent; a font's other letters may
             raise false alarms together. In the macro average all classes weigh the same, so that that of recall is the balanced
             accuracy; in the weighted one each weighs as much as it has images, so that that of recall is the accuracy."
        }
        (figures_table(report))
        (figures.show(recall_and_precision(by_class), &html! {
            "Recall is the share of a class's images that is found; precision, the share of those taken for it that are of
             it. Lines are 95 % Wilson intervals." }))
        h3 { "What is taken for what" }
        div.figures {
            (figures.show(counts(report), &html! {
                "Images. Blue: recognised. Orange: mistaken, the deeper the more often (by the square root)." }))
            (figures.show(rows(report), &html! {
                "Each row's shares in per cent: what becomes of a class's images (orange by the cube root). A class without images
                 has an empty row." }))
        }
        (mistakes(report))
        (other_thresholds(report, figures))
    }
}

fn figures_table(report: &Report) -> Markup {
    let by_class = &report.by_class;
    let heads = [
        ("recall", Note::Recall),
        ("specificity", Note::Specificity),
        ("false alarm rate", Note::FalseAlarm),
        ("precision", Note::Precision),
        ("F1", Note::F1),
        ("LR+", Note::LikelihoodRatios),
        ("LR−", Note::LikelihoodRatios),
    ];
    let heads = html! {
        th scope="col" { "class" }
        th scope="col" { "support" }
        th scope="col" { "predicted" }
        @for (name, note) in heads { th scope="col" { (name) (note.mark()) } }
    };
    let body = html! {
        @for class in &by_class.classes { (row(report, class)) }
        (averages(report, "macro", &by_class.macro_average))
        (averages(report, "weighted", &by_class.weighted_average))
    };
    table_with_heads("Figures of each class", heads, body, "")
}

fn averages(report: &Report, name: &str, average: &Averages) -> Markup {
    let classes = &report.by_class.classes;
    let shares = [
        ("recall", average.recall),
        ("specificity", average.specificity),
        ("false_alarm_rate", average.false_alarm_rate),
        ("precision", average.precision),
        ("f1", average.f1),
    ];
    html! {
        tr.average {
            th scope="row" { (name) " average" }
            td { (count(classes.iter().map(|class| class.support).sum())) }
            td { (count(classes.iter().map(|class| class.predicted).sum())) }
            @for (figure, share) in shares {
                td { (or_undefined(share, per_cent, report.reason(&format!("by_class.{name}_average.{figure}")))) }
            }
            td {} td {}
        }
    }
}

fn row(report: &Report, class: &ClassFigures) -> Markup {
    let reason = |field: &str| report.reason(&format!("by_class.classes.{}.{field}", class.class));
    html! {
        tr {
            th.name scope="row" title=(class.class) { (class.class) }
            td { (count(class.support)) }
            td { (count(class.predicted)) }
            td { (proportion(&class.recall, reason("recall"))) }
            td { (proportion(&class.specificity, reason("specificity"))) }
            td { (proportion(&class.false_alarm_rate, reason("false_alarm_rate"))) }
            td { (proportion(&class.precision, reason("precision"))) }
            td { (estimate(class.f1, per_cent, reason("f1"))) }
            td { (ratio(class.positive_likelihood_ratio, reason("positive_likelihood_ratio"))) }
            td { (ratio(class.negative_likelihood_ratio, reason("negative_likelihood_ratio"))) }
        }
    }
}

fn recall_and_precision(by_class: &ByClass) -> Figure {
    let (width, row, top) = (440.0, 27.0, 24.0);
    let left = 104.0;
    let bottom = top + row * by_class.classes.len() as f64;
    let both = |class: &ClassFigures| [class.recall.clone(), class.precision.clone()];
    let lowest = by_class.classes.iter().flat_map(both).filter_map(|share| share.value.and(share.wilson_95));
    let lowest = lowest.map(|ends| ends[0]).fold(0.9, f64::min);
    let (x, y) = (Axis::percent("share, %", lowest, 1.0, 5), Axis::linear("", 0.0, 1.0, 1));
    let axes = Axes::within([left, width - 16.0], [top, bottom], x, y);
    let drawing = html! {
        (legend(left, 10.0, &[("whisker first", "recall"), ("whisker second", "precision")]))
        (axes.x_axis())
        @for (index, class) in by_class.classes.iter().enumerate() {
            @let middle = top + row * (index as f64 + 0.5);
            text.tick text-anchor="end" x=(px(left - 10.0)) y=(px(middle + 4.0)) { (short(&class.class)) }
            @let recall = (&class.recall, "first", "recall", -4.5);
            @let precision = (&class.precision, "second", "precision", 4.5);
            @for (share, style, name, shift) in [recall, precision] {
                @if let (Some(value), Some(ends)) = (share.value, share.wilson_95) {
                    @let words = format!("{}: {name} {}", class.class, percentage(value));
                    (axes.whisker(style, ends, value, middle + shift, &words))
                }
            }
        }
    };
    let told = |class: &ClassFigures| {
        let [recall, precision] =
            both(class).map(|share| share.value.map_or_else(|| "undefined".to_owned(), percentage));
        format!("{}: recall {recall}, precision {precision}", class.class)
    };
    Figure {
        name: "recall-and-precision".to_owned(),
        title: "Recall and precision of each class".to_owned(),
        description: by_class.classes.iter().map(told).collect::<Vec<_>>().join("; "),
        width,
        height: bottom + 42.0,
        drawing,
    }
}

/// The mistakes, the most frequent first; of equally frequent ones, in the order of the classes.
fn most_frequent(report: &Report) -> Vec<(usize, usize, u64)> {
    let rows = report.by_class.confusion_matrix.rows().iter().enumerate();
    let cells =
        rows.flat_map(|(row, counts)| counts.iter().enumerate().map(move |(column, &images)| (row, column, images)));
    let mut mistakes: Vec<_> = cells.filter(|&(row, column, images)| row != column && images > 0).collect();
    mistakes.sort_by_key(|&(.., images)| std::cmp::Reverse(images));
    mistakes
}

/// The mistakes in words, for those who cannot see the map.
fn described(report: &Report) -> String {
    let classes = &report.model.classes;
    let most = most_frequent(report);
    let told: Vec<String> = most
        .iter()
        .take(5)
        .map(|&(row, column, images)| {
            format!("{} taken for {} {}", classes[row], classes[column], counted(images, "time"))
        })
        .collect();
    if told.is_empty() {
        return "A confusion matrix without a mistake.".to_owned();
    }
    format!("A confusion matrix. The most frequent mistakes: {}.", told.join(", "))
}

fn counts(report: &Report) -> Figure {
    let counts = report.by_class.confusion_matrix.rows();
    let most_of = |is_hit: bool| {
        let cells =
            counts.iter().enumerate().flat_map(|(row, counts)| counts.iter().enumerate().map(move |cell| (row, cell)));
        cells.filter(|(row, (column, _))| (row == column) == is_hit).map(|(_, (_, &images))| images).max().unwrap_or(0)
    };
    let [hits, misses] = [true, false].map(|is_hit| most_of(is_hit).max(1) as f64);
    let shade = |row: usize, column: usize, images: u64| {
        if row == column { 0.85 * images as f64 / hits } else { 0.85 * (images as f64 / misses).sqrt() }
    };
    let written = |images: u64| match images {
        0 => String::new(),
        10_000.. => format!("{}k", (images + 500) / 1000),
        _ => images.to_string(),
    };
    let classes = &report.model.classes;
    let words = |row: usize, column: usize| {
        let images = counts[row][column];
        let (truth, predicted) = (&classes[row], &classes[column]);
        (images > 0).then(|| format!("{truth} taken for {predicted}: {}", counted(images, "image")))
    };
    HeatMap {
        name: "confusion-counts",
        title: "Confusion matrix, images",
        description: described(report),
        classes,
        shades: map(counts, shade),
        texts: map(counts, |_, _, images| written(images)),
        words: &words,
    }
    .figure()
}

fn rows(report: &Report) -> Figure {
    let counts = report.by_class.confusion_matrix.rows();
    let share = |row: usize, images: u64| {
        let support: u64 = counts[row].iter().sum();
        if support == 0 { 0.0 } else { images as f64 / support as f64 }
    };
    let shade = |row: usize, column: usize, images: u64| {
        let share = share(row, images);
        if row == column { 0.85 * share } else { 0.85 * share.cbrt() }
    };
    let written = |row: usize, images: u64| match share(row, images) * 100.0 {
        0.0 => String::new(),
        share if share < 9.95 => format!("{share:.1}"),
        share => format!("{share:.0}"),
    };
    let classes = &report.model.classes;
    let words = |row: usize, column: usize| {
        let images = counts[row][column];
        let (truth, predicted) = (&classes[row], &classes[column]);
        (images > 0).then(|| format!("{truth} taken for {predicted}: {}", percentage(share(row, images))))
    };
    HeatMap {
        name: "confusion-rows",
        title: "Confusion matrix, % of each row",
        description: described(report),
        classes,
        shades: map(counts, shade),
        texts: map(counts, |row, _, images| written(row, images)),
        words: &words,
    }
    .figure()
}

fn map<T>(counts: &[Vec<u64>], of: impl Fn(usize, usize, u64) -> T) -> Vec<Vec<T>> {
    let row = |(row, counts): (usize, &Vec<u64>)| {
        counts.iter().enumerate().map(|(column, &images)| of(row, column, images)).collect()
    };
    counts.iter().enumerate().map(row).collect()
}

fn mistakes(report: &Report) -> Markup {
    let classes = &report.model.classes;
    let mistakes = most_frequent(report);
    html! {
        @if mistakes.is_empty() {
            p { "There is no mistake." }
        } @else {
            (table("The most frequent mistakes", &["label", "taken for", "images", "of the label's, %"], html! {
                @for &(row, column, images) in mistakes.iter().take(10) {
                    @let support = report.by_class.classes[row].support;
                    tr {
                        th.name scope="row" { (classes[row]) }
                        td.name { (classes[column]) }
                        td { (count(images)) }
                        td { (per_cent(images as f64 / support as f64)) }
                    }
                }
            }, ""))
        }
    }
}

fn other_thresholds(report: &Report, figures: &mut Figures) -> Markup {
    let roc = &report.by_class.roc;
    html! {
        h3 { "At other thresholds" }
        p {
            "So far, the most probable class is the answer. Whoever asks for a single class may set a threshold on its
             probability instead: a high one gives few false alarms, a low one misses few images. The curve of a class shows what
             can be had for what; the area under it is the probability that an image of the class gets a higher probability of it
             than an image of another one. The probabilities are those that the model gives; another temperature would rank the
             images somewhat otherwise."
        }
        (figures.show(curves(&report.by_class), &html! {
            "Recall against the false alarm rate as the threshold falls; rates on a logarithmic scale, so that the area seen is not
             the one in the table, and no false alarm at the left edge. The dot is the most probable class as the
             answer, which "
            @if report.model.classes.len() == 2 { "is a threshold of one half." }
            @else { "is no threshold on one probability: it may lie off the curve." } }))
        (areas(report, roc))
        (operating_points(report, roc))
    }
}

fn areas(report: &Report, roc: &Roc) -> Markup {
    let heads = html! {
        th scope="col" { "class" }
        th scope="col" { "area under the curve, %" (Note::Roc.mark()) }
        th scope="col" { "average precision, %" (Note::AveragePrecision.mark()) }
    };
    let rows = html! {
        @for class in &roc.classes {
            @let reason = report.reason(&format!("by_class.roc.classes.{}", class.class));
            tr {
                th.name scope="row" title=(class.class) { (class.class) }
                td { (estimate(class.area, per_cent, reason)) }
                td { (or_undefined(class.average_precision, per_cent, reason)) }
            }
        }
        tr.average {
            th scope="row" { "macro average" }
            @for figure in [roc.macro_average.area, roc.macro_average.average_precision] {
                td { (or_undefined(figure, per_cent, report.reason("by_class.roc.macro_average"))) }
            }
        }
    };
    table_with_heads("Area and average precision of each class", heads, rows, "")
}

/// A row a class, a column a false alarm rate.
fn operating_points(report: &Report, roc: &Roc) -> Markup {
    let heads = html! {
        th scope="col" { "class" }
        @for rate in &roc.false_alarm_rates { th scope="col" { "recall at " (percentage(*rate)) " false alarms, %" } }
    };
    let rows = html! {
        @for class in &roc.classes {
            @let place = format!("by_class.roc.classes.{}", class.class);
            tr {
                th.name scope="row" title=(class.class) { (class.class) }
                @for (index, point) in class.operating_points.iter().enumerate() {
                    @let reason = report.reason(&place).or_else(|| report.reason(&format!("{place}.operating_points.{index}")));
                    td {
                        (or_undefined(point.as_ref().and_then(|point| point.recall.value), per_cent, reason))
                        @if let Some(OperatingPoint { threshold, recall, false_alarm_rate }) = point {
                            @if let (Some(ends), Some(_)) = (recall.wilson_95, recall.value) { small { (interval(ends, per_cent)) } }
                            @if let Some(rate) = false_alarm_rate.value {
                                small { "from " (number(*threshold)) ": " (percentage(rate)) " false alarms" }
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        p {
            "Thresholds to set: the lowest ones that keep to a false alarm rate on the validation split, and what they give on the
             images that are judged, where the rate is another one. Where a class is rare, nearly all images are of others, and even
             a low rate gives more false alarms than hits: see the next section."
        }
        (table_with_heads("Thresholds of each class", heads, rows, ""))
    }
}

fn curves(by_class: &ByClass) -> Figure {
    let classes = &by_class.roc.classes;
    let names: Vec<&str> = classes.iter().map(|class| class.class.as_str()).collect();
    // What stands at the left edge, without a false alarm, and what is drawn lowest.
    let points = |class: &ClassRoc| {
        let curve = class.curve.iter().flat_map(|curve| curve.false_alarm_rate.iter().zip(&curve.recall));
        curve.map(|(&rate, &recall)| (rate, recall)).collect::<Vec<_>>()
    };
    let all: Vec<(f64, f64)> = classes.iter().flat_map(points).collect();
    let least = all.iter().map(|&(rate, _)| rate).filter(|&rate| rate > 0.0).fold(1.0, f64::min);
    let first = classes.iter().filter_map(|class| points(class).into_iter().find(|&(_, recall)| recall > 0.0));
    let answers = by_class.classes.iter().filter_map(|class| class.recall.value);
    let lowest = first.map(|(_, recall)| recall).chain(answers).fold(0.9, f64::min);
    let axes = |x, y| Axes::within(x, y, Axis::rates(least / 2.0, 1.0), Axis::percent("", lowest, 1.0, 2));
    let draw = |index: usize, axes: &Axes| {
        let (class, answer) = (&classes[index], &by_class.classes[index]);
        class.area.value.map(|area| {
            let points = [(0.0, 0.0)].into_iter().chain(points(class)).map(|(rate, recall)| (rate, Some(recall)));
            html! {
                (axes.line("first", points))
                @if let (Some(recall), Some(false_alarm_rate)) = (answer.recall.value, answer.false_alarm_rate.value) {
                    @let [shares, alarms, area] = [recall, false_alarm_rate, area].map(percentage);
                    @let words = format!("{}: recall {shares}, false alarms {alarms}; area {area}", class.class);
                    (axes.point("second", false_alarm_rate, recall, &words))
                }
            }
        })
    };
    let Panels { width, height, drawing } = Panels::new(&names, ["false alarm rate, %", "recall, %"], axes, draw);
    let told = |class: &ClassRoc| Some(format!("{}: {}", class.class, percentage(class.area.value?)));
    Figure {
        name: "roc".to_owned(),
        title: "Recall against false alarms".to_owned(),
        description: format!(
            "A curve for each class, which rises with the false alarm rate. The area under it: {}.",
            classes.iter().filter_map(told).collect::<Vec<_>>().join("; ")
        ),
        width,
        height,
        drawing,
    }
}
