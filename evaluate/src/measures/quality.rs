//! How good a model is on all images together.

use crate::measures::confusion::ConfusionMatrix;
use crate::measures::groups::{self, Groups};
use crate::measures::outcomes::Outcomes;
use crate::report::{Proportion, Quality};

/// What is known of each image by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    truth: u8,
    predicted: u8,
    negative_log_likelihood: f64,
    brier_score: f64,
    is_in_top_2: bool,
}

impl Image {
    pub(crate) fn is_right(&self) -> bool {
        self.truth == self.predicted
    }

    pub(crate) fn is_in_top_2(&self) -> bool {
        self.is_in_top_2
    }
}

/// The images of `outcomes`.
pub(crate) fn images(outcomes: &Outcomes) -> Vec<Image> {
    let image = |row| Image {
        truth: outcomes.labels[row],
        predicted: outcomes.predicted[row],
        negative_log_likelihood: outcomes.negative_log_likelihood(row),
        brier_score: outcomes.brier_score(row),
        is_in_top_2: outcomes.label_is_in_top_2(row),
    };
    (0..outcomes.len()).map(image).collect()
}

/// Section 1's figures of at least one image.
pub(crate) fn quality(images: &[Image], classes: usize, groups: &Groups) -> Quality {
    let mut sums = Sums::new(classes);
    images.iter().for_each(|image| sums.add(image));
    let total = sums.confusion.total();
    Quality {
        images: total,
        accuracy: Proportion::of(sums.confusion.correct(), total),
        majority_baseline: sums.majority_baseline(),
        balanced_accuracy: sums.balanced_accuracy(),
        macro_f1: sums.macro_f1(),
        negative_log_likelihood: sums.mean(sums.negative_log_likelihood),
        brier_score: sums.mean(sums.brier_score),
        top_2_accuracy: Proportion::of(sums.in_top_2, total),
        cohen_kappa: sums.cohen_kappa(),
        intervals: groups::intervals(images, classes, groups),
    }
}

/// What the figures are computed from.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    confusion: ConfusionMatrix,
    pub(crate) negative_log_likelihood: f64,
    pub(crate) brier_score: f64,
    pub(crate) in_top_2: u64,
}

impl Sums {
    /// Of no image yet.
    pub(crate) fn new(classes: usize) -> Self {
        Self { confusion: ConfusionMatrix::new(classes), negative_log_likelihood: 0.0, brier_score: 0.0, in_top_2: 0 }
    }

    pub(crate) fn add(&mut self, image: &Image) {
        self.confusion.add(image.truth, image.predicted, 1);
        self.negative_log_likelihood += image.negative_log_likelihood;
        self.brier_score += image.brier_score;
        self.in_top_2 += u64::from(image.is_in_top_2);
    }

    /// A sum by the number of images.
    pub(crate) fn mean(&self, sum: f64) -> f64 {
        sum / self.confusion.total() as f64
    }

    pub(crate) fn accuracy(&self) -> f64 {
        self.mean(self.confusion.correct() as f64)
    }

    fn majority_baseline(&self) -> f64 {
        let most = (0..self.confusion.classes()).map(|class| self.confusion.support(class)).max();
        self.mean(most.unwrap_or(0) as f64)
    }

    pub(crate) fn balanced_accuracy(&self) -> Option<f64> {
        mean((0..self.confusion.classes()).filter_map(|class| self.confusion.rate(class, class)))
    }

    pub(crate) fn macro_f1(&self) -> Option<f64> {
        mean((0..self.confusion.classes()).filter_map(|class| self.confusion.f1(class)))
    }

    pub(crate) fn cohen_kappa(&self) -> Option<f64> {
        let total = self.confusion.total();
        let classes = 0..self.confusion.classes();
        let together: u64 = classes.map(|class| self.confusion.support(class) * self.confusion.predicted(class)).sum();
        if together == total * total {
            return None; // All labels and all predictions are one class: agreement by chance is certain.
        }
        let chance = together as f64 / (total as f64).powi(2);
        Some((self.accuracy() - chance) / (1.0 - chance))
    }
}

/// The mean, where there are values.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    weighted_mean(values.map(|value| (1.0, value)))
}

/// The mean of values behind their weights, where there are any that weigh something.
pub(crate) fn weighted_mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weights) =
        values.fold((0.0, 0.0), |(sum, weights), (weight, value)| (sum + weight * value, weights + weight));
    (weights > 0.0).then(|| sum / weights)
}
