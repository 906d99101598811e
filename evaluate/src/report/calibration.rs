use serde::{Deserialize, Serialize};

use super::figures::Proportion;

/// Section 4: how sure. Judged on the validation split, there is no [`Calibration::after`]: the temperature was fitted on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The temperature in the model's graph (`export --temperature`); 1 without one.
    pub model_temperature: f64,
    /// The temperature fitted on validation. Nothing where none is the best: when every validation image is classified
    /// rightly, ever lower ones are ever better.
    pub fitted: Option<FittedTemperature>,
    /// How confidences are put into bins.
    pub binning: Binning,
    /// With the probabilities as the model gives them.
    pub before: Reliability,
    /// With those of the fitted temperature.
    pub after: Option<Reliability>,
    /// Accuracy where the least sure images are refused, by the model's own confidence: from all images kept to one in a
    /// hundred.
    pub accuracy_by_coverage: Vec<Coverage>,
}

impl Calibration {
    /// Whether the model's own temperature is the fitted one, to a ten thousandth.
    #[must_use]
    pub fn has_the_fitted_temperature(&self) -> bool {
        self.fitted.is_some_and(|fitted| (fitted.temperature / self.model_temperature - 1.0).abs() < 1e-4)
    }

    /// Whether the fitted temperature makes the probabilities of the images that are judged better, by calibration error and
    /// by likelihood; nothing where that is not known.
    #[must_use]
    pub fn temperature_helps(&self) -> Option<bool> {
        self.after.as_ref().map(|after| {
            after.expected_calibration_error < self.before.expected_calibration_error
                && after.negative_log_likelihood < self.before.negative_log_likelihood
        })
    }
}

/// `softmax(logits / T)` with the T that has the lowest negative log likelihood on the validation split (C. Guo, G. Pleiss,
/// Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FittedTemperature {
    /// T: above the model's own, it was too sure; below it, not sure enough.
    pub temperature: f64,
    /// How many validation images it was fitted on.
    pub images: u64,
    /// Their mean negative log likelihood with the model's own temperature, in nats.
    pub negative_log_likelihood_before: f64,
    /// The same with the fitted one.
    pub negative_log_likelihood_after: f64,
}

/// How confidences are put into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Binning {
    /// How many bins.
    pub bins: u32,
    /// How those of equal width are cut.
    pub equal_width: String,
    /// How those of equal size are cut.
    pub equal_size: String,
}

/// How well confidence (the probability of the predicted class) tells accuracy, on the split that is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Mean of `−log p(label)`, in nats.
    pub negative_log_likelihood: f64,
    /// See [`super::Quality::brier_score`].
    pub brier_score: f64,
    /// Mean confidence over all images.
    pub mean_confidence: f64,
    /// `Σ (images in bin / images) · |accuracy in bin − mean confidence in bin|` over bins of equal width (Guo 2017, eq. 3).
    pub expected_calibration_error: f64,
    /// What it would be if the confidences were true, as chance moves accuracies too: its mean, and the value that it exceeds
    /// in one of 40 draws. Images are drawn as right with the probability that is their confidence, 1,000 times, independently
    /// (J. Bröcker, L. A. Smith, Weather and Forecasting 22, 2007).
    pub calibration_error_if_calibrated: IfCalibrated,
    /// `expected_calibration_error` over bins of equal size, as those of K. Nguyen, B. O'Connor, EMNLP 2015, who take the root of the mean square.
    pub equal_size_calibration_error: f64,
    /// Bins of equal width, from 0 to 1; empty ones too.
    pub equal_width: Vec<ReliabilityBin>,
    /// Bins of equal size; as many as images where these are fewer.
    pub equal_size: Vec<ReliabilityBin>,
}

/// See [`Reliability::calibration_error_if_calibrated`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IfCalibrated {
    /// Over the draws.
    pub mean: f64,
    /// The 97.5 % quantile of the draws.
    pub highest: f64,
}

/// Images of similar confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Confidences from here ...
    pub low: f64,
    /// ... to here.
    pub high: f64,
    /// Mean confidence; nothing in an empty bin.
    pub mean_confidence: Option<f64>,
    /// How many are in it, and the share classified rightly.
    pub accuracy: Proportion,
}

/// The images that are kept when all less confident ones are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// The share of images kept.
    pub coverage: f64,
    /// Images of at least this confidence are kept.
    pub threshold: f64,
    /// How many are kept, and the share of them classified rightly.
    pub accuracy: Proportion,
}
