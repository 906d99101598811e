//! The report on the terminal.

use terminal::{Align, Table};

use crate::measures::confusion::ConfusionMatrix;
use crate::report::{
    ByClass, Calibration, Comparison, DifferenceByFont, EstimatedPrior, FittedTemperature, OtherPrior, Proportion,
    Report, Timings,
};

/// A confusion matrix of more classes would be wider than a terminal.
const MOST_COLUMNS: usize = 16;

/// The figures of each class, and their averages.
pub(crate) fn figures(by_class: &ByClass) -> Table {
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("support", Align::Right),
        ("prior", Align::Right),
        ("recall", Align::Right),
        ("false alarm rate", Align::Right),
        ("precision", Align::Right),
        ("F1", Align::Right),
    ]);
    for class in &by_class.classes {
        let (support, prior) = (class.support.to_string(), figure(Some(class.prior)));
        let rates = [class.recall.value, class.false_alarm_rate.value, class.precision.value, class.f1.value];
        table.row([class.class.clone(), support, prior].into_iter().chain(rates.map(figure)));
    }
    let total = by_class.confusion_matrix.total().to_string();
    for (name, average) in
        [("macro average", &by_class.macro_average), ("weighted average", &by_class.weighted_average)]
    {
        let rates = [average.recall, average.false_alarm_rate, average.precision, average.f1].map(figure);
        table.row([name.to_owned(), total.clone(), String::new()].into_iter().chain(rates));
    }
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

/// How good it is on all images together, and how sure of itself.
pub(crate) fn overall(report: &Report) -> Table {
    let quality = &report.overall.without_duplicates;
    let mut table = Table::new(&[
        ("figure", Align::Left),
        ("value", Align::Right),
        ("95 %", Align::Left),
        (&format!("by {}", quality.intervals.unit.name()), Align::Left),
    ]);
    let by_unit = &quality.intervals;
    let (accuracy, top_2) = (&quality.accuracy, &quality.top_2_accuracy);
    let rows = [
        ("accuracy", accuracy.value, accuracy.wilson_95, by_unit.accuracy_95),
        ("always the most frequent class", Some(quality.majority_baseline), None, None),
        ("balanced accuracy", quality.balanced_accuracy, None, by_unit.balanced_accuracy_95),
        ("macro F1", quality.macro_f1, None, by_unit.macro_f1_95),
        ("top-2 accuracy", top_2.value, top_2.wilson_95, by_unit.top_2_accuracy_95),
        ("Cohen's kappa", quality.cohen_kappa, None, by_unit.cohen_kappa_95),
        ("negative log likelihood", Some(quality.negative_log_likelihood), None, by_unit.negative_log_likelihood_95),
        ("Brier score", Some(quality.brier_score), None, by_unit.brier_score_95),
        ("area under the ROC curve (macro)", report.by_class.roc.macro_average.area, None, None),
        ("average precision (macro)", report.by_class.roc.macro_average.average_precision, None, None),
        ("calibration error (ECE)", Some(report.calibration.before.expected_calibration_error), None, None),
    ];
    for (name, value, interval, by_font) in rows {
        table.row([name.to_owned(), figure(value), ends(interval), ends(by_font)]);
    }
    if let Some(as_it_came) = &report.overall.as_it_came
        && as_it_came.images != quality.images
    {
        let name = format!("accuracy with its {} duplicates", as_it_came.images - quality.images);
        let accuracy = &as_it_came.accuracy;
        table.row([name, figure(accuracy.value), ends(accuracy.wilson_95), ends(as_it_came.intervals.accuracy_95)]);
    }
    table
}

/// What to expect under other priors.
pub(crate) fn priors(priors: &[OtherPrior]) -> Table {
    let mut table = Table::new(&[
        ("prior", Align::Left),
        ("accuracy", Align::Right),
        ("95 % interval", Align::Right),
        ("reweighed", Align::Right),
        ("95 % interval", Align::Right),
    ]);
    for prior in priors {
        let accuracy = prior.unadjusted.accuracy;
        let reweighed = prior.adjusted.as_ref().map(|adjusted| adjusted.accuracy);
        table.row([
            prior.name.clone(),
            figure(accuracy.value),
            ends(accuracy.interval_95),
            figure(reweighed.and_then(|accuracy| accuracy.value)),
            ends(reweighed.and_then(|accuracy| accuracy.interval_95)),
        ]);
    }
    table
}

/// How frequent the classes are among unlabelled images.
pub(crate) fn estimated_prior(estimate: &EstimatedPrior, classes: &[String]) -> Table {
    let mut table = Table::new(&[
        ("class", Align::Left),
        ("in training", Align::Right),
        ("predicted", Align::Right),
        ("EM", Align::Right),
        ("BBSE", Align::Right),
    ]);
    for (place, class) in classes.iter().enumerate() {
        let of = |priors: Option<&Vec<f64>>| figure(priors.map(|priors| priors[place]));
        table.row([
            class.clone(),
            of(estimate.training_prior.as_ref()),
            of(Some(&estimate.predicted_share)),
            of(estimate.expectation_maximisation.as_ref().map(|estimate| &estimate.priors)),
            of(estimate.black_box_shift_estimation.as_ref().map(|estimate| &estimate.priors)),
        ]);
    }
    table
}

/// How sure the model is, and what would make that true.
pub(crate) fn temperature_line(calibration: &Calibration) -> Option<String> {
    let (fitted, after) = (calibration.fitted?, calibration.after.as_ref()?);
    let FittedTemperature { temperature, images, .. } = fitted;
    if calibration.has_the_fitted_temperature() {
        return Some(format!("evaluate: the model has the temperature that validation asks for, {temperature:.4}"));
    }
    let advice = if calibration.temperature_helps()? {
        format!("`make TEMPERATURE={temperature}`, or `export --run RUN --temperature`, writes it into the model")
    } else {
        "it does not make both this and the likelihood better here".to_owned()
    };
    let [before, after] = [&calibration.before, after].map(|figures| figures.expected_calibration_error);
    Some(format!(
        "evaluate: temperature {temperature:.4}, fitted on {images} validation images, turns a calibration error of \
         {before:.4} into {after:.4}; {advice}"
    ))
}

/// The other model.
pub(crate) fn comparison_line(comparison: &Comparison) -> String {
    let Comparison { only_this_right, only_other_right, mcnemar_p, difference, .. } = comparison;
    let probability = |p: f64| if p < 1e-4 { format!("{p:.0e}") } else { format!("{p:.4}") };
    let by_font = comparison.by_font.as_ref().map(|DifferenceByFont { difference_95, p, .. }| {
        let interval = difference_95.map_or_else(String::new, |interval| format!(" {},", ends(Some(interval))));
        format!("; by font:{interval} p is {}", probability(*p))
    });
    format!(
        "evaluate: {only_this_right} images only this model gets right, {only_other_right} only the other: accuracy differs by \
         {}{}, McNemar's exact p is {}{}",
        figure(difference.value),
        difference.interval_95.map_or_else(String::new, |interval| format!(" ({})", ends(Some(interval)))),
        probability(*mcnemar_p),
        by_font.unwrap_or_default(),
    )
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

fn ends(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(|| "–".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}"))
}

/// What does not exist is a dash.
fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", seconds * 1e3)
}
