use serde::{Deserialize, Serialize};

use super::figures::Estimate;

/// Of section 2: how well the probability of each class tells its images from the others, whatever the threshold. The answer
/// "it is this letter" is then given where the class's probability is at least the threshold, and not where it is the largest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// The false alarm rates, rising, at which [`ClassRoc::recall_by_false_alarm_rate`] is given.
    pub false_alarm_rates: Vec<f64>,
    /// In the order of the model's classes.
    pub classes: Vec<ClassRoc>,
    /// The means of these over the classes for which the figure exists (`average="macro"`, `multi_class="ovr"`).
    pub macro_average: MacroRoc,
}

/// The curve of a class: recall against the false alarm rate at every threshold (receiver operating characteristic).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassRoc {
    /// Its name.
    pub class: String,
    /// The area under the curve: the probability that an image of the class has a higher probability of it than an image of
    /// another one, equal ones counting half (`roc_auc_score`). Nothing where either has no image.
    ///
    /// The interval is that of its log odds, with the variance of E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson (Biometrics
    /// 44, 1988); the images are taken as independent. Nothing where that variance is 0, as it is for a curve without a fault.
    pub area: Estimate,
    /// The mean of precision over the thresholds, each weighed by the recall that it adds (`average_precision_score`).
    pub average_precision: Option<f64>,
    /// The highest recall of a threshold with at most so many false alarms, for each of [`Roc::false_alarm_rates`].
    pub recall_by_false_alarm_rate: Vec<Option<f64>>,
}

/// See [`Roc::macro_average`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MacroRoc {
    /// Of the area.
    pub area: Option<f64>,
    /// Of the average precision.
    pub average_precision: Option<f64>,
}
