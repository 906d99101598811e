use artifacts::SplitName;
use serde::{Deserialize, Serialize};

/// Section 5: where it fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failures {
    /// The misclassified images with the highest confidence, that first; at most [`Failures::MOST`].
    pub confident_errors: Vec<ImageRecord>,
    /// The rightly classified images with the lowest confidence, that first; at most [`Failures::MOST`].
    pub unsure_successes: Vec<ImageRecord>,
    /// Likely wrong labels, a split each: those whose predictions are out of sample. Of the training split only after
    /// `train --cross-validate`.
    pub label_issues: Vec<LabelIssues>,
}

impl Failures {
    /// How many images a gallery has at most.
    pub const MOST: usize = 48;
    /// What [`crate::report::Undefined`] calls the label issues of the training split, where they are not judged.
    pub const TRAINING_LABELS: &str = "failures.label_issues.train";
}

/// An image, and what the model says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Its row in the split.
    pub row: usize,
    /// The file that it was read from, as `test/A/NAME.png`.
    pub file: String,
    /// The font that the file's name tells.
    pub font: Option<String>,
    /// The class that it is labelled with.
    pub label: String,
    /// The most probable class.
    pub prediction: String,
    /// The probability of that class.
    pub confidence: f64,
    /// Of each class, in the order of the model's classes, as the model gives them.
    pub probabilities: Vec<f64>,
}

/// Likely wrong labels of a split by confident learning (C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning:
/// Estimating Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70, 2021).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelIssues {
    /// Whose labels.
    pub split: SplitName,
    /// Why the predictions are out of sample: "the weights were not fitted to it".
    pub out_of_sample: String,
    /// How many images.
    pub images: u64,
    /// Of each class j, the mean of `p(j)` over the images labelled j: above it, an image is confidently of j.
    /// Nothing where no image is labelled j.
    pub thresholds: Vec<Option<f64>>,
    /// `confident_joint[i][j]`: images labelled i that are confidently of j.
    pub confident_joint: Vec<Vec<u64>>,
    /// The share of labels that is wrong: the joint's rows scaled to the numbers of labels, the part off the diagonal.
    /// Nothing where no image is confidently of any class.
    pub estimated_share: Option<f64>,
    /// How many images lie off the diagonal of the confident joint.
    pub found: u64,
    /// These, least probable label first; at most [`LabelIssues::MOST`].
    pub images_found: Vec<LabelIssue>,
}

impl LabelIssues {
    /// How many are listed at most.
    pub const MOST: usize = 500;
}

/// An image whose label is likely wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelIssue {
    /// Its row in the split.
    pub row: usize,
    /// The file that it was read from.
    pub file: String,
    /// The font that the file's name tells.
    pub font: Option<String>,
    /// The class that it is labelled with.
    pub label: String,
    /// The class that it confidently is of.
    pub suggestion: String,
    /// The probability of the label, the self-confidence.
    pub label_probability: f64,
    /// The probability of the suggestion.
    pub suggestion_probability: f64,
}
