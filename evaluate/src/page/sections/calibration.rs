//! Section 4: how sure.

use maud::{Markup, html};

use super::table_with_heads;
use crate::page::Figures;
use crate::page::notes::Note;
use crate::page::svg::Figure;
use crate::page::svg::axes::{Axes, Axis};
use crate::page::text::{count, counted, number, per_cent, percentage};
use crate::report::{Calibration, Coverage, FittedTemperature, Reliability, Report};

pub(crate) fn section(report: &Report, figures: &mut Figures) -> Markup {
    let calibration = &report.calibration;
    html! {
        p {
            "A model that says 90 % should be right nine times of ten. Its confidence is the probability of the class that it
             takes an image for."
        }
        p { (temperature(report, calibration)) }
        (errors(calibration))
        div.figures {
            (figures.show(reliability("reliability-before", "Reliability, as the model is", &calibration.before), &caption()))
            @if let Some(after) = &calibration.after {
                (figures.show(reliability("reliability-after", "Reliability after temperature scaling", after), &caption()))
            }
        }
        p.caption { "Bins: " (calibration.binning.equal_width) ". Of equal size: " (calibration.binning.equal_size) "." }
        h3 { "If the least sure images are refused" }
        (figures.show(coverage(&calibration.accuracy_by_coverage), &html! {
            "The images are kept from the most confident one on." (Note::Coverage.mark()) " The band is the 95 % Wilson interval." }))
    }
}

fn temperature(report: &Report, calibration: &Calibration) -> Markup {
    html! {
        @if calibration.model_temperature == 1.0 { "The model's temperature is 1, which does not change its logits." }
        @else { "The model's graph divides its logits by a temperature of " (number(calibration.model_temperature)) "." }
        " "
        @match &calibration.fitted {
            Some(fitted) => {
                "Temperature scaling" (Note::Temperature.mark()) ", fitted on " (counted(fitted.images, "validation image"))
                " alone, finds T = " strong { (number(fitted.temperature)) }
                @if calibration.has_the_fitted_temperature() { ", which is the model's own." }
                @else { (other_temperature(calibration, fitted)) }
            }
            None => {
                "No temperature is the best one: "
                (report.reason("calibration.fitted").unwrap_or("none has the lowest negative log likelihood")) "."
            }
        }
    }
}

/// What the fitted temperature changes, which is not the model's own.
fn other_temperature(calibration: &Calibration, fitted: &FittedTemperature) -> Markup {
    html! {
        ": with the model's own, it was "
        @if fitted.temperature > calibration.model_temperature { "too sure" } @else { "not sure enough" }
        ". Their negative log likelihood goes from " (number(fitted.negative_log_likelihood_before)) " to "
        (number(fitted.negative_log_likelihood_after)) " nats. "
        @if calibration.temperature_helps() != Some(false) { code { "export --temperature" } " writes it into the graph." }
        @else { "On the images that are judged here it does not make both calibration error and likelihood better." }
    }
}

/// A measure's name, its note, its value, and how it is written.
type Row = (&'static str, Note, fn(&Reliability) -> f64, fn(f64) -> String);

fn errors(calibration: &Calibration) -> Markup {
    let rows: [Row; 7] = [
        ("expected calibration error, %", Note::Calibration, |r| r.expected_calibration_error, per_cent),
        (
            "the same, were the confidence true, %",
            Note::Calibration,
            |r| r.calibration_error_if_calibrated.mean,
            per_cent,
        ),
        (
            "and then exceeded once in 40 times, %",
            Note::Calibration,
            |r| r.calibration_error_if_calibrated.highest,
            per_cent,
        ),
        (
            "calibration error, bins of equal size, %",
            Note::EqualSizeCalibration,
            |r| r.equal_size_calibration_error,
            per_cent,
        ),
        ("mean confidence, %", Note::Calibration, |r| r.mean_confidence, per_cent),
        ("negative log likelihood, nats", Note::NegativeLogLikelihood, |r| r.negative_log_likelihood, number),
        ("Brier score", Note::Brier, |r| r.brier_score, number),
    ];
    let heads = html! {
        th scope="col" { "measure" }
        th scope="col" { "as it is" }
        @if calibration.after.is_some() { th scope="col" { "after scaling" } }
    };
    let rows = html! {
        @for (name, note, of, write) in rows {
            tr {
                th scope="row" { (name) (note.mark()) }
                td { (write(of(&calibration.before))) }
                @if let Some(after) = &calibration.after { td { (write(of(after))) } }
            }
        }
    };
    table_with_heads("Calibration before and after temperature scaling", heads, rows, "")
}

fn caption() -> Markup {
    html! {
        "Bars: accuracy of the images in each bin of confidence, with its 95 % Wilson interval. Orange: their mean confidence,
         where the bar would end if it could be taken at its word. A pointer on a bar shows how many images it is of."
    }
}

fn reliability(name: &str, title: &str, reliability: &Reliability) -> Figure {
    let (width, height) = (420.0, 320.0);
    let axes = Axes::new(
        [width, height],
        10.0,
        Axis::percent("confidence, %", 0.0, 1.0, 5),
        Axis::percent("accuracy, %", 0.0, 1.0, 5),
    );
    let bins =
        || reliability.equal_width.iter().filter_map(|bin| Some((bin, bin.accuracy.value?, bin.mean_confidence?)));
    let drawing = html! {
        (axes.frame())
        @for (bin, accuracy, confidence) in bins() {
            @let words = format!(
                "confidence {} to {}: {} of {} right ({}), mean confidence {}",
                percentage(bin.low), percentage(bin.high), count(bin.accuracy.count), counted(bin.accuracy.total, "image"),
                percentage(accuracy), percentage(confidence));
            (axes.bar("first", [bin.low, bin.high], accuracy, &words))
            @if let Some(ends) = bin.accuracy.wilson_95 { (axes.upright(f64::midpoint(bin.low, bin.high), ends)) }
            (axes.level("second", [bin.low, bin.high], confidence, &words))
        }
        (axes.line("ideal", [(0.0, Some(0.0)), (1.0, Some(1.0))]))
    };
    Figure {
        name: name.to_owned(),
        title: title.to_owned(),
        description: format!(
            "Accuracy against confidence in {} bins of equal width, {} of them with images; expected calibration error {}.",
            reliability.equal_width.len(),
            bins().count(),
            percentage(reliability.expected_calibration_error)
        ),
        width,
        height,
        drawing,
    }
}

fn coverage(points: &[Coverage]) -> Figure {
    let (width, height) = (440.0, 300.0);
    let known = || points.iter().filter_map(|point| Some((point, point.accuracy.value?, point.accuracy.wilson_95?)));
    let lowest = known().map(|(.., ends)| ends[0]).fold(1.0, f64::min).min(0.98);
    let axes = Axes::new(
        [width, height],
        10.0,
        Axis::percent("images kept, %", 0.0, 1.0, 5),
        Axis::percent("accuracy of those kept, %", lowest, 1.0, 5),
    );
    let band: Vec<_> = known().map(|(point, _, ends)| (point.coverage, ends)).collect();
    let drawing = html! {
        (axes.frame())
        (axes.band("first", &band))
        (axes.line("first", known().map(|(point, accuracy, _)| (point.coverage, Some(accuracy)))))
    };
    // The points nearest to half, nine tenths and all of the images.
    let nearest = |share: f64| {
        let distance = |point: &Coverage| (point.coverage - share).abs();
        known().min_by(|(a, ..), (b, ..)| distance(a).total_cmp(&distance(b)))
    };
    let told = [0.5, 0.9, 1.0].into_iter().filter_map(nearest);
    let told = told.map(|(point, accuracy, _)| {
        let threshold = percentage(point.threshold);
        format!(
            "{} kept (confidence at least {threshold}): accuracy {}",
            percentage(point.coverage),
            percentage(accuracy)
        )
    });
    Figure {
        name: "accuracy-by-coverage".to_owned(),
        title: "Accuracy against the share of images kept".to_owned(),
        description: format!("{}.", told.collect::<Vec<_>>().join("; ")),
        width,
        height,
        drawing,
    }
}
