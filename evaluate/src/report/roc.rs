use serde::{Deserialize, Serialize};

use super::figures::{Estimate, Proportion};

/// Of section 2: how well the probability of each class tells its images from the others, whatever the threshold. The answer
/// "it is this letter" is then given where the class's probability is at least the threshold, and not where it is the largest.
///
/// The probabilities are those that the model gives: another temperature would rank the images somewhat otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roc {
    /// The false alarm rates, rising, that [`ClassRoc::operating_points`] were chosen to keep to.
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
    /// The interval is that of its log odds, with the variance of N. A. Obuchowski (Biometrics 53, 1997), which takes the glyphs
    /// of a font as dependent; where no name tells a font, it is that of E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson
    /// (Biometrics 44, 1988). It is approximate: where a few images make the whole fault, it is too narrow. For an area of 1 it
    /// goes from Wilson's lower end of as many hits as the smaller of the two has images. Nothing with fewer than 20 of either, or
    /// of their fonts.
    pub area: Estimate,
    /// The mean of precision over the thresholds, each weighed by the recall that it adds (`average_precision_score`). Unlike
    /// the area, it moves with the prior, which it is for a model that knows nothing.
    pub average_precision: Option<f64>,
    /// The curve; nothing where there is none.
    pub curve: Option<RocCurve>,
    /// A threshold for each of [`Roc::false_alarm_rates`]: the lowest one that keeps to it on the validation split. Nothing
    /// where a single false alarm among its images is more, or none keeps to it, nor where that split itself is judged.
    pub operating_points: Vec<Option<OperatingPoint>>,
}

/// The corners of a curve as the threshold falls, from (0, 0), where there is no alarm and no threshold, to (1, 1); of more than
/// 500, every so many. They are points of `roc_curve`, without those on a straight line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RocCurve {
    /// The alarm is given from this probability on.
    pub thresholds: Vec<f64>,
    /// P(alarm given not T) at each.
    pub false_alarm_rate: Vec<f64>,
    /// P(alarm given T) at each.
    pub recall: Vec<f64>,
}

/// A threshold that other images chose, and what it gives here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The alarm is given from this probability on.
    pub threshold: f64,
    /// P(alarm given T).
    pub recall: Proportion,
    /// P(alarm given not T): near what was wanted, but other images.
    pub false_alarm_rate: Proportion,
}

/// See [`Roc::macro_average`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MacroRoc {
    /// Of the area.
    pub area: Option<f64>,
    /// Of the average precision.
    pub average_precision: Option<f64>,
}
