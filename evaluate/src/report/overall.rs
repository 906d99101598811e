use serde::{Deserialize, Serialize};

use super::figures::Proportion;

/// Section 1: how good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overall {
    /// On the split as `preprocess` wrote it: no two images have the same pixels and label.
    pub without_duplicates: Quality,
    /// On the test set as it came, duplicates within it included: what published accuracies are of. Nothing for another
    /// split than the test split, whose removed images were not all duplicates within it.
    pub as_it_came: Option<Quality>,
}

/// How good on some images. Terms and definitions are scikit-learn's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// How many images.
    pub images: u64,
    /// The share classified rightly. The intervals take the images as independent.
    pub accuracy: Proportion,
    /// The share of the most frequent label: the accuracy of always saying it (`DummyClassifier(strategy="most_frequent")`
    /// fitted on these images), which a model should beat.
    pub majority_baseline: f64,
    /// The mean of recall over the classes that have images (`balanced_accuracy_score`).
    pub balanced_accuracy: Option<f64>,
    /// The mean of F1 over the classes for which it exists (`f1_score`, `average="macro"`, `zero_division=nan`).
    pub macro_f1: Option<f64>,
    /// Mean of `−log p(label)`, in nats (`log_loss`).
    pub negative_log_likelihood: f64,
    /// Mean over the images of `Σ (p(class) − [class is the label])²` over the classes: 0 at best, 2 at worst
    /// (`brier_score_loss`, `scale_by_half=False`; G. W. Brier, Monthly Weather Review 78, 1950).
    pub brier_score: f64,
    /// The share whose label is among the two most probable classes (`top_k_accuracy_score`, `k=2`).
    pub top_2_accuracy: Proportion,
    /// Cohen's kappa, `(accuracy − chance) / (1 − chance)`, chance being the agreement of independent labels and
    /// predictions with these frequencies (`cohen_kappa_score`). Nothing where chance is 1.
    pub cohen_kappa: Option<f64>,
    /// The intervals that take the glyphs of one font as dependent.
    pub intervals: Intervals,
}

/// 95 % intervals for fonts like these, or for images like these where no file name tells a font; each with its lower end
/// first.
///
/// Those of shares are Wilson's among as many images as have their spread over the fonts (E. L. Korn, B. I. Graubard, Survey
/// Methodology 24, 1998). The others are percentile intervals of a bootstrap: fonts are drawn with replacement, and each
/// brings all of its images (A. C. Davison, D. V. Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8);
/// nothing with fewer than 20 of them, with which they would be much too narrow, or where all resamples give the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// What is taken as independent.
    pub unit: Unit,
    /// How many there are. Among fonts, an image without one counts as one of its own.
    pub units: u64,
    /// Of [`Quality::accuracy`]; nothing with a single unit, like the next.
    pub accuracy_95: Option<[f64; 2]>,
    /// Of [`Quality::top_2_accuracy`].
    pub top_2_accuracy_95: Option<[f64; 2]>,
    /// How often as many of them were drawn.
    pub resamples: u32,
    /// Of [`Quality::balanced_accuracy`]; like the next two, of the resamples where it exists.
    pub balanced_accuracy_95: Option<[f64; 2]>,
    /// Of [`Quality::macro_f1`].
    pub macro_f1_95: Option<[f64; 2]>,
    /// Of [`Quality::cohen_kappa`].
    pub cohen_kappa_95: Option<[f64; 2]>,
    /// Of [`Quality::negative_log_likelihood`].
    pub negative_log_likelihood_95: Option<[f64; 2]>,
    /// Of [`Quality::brier_score`].
    pub brier_score_95: Option<[f64; 2]>,
}

impl Intervals {
    /// That of the accuracy for fonts like these, where names tell fonts, and more than one.
    #[must_use]
    pub fn accuracy_by_font(&self) -> Option<[f64; 2]> {
        self.accuracy_95.filter(|_| self.unit == Unit::Font)
    }
}

/// What succeeds or fails independently of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// The images of a font together.
    Font,
    /// Each image by itself: no file name tells a font.
    Image,
}

impl Unit {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Font => "font",
            Self::Image => "image",
        }
    }
}
