//! What the predictions are worth, in the words of Bayes' theorem.
//!
//! For a class `c`, with the counts of the confusion matrix as relative frequencies, `T` for "the image is a `c`" and `P`
//! for "the model says `c`":
//!
//! | figure | is | from counts |
//! |---|---|---|
//! | prior | `P(T)` | `(TP + FN) / all` |
//! | recall, sensitivity | `P(P given T)` | `TP / (TP + FN)` |
//! | false alarm rate | `P(P given not T)` | `FP / (FP + TN)` |
//! | precision, posterior | `P(T given P)` | `TP / (TP + FP)` |
//! | F1 | harmonic mean of precision and recall | `2 TP / (2 TP + FP + FN)` |
//!
//! Bayes' theorem ties them together: `precision = recall · prior / (recall · prior + false alarm rate · (1 − prior))`.
//!
//! A figure whose denominator is 0 does not exist (`null` in JSON, `–` in a table): recall where the split has no image of
//! the class, precision where the model never says it. A macro average is the mean over the classes for which the figure
//! exists. That is scikit-learn's `zero_division=np.nan`, and the macro average of recall is its
//! `balanced_accuracy_score`.

use serde::{Deserialize, Serialize};

/// How often each class was taken for which: `counts[true][predicted]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
}

/// The share of images that were classified rightly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many were classified rightly.
    pub correct: u64,
    /// How many there are.
    pub total: u64,
    /// The first by the second.
    pub value: f64,
    /// The 95 % Wilson interval of the value, lower end first ([`wilson_interval`]).
    pub wilson_95: [f64; 2],
}

/// The figures of a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Its name.
    pub class: String,
    /// How many images of it there are.
    pub support: u64,
    /// How many images were taken for it.
    pub predicted: u64,
    /// Its share of the images.
    pub prior: f64,
    /// The share of its images that was recognised: the sensitivity.
    pub recall: Option<f64>,
    /// The share of the other classes' images that was taken for it.
    pub false_alarm_rate: Option<f64>,
    /// The share of the images taken for it that are of it: the posterior.
    pub precision: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
}

/// Means over the classes, each class with the same weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MacroAverage {
    /// Of recall: the balanced accuracy.
    pub recall: Option<f64>,
    /// Of the false alarm rate.
    pub false_alarm_rate: Option<f64>,
    /// Of precision.
    pub precision: Option<f64>,
    /// Of F1.
    pub f1: Option<f64>,
}

impl ConfusionMatrix {
    /// Counts pairs of true and predicted class.
    ///
    /// # Panics
    /// When a class is not below `classes`.
    #[must_use]
    pub fn count(classes: usize, pairs: impl Iterator<Item = (u8, u8)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (truth, predicted) in pairs {
            counts[usize::from(truth)][usize::from(predicted)] += 1;
        }
        Self { counts }
    }

    /// One row a true class, one column a predicted class.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// How many images were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// The share of the diagonal.
    #[must_use]
    pub fn accuracy(&self) -> Accuracy {
        let (correct, total) = (self.counts.iter().enumerate().map(|(class, row)| row[class]).sum(), self.total());
        Accuracy { correct, total, value: correct as f64 / total as f64, wilson_95: wilson_interval(correct, total) }
    }

    /// The figures of each class.
    ///
    /// # Panics
    /// When there are not as many names as classes.
    #[must_use]
    pub fn per_class(&self, names: &[String]) -> Vec<ClassFigures> {
        assert_eq!(names.len(), self.counts.len(), "each class has a name");
        names.iter().enumerate().map(|(class, name)| self.figures(class, name)).collect()
    }

    fn figures(&self, class: usize, name: &str) -> ClassFigures {
        let total = self.total();
        let support: u64 = self.counts[class].iter().sum();
        let predicted: u64 = self.counts.iter().map(|row| row[class]).sum();
        let true_positives = self.counts[class][class];
        let false_positives = predicted - true_positives;
        ClassFigures {
            class: name.to_owned(),
            support,
            predicted,
            prior: support as f64 / total as f64,
            recall: ratio(true_positives, support),
            false_alarm_rate: ratio(false_positives, total - support),
            precision: ratio(true_positives, predicted),
            // 2 TP + FP + FN, since support is TP + FN and predicted is TP + FP.
            f1: ratio(2 * true_positives, support + predicted),
        }
    }
}

impl MacroAverage {
    /// Of these classes.
    #[must_use]
    pub fn of(classes: &[ClassFigures]) -> Self {
        let mean = |figure: fn(&ClassFigures) -> Option<f64>| {
            let existing: Vec<f64> = classes.iter().filter_map(figure).collect();
            (!existing.is_empty()).then(|| existing.iter().sum::<f64>() / existing.len() as f64)
        };
        Self {
            recall: mean(|class| class.recall),
            false_alarm_rate: mean(|class| class.false_alarm_rate),
            precision: mean(|class| class.precision),
            f1: mean(|class| class.f1),
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The 0.975 quantile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// The 95 % confidence interval of a share, `successes` of `total`.
///
/// ```text
/// (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)
/// ```
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), pages 209 to 212. Unlike the usual `p ± z √(p(1 − p)/n)`, it stays within 0 and 1
/// and is right for shares near 1, where a good classifier's accuracy is.
///
/// With a `total` of 0, nothing is known: 0 to 1.
#[must_use]
pub fn wilson_interval(successes: u64, total: u64) -> [f64; 2] {
    if total == 0 {
        return [0.0, 1.0];
    }
    let n = total as f64;
    let (share, z_squared) = (successes as f64 / n, Z_95 * Z_95);
    let centre = share + z_squared / (2.0 * n);
    let half_width = Z_95 * (share * (1.0 - share) / n + z_squared / (4.0 * n * n)).sqrt();
    let [low, high] = [centre - half_width, centre + half_width].map(|end| end / (1.0 + z_squared / n));
    // At the ends of the scale the formula gives just 0 and 1, but for rounding.
    [if successes == 0 { 0.0 } else { low }, if successes == total { 1.0 } else { high }]
}

#[cfg(test)]
mod tests;
