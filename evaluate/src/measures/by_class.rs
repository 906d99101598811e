//! What the predictions are worth for each class, in the words of Bayes' theorem.
//!
//! A figure whose denominator is 0 does not exist: recall where the split has no image of the class, precision where the
//! model never says it. An average is the mean over the classes for which the figure exists. That is scikit-learn's
//! `zero_division=np.nan`, and the macro average of recall is its `balanced_accuracy_score`. But the precision of a class that
//! has images and is never said counts as 0, as its F1 does.

use crate::measures::confusion::ConfusionMatrix;
use crate::measures::intervals::{ratio_of_shares, wilson};
use crate::measures::quality::weighted_mean;
use crate::measures::undefined::Reasons;
use crate::report::{Averages, ClassFigures, Estimate, Proportion};

/// The figures of every class, of at least one image.
///
/// # Panics
/// When there are not as many names as classes.
#[must_use]
pub fn classes(confusion_matrix: &ConfusionMatrix, names: &[String], reasons: &mut Reasons) -> Vec<ClassFigures> {
    assert_eq!(names.len(), confusion_matrix.classes(), "each class has a name");
    let classes: Vec<_> =
        names.iter().enumerate().map(|(class, name)| figures(confusion_matrix, class, name)).collect();
    classes.iter().for_each(|class| explain(class, reasons));
    classes
}

/// The means, each class with the same weight.
#[must_use]
pub fn macro_average(classes: &[ClassFigures]) -> Averages {
    averages(classes, |_| 1.0)
}

/// The means, each class with as much weight as it has images.
#[must_use]
pub fn weighted_average(classes: &[ClassFigures], reasons: &mut Reasons) -> Averages {
    let average = averages(classes, |class| class.support as f64);
    for (name, value) in [("specificity", average.specificity), ("false_alarm_rate", average.false_alarm_rate)] {
        let place = format!("by_class.weighted_average.{name}");
        reasons.explain(value.as_ref(), place, "all images of the split are of one class");
    }
    average
}

fn figures(matrix: &ConfusionMatrix, class: usize, name: &str) -> ClassFigures {
    let (total, support, predicted) = (matrix.total(), matrix.support(class), matrix.predicted(class));
    let true_positives = matrix.rows()[class][class];
    let (misses, false_positives) = (support - true_positives, predicted - true_positives);
    let (others, true_negatives) = (total - support, total - support - false_positives);
    ClassFigures {
        class: name.to_owned(),
        support,
        predicted,
        prior: support as f64 / total as f64,
        recall: Proportion::of(true_positives, support),
        specificity: Proportion::of(true_negatives, others),
        false_alarm_rate: Proportion::of(false_positives, others),
        precision: Proportion::of(true_positives, predicted),
        f1: f1(matrix, class),
        positive_likelihood_ratio: ratio_of_shares([true_positives, support], [false_positives, others]),
        negative_likelihood_ratio: ratio_of_shares([misses, support], [true_negatives, others]),
    }
}

/// With the interval of `J = TP / (TP + FP + FN)`, of which it is `2 J / (1 + J)`.
fn f1(matrix: &ConfusionMatrix, class: usize) -> Estimate {
    let of_jaccard = |jaccard: f64| 2.0 * jaccard / (1.0 + jaccard);
    let true_positives = matrix.rows()[class][class];
    let involved = matrix.support(class) + matrix.predicted(class) - true_positives;
    let value = matrix.f1(class);
    Estimate { value, interval_95: value.map(|_| wilson(true_positives, involved).map(of_jaccard)) }
}

fn averages(classes: &[ClassFigures], weight: fn(&ClassFigures) -> f64) -> Averages {
    let average = |figure: fn(&ClassFigures) -> Option<f64>| {
        weighted_mean(classes.iter().filter_map(|class| Some((weight(class), figure(class)?))))
    };
    Averages {
        recall: average(|class| class.recall.value),
        specificity: average(|class| class.specificity.value),
        false_alarm_rate: average(|class| class.false_alarm_rate.value),
        precision: average(|class| class.precision.value.or((class.support > 0).then_some(0.0))),
        f1: average(|class| class.f1.value),
    }
}

fn explain(figures: &ClassFigures, reasons: &mut Reasons) {
    let ClassFigures { class, recall, specificity, false_alarm_rate, precision, f1, .. } = figures;
    let mut explain = |value: Option<f64>, figure: &str, reason: String| {
        reasons.explain(value.as_ref(), format!("by_class.classes.{class}.{figure}"), reason);
    };
    let no_image = || format!("the split has no image of class {class}");
    let no_other = || format!("the split has no image of another class than {class}");
    explain(recall.value, "recall", no_image());
    explain(specificity.value, "specificity", no_other());
    explain(false_alarm_rate.value, "false_alarm_rate", no_other());
    explain(precision.value, "precision", format!("no image was taken for class {class}"));
    explain(f1.value, "f1", format!("no image is of class {class} and none was taken for it"));
    let ratios = [
        (
            &figures.positive_likelihood_ratio,
            "positive_likelihood_ratio",
            false_alarm_rate,
            ["no false alarm was counted", "no image was taken for the class"],
        ),
        (
            &figures.negative_likelihood_ratio,
            "negative_likelihood_ratio",
            specificity,
            ["no image of another class was told apart from it", "all images were taken for the class"],
        ),
    ];
    for (ratio, name, denominator, [zero, both_zero]) in ratios {
        let reason = match (recall.total, denominator.total) {
            (0, _) => no_image(),
            (_, 0) => no_other(),
            _ if ratio.interval_95.is_some() => zero.to_owned(),
            _ => both_zero.to_owned(),
        };
        explain(ratio.value, name, reason);
    }
}

#[cfg(test)]
mod tests;
