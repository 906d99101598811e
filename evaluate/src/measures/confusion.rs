//! Which class was taken for which.

use serde::{Deserialize, Serialize};

/// How often each class was taken for which: `counts[true][predicted]`, square.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfusionMatrix {
    counts: Vec<Vec<u64>>,
}

impl ConfusionMatrix {
    /// Of no images yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self { counts: vec![vec![0; classes]; classes] }
    }

    /// Counts pairs of true and predicted class.
    ///
    /// # Panics
    /// When a class is not below `classes`.
    #[must_use]
    pub fn count(classes: usize, pairs: impl IntoIterator<Item = (u8, u8)>) -> Self {
        let mut matrix = Self::new(classes);
        pairs.into_iter().for_each(|(truth, predicted)| matrix.add(truth, predicted, 1));
        matrix
    }

    /// Counts `images` more of a true and a predicted class.
    ///
    /// # Panics
    /// When a class is not one of the matrix.
    pub fn add(&mut self, truth: u8, predicted: u8, images: u64) {
        self.counts[usize::from(truth)][usize::from(predicted)] += images;
    }

    /// One row a true class, one column a predicted class.
    #[must_use]
    pub fn rows(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// How many classes there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// How many images were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// F1 of a class: `2 TP / (2 TP + FP + FN)`. Nothing where no image is of it and none was taken for it.
    #[must_use]
    pub fn f1(&self, class: usize) -> Option<f64> {
        let both = self.support(class) + self.predicted(class);
        (both > 0).then(|| 2.0 * self.counts[class][class] as f64 / both as f64)
    }

    /// How many were classified rightly.
    #[must_use]
    pub fn correct(&self) -> u64 {
        self.counts.iter().enumerate().map(|(class, row)| row[class]).sum()
    }

    /// How many images are of the class.
    #[must_use]
    pub fn support(&self, class: usize) -> u64 {
        self.counts[class].iter().sum()
    }

    /// How many images were taken for the class.
    #[must_use]
    pub fn predicted(&self, class: usize) -> u64 {
        self.counts.iter().map(|row| row[class]).sum()
    }

    /// P(predicted given true), where there is an image of the true class.
    #[must_use]
    pub fn rate(&self, truth: usize, predicted: usize) -> Option<f64> {
        let support = self.support(truth);
        (support > 0).then(|| self.counts[truth][predicted] as f64 / support as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_true_classes_and_columns_predicted_ones() {
        let matrix = ConfusionMatrix::count(3, [(0, 0), (0, 2), (2, 1), (2, 2), (0, 0)]);
        assert_eq!(matrix.rows(), [[2, 0, 1], [0, 0, 0], [0, 1, 1]]);
        assert_eq!((matrix.total(), matrix.correct(), matrix.support(0), matrix.predicted(2)), (5, 3, 3, 2));
        assert_eq!((matrix.rate(2, 1), matrix.rate(1, 1)), (Some(0.5), None));
    }
}
