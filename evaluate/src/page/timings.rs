//! `timings.html`: what the clock said, apart from the page that is the same bytes each time.

use maud::html;

use super::document;
use super::text::{count, counted, number};
use crate::report::Timings;
use crate::runtime::Latency;

/// The page.
pub(crate) fn page(timings: &Timings) -> String {
    let milliseconds = |seconds: f64| format!("{} ms", number(seconds * 1e3));
    let latency = |latency: &Latency| {
        format!(
            "median {}, 99th percentile {} ({} runs)",
            milliseconds(latency.median_seconds),
            milliseconds(latency.percentile_99_seconds),
            count(latency.runs as u64)
        )
    };
    let rate = |rate: f64| format!("{} images/s", count(rate.round() as u64));
    let body = html! {
        header {
            p.overline { "Report on a classifier" }
            h1 { "What the clock said" }
            p { "Times differ from one run to the next. They stand here and in " a href="timings.json" { "timings.json" }
                ", so that the " a href=(super::PAGE) { "report" } " is the same bytes each time." }
        }
        main {
            h3 { "Evaluation" }
            div.table.scroll { table.words { tbody {
                @if let Some(device) = &timings.device { tr { th scope="row" { "device" } td { (device) } } }
                tr { th scope="row" { "provider" } td { (timings.provider) ", " (counted(timings.threads as u64, "thread")) } }
                tr { th scope="row" { "throughput" } td { (rate(timings.images_per_second)) " in batches of "
                    (count(timings.batch_size as u64)) } }
                tr { th scope="row" { "latency of a batch of " (count(timings.batch.images as u64)) } td { (latency(&timings.batch)) } }
                tr { th scope="row" { "latency of one image" } td { (latency(&timings.one_image)) } }
                tr {
                    th scope="row" { "the whole split" }
                    td { (counted(timings.images as u64, "image")) " in " (milliseconds(timings.seconds)) }
                }
            } } }
            h3 { "Training" }
            @match &timings.training {
                Some(training) => div.table.scroll { table.words { tbody {
                    tr { th scope="row" { "epochs" } td { (count(training.epochs as u64)) } }
                    tr { th scope="row" { "training steps" } td { (number(training.train_seconds)) " s" } }
                    tr { th scope="row" { "validation passes" } td { (number(training.valid_seconds)) " s" } }
                    tr { th scope="row" { "rate" } td { (rate(training.images_per_second)) ", the median over the epochs" } }
                } } },
                None => p.note { "The run has no timings.jsonl, so that the training's times are not known." },
            }
            h3 { "The other stages" }
            @if timings.stages.is_empty() {
                p.note { "Neither the data set nor the run has a timings-stages.json, so that their times are not known." }
            } @else {
                div.table.scroll { table.words { tbody { @for timing in &timings.stages {
                    tr { th scope="row" { (timing.stage) } td { (number(timing.seconds)) " s" } }
                } } } }
                p.note { "From the beginning of each process until its artifacts were written; what was there already is not made again." }
            }
        }
    };
    document("Timings of a classifier", &body)
}
