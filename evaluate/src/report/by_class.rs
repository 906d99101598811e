use serde::{Deserialize, Serialize};

use super::figures::{Estimate, Proportion, Ratio};
use super::roc::Roc;
use crate::measures::confusion::ConfusionMatrix;

/// Section 2: by class. All of it is on the split without duplicates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ByClass {
    /// In the order of the model's classes.
    pub classes: Vec<ClassFigures>,
    /// Means over the classes for which the figure exists, each class with the same weight (`average="macro"`).
    pub macro_average: Averages,
    /// Each class weighs as many images as it has (`average="weighted"`): that of recall is the accuracy.
    pub weighted_average: Averages,
    /// One row a true class, one column a predicted class, in the same order; raw counts.
    pub confusion_matrix: ConfusionMatrix,
    /// At other thresholds.
    pub roc: Roc,
}

/// The figures of a class: of the question "is it this letter?". With `T` for "the image is of the class" and `P` for
/// "the model says so", and TP, FN, FP, TN for the four counts:
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Its name.
    pub class: String,
    /// How many images of it there are, TP + FN.
    pub support: u64,
    /// How many images were taken for it, TP + FP.
    pub predicted: u64,
    /// Its share of the images, P(T).
    pub prior: f64,
    /// Sensitivity, P(P given T) = TP / (TP + FN).
    pub recall: Proportion,
    /// P(not P given not T) = TN / (TN + FP).
    pub specificity: Proportion,
    /// P(P given not T) = FP / (FP + TN) = 1 − specificity.
    pub false_alarm_rate: Proportion,
    /// The posterior, P(T given P) = TP / (TP + FP).
    pub precision: Proportion,
    /// The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN). Its interval is Wilson's of
    /// `J = TP / (TP + FP + FN)`, carried over by `F1 = 2 J / (1 + J)` (K. F. Y. Lam, 2023, arXiv 2309.14621).
    pub f1: Estimate,
    /// LR+ = recall / false alarm rate: by what a positive answer multiplies the odds. No value without a false alarm, but the
    /// lower end of its interval where an image was recognised. The interval is the score test's (P. A. R. Koopman, Biometrics 40, 1984).
    pub positive_likelihood_ratio: Ratio,
    /// LR− = (1 − recall) / specificity: by what a negative answer multiplies the odds. Interval as above.
    pub negative_likelihood_ratio: Ratio,
}

/// Means over the classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// Of recall: of the macro averages, the balanced accuracy.
    pub recall: Option<f64>,
    /// Of specificity.
    pub specificity: Option<f64>,
    /// Of the false alarm rate.
    pub false_alarm_rate: Option<f64>,
    /// Of precision; a class that has images and is never said counts as 0, as its F1 does.
    pub precision: Option<f64>,
    /// Of F1.
    pub f1: Option<f64>,
}
