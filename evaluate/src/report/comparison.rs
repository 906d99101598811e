use artifacts::ModelDescription;
use files::Digest;
use serde::{Deserialize, Serialize};

use super::figures::{Estimate, Proportion};

/// Section 8: against another model, on the very same images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// SHA-256 of the other report.
    pub report: Digest,
    /// SHA-256 of the other `model.onnx`.
    pub other_digest: Digest,
    /// What the other network is.
    pub other: ModelDescription,
    /// How good the other is.
    pub other_accuracy: Proportion,
    /// Images that both classify rightly.
    pub both_right: u64,
    /// Images that only this model classifies rightly.
    pub only_this_right: u64,
    /// Images that only the other classifies rightly.
    pub only_other_right: u64,
    /// Images that both get wrong.
    pub both_wrong: u64,
    /// Accuracy of this model less that of the other, with the interval of A. Agresti and Y. Min, Statistics in Medicine
    /// 24, 2005: Wald's for matched pairs, with half an image added to each of the four counts.
    pub difference: Estimate,
    /// The exact two-sided p value of McNemar's test: that of a binomial test of `only_this_right` among the images that
    /// one alone gets right, with a share of 1/2. It is 1 where there is none.
    pub mcnemar_p: f64,
    /// The difference with the images of one font taken as dependent. Nothing where no file name tells a font.
    pub by_font: Option<DifferenceByFont>,
    /// How many images the two give different classes.
    pub differing: u64,
    /// These, in the order of the rows; at most [`Comparison::MOST`].
    pub images: Vec<Disagreement>,
}

impl Comparison {
    /// How many images are listed at most.
    pub const MOST: usize = 200;
}

/// A difference of accuracies for fonts like these; an image without a font counts as one of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DifferenceByFont {
    /// How many fonts there are.
    pub fonts: u64,
    /// The interval `d ± t √v` with the variance `v` of the mean over the fonts and Student's t, within −1 and 1. Nothing with
    /// a single font, or where all fonts have the same difference.
    pub difference_95: Option<[f64; 2]>,
    /// The exact p value of the hypothesis that neither is better in any font: the share of all signs of the `d` with which
    /// `|Σ ±d|` is at least `|Σ d|`, where `d` is a font's images that this model alone gets right less those that the other
    /// alone does. It is R. A. Fisher's randomisation test for pairs ("The Design of Experiments", 1935, chapter III), and
    /// McNemar's exact test where no font has more than one such image; with many fonts it comes near to the test by χ² of V.
    /// L. Durkalski, Y. Y. Palesch, S. R. Lipsitz, P. F. Rust, Statistics in Medicine 22, 2003. It is 1 where no font has a
    /// difference.
    pub p: f64,
}

/// An image that two models take for different classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Its row in the split.
    pub row: usize,
    /// The file that it was read from.
    pub file: String,
    /// The font that the file's name tells.
    pub font: Option<String>,
    /// The class that it is labelled with.
    pub label: String,
    /// What this model takes it for.
    pub this: String,
    /// How sure it is.
    pub this_confidence: f64,
    /// What the other takes it for.
    pub other: String,
    /// How sure that is.
    pub other_confidence: f64,
}
