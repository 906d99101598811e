//! The report on the terminal.

use terminal::{Align, Table};

use crate::measures::confusion::ConfusionMatrix;
use crate::report::{ByClass, Proportion, Timings};

/// A confusion matrix of more classes would be wider than a terminal.
const MOST_COLUMNS: usize = 16;

/// The figures of each class, and their averages.
pub(crate) fn figures(by_class: &ByClass) -> Table {
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("support", Align::Right),
        ("prior", Align::Right),
        ("recall", Align::Right),
        ("false alarms", Align::Right),
        ("precision", Align::Right),
        ("F1", Align::Right),
    ]);
    for class in &by_class.classes {
        let (support, prior) = (class.support.to_string(), figure(Some(class.prior)));
        let rates = [class.recall.value, class.false_alarm_rate.value, class.precision.value, class.f1.value];
        table.row([class.class.clone(), support, prior].into_iter().chain(rates.map(figure)));
    }
    let average = &by_class.macro_average;
    let total = by_class.confusion_matrix.total().to_string();
    let rates = [average.recall, average.false_alarm_rate, average.precision, average.f1].map(figure);
    table.row(["macro average".to_owned(), total, String::new()].into_iter().chain(rates));
    table
}

/// The confusion matrix, where it is not too wide.
pub(crate) fn confusion(matrix: &ConfusionMatrix, classes: &[String]) -> Option<Table> {
    if classes.len() > MOST_COLUMNS {
        return None;
    }
    let columns = classes.iter().map(|class| (class.as_str(), Align::Right));
    let mut table = Table::new(&[("true \\ predicted", Align::Left)].into_iter().chain(columns).collect::<Vec<_>>());
    for (class, row) in classes.iter().zip(matrix.rows()) {
        table.row([class.clone()].into_iter().chain(row.iter().map(u64::to_string)));
    }
    Some(table)
}

/// How fast it was.
pub(crate) fn speed(timings: &Timings) -> Table {
    let mut table = Table::of_settings();
    let Timings { provider, threads, batch_size, images_per_second, .. } = timings;
    let throughput =
        format!("{images_per_second:.0} images/s in batches of {batch_size} ({provider}, {threads} threads)");
    table.row(["throughput", &throughput]);
    for (name, latency) in [("latency of a batch", &timings.batch), ("latency of one image", &timings.one_image)] {
        let [median, percentile_99] = [latency.median_seconds, latency.percentile_99_seconds].map(milliseconds);
        table.row([name, &format!("median {median}, 99th percentile {percentile_99} ({} runs)", latency.runs)]);
    }
    table
}

/// The result, for programs.
pub(crate) fn accuracy_line(accuracy: &Proportion) -> String {
    let interval = accuracy.wilson_95.map(|[low, high]| format!(" (95 % Wilson {low:.4} to {high:.4})"));
    format!("accuracy {}{}", figure(accuracy.value), interval.unwrap_or_default())
}

/// What does not exist is a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}
