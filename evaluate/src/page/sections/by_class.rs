//! Section 2: by class.

use maud::{Markup, html};

use super::{table, table_with_heads};
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::axes::{Axes, Axis, legend};
use crate::page::svg::heat_map::HeatMap;
use crate::page::svg::{Figure, px, short};
use crate::page::text::{count, counted, estimate, number, or_undefined, per_cent, percentage, proportion};
use crate::report::{ByClass, ClassFigures, Report};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let by_class = &report.by_class;
    html! {
        p {
            "Each class as a question of its own: “is it this one?”. Shares are in per cent; below each figure stands its 95 %
             interval, Wilson's for shares." (Note::Wilson.mark())
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
    }
}

fn figures_table(report: &Report) -> Markup {
    let by_class = &report.by_class;
    let average = &by_class.macro_average;
    let heads = [
        ("recall", Note::Recall),
        ("specificity", Note::Specificity),
        ("false alarms", Note::FalseAlarm),
        ("precision", Note::Precision),
        ("F1", Note::F1),
        ("LR+", Note::LikelihoodRatios),
        ("LR−", Note::LikelihoodRatios),
    ];
    let shares = [average.recall, average.specificity, average.false_alarm_rate, average.precision, average.f1];
    let heads = html! {
        th scope="col" { "class" }
        th scope="col" { "support" }
        th scope="col" { "predicted" }
        @for (name, note) in heads { th scope="col" { (name) (note.mark()) } }
    };
    let body = html! {
        @for class in &by_class.classes { (row(report, class)) }
        tr.average {
            th scope="row" { "macro average" }
            td { (count(by_class.classes.iter().map(|class| class.support).sum())) }
            td { (count(by_class.classes.iter().map(|class| class.predicted).sum())) }
            @for share in shares { td { (or_undefined(share, per_cent, Some("no class has this figure"))) } }
            td {} td {}
        }
    };
    table_with_heads("Figures of each class", heads, body, "")
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
            td { (estimate(class.positive_likelihood_ratio, number, reason("positive_likelihood_ratio"))) }
            td { (estimate(class.negative_likelihood_ratio, number, reason("negative_likelihood_ratio"))) }
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
        10_000.. => format!("{}k", images / 1000),
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
