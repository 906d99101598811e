//! What a model said of labelled images.

use ndarray::{Array2, ArrayView1};

use crate::measures::confusion::ConfusionMatrix;

/// Labels, and what was predicted in their place. All are in the order of the split's rows.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// `[N]`.
    pub labels: Vec<u8>,
    /// `[N]`: the class with the largest logit, the first of them where several are equal.
    pub predicted: Vec<u8>,
    /// `[N, C]`.
    pub logits: Array2<f32>,
    /// What the logits are divided by.
    pub temperature: f64,
    /// `[N, C]`: `softmax(logits / temperature)`, computed from the logits in `f64`.
    pub probabilities: Array2<f64>,
}

impl Outcomes {
    /// Of images with these labels `[N]` and finite logits `[N, C]`.
    ///
    /// # Panics
    /// Where there are not as many labels as rows.
    #[must_use]
    pub fn new(labels: Vec<u8>, logits: Array2<f32>, temperature: f64) -> Self {
        assert_eq!(labels.len(), logits.nrows(), "every image has a label and logits");
        let predicted = predicted(&logits).collect();
        let probabilities = softmax(&logits, temperature);
        Self { labels, predicted, logits, temperature, probabilities }
    }

    /// The same, with the probabilities of another temperature.
    #[must_use]
    pub fn at_temperature(&self, temperature: f64) -> Self {
        Self { temperature, probabilities: softmax(&self.logits, temperature), ..self.clone() }
    }

    /// How many images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// How many classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.logits.ncols()
    }

    /// Which class was taken for which.
    #[must_use]
    pub fn confusion(&self) -> ConfusionMatrix {
        ConfusionMatrix::count(self.classes(), self.labels.iter().copied().zip(self.predicted.iter().copied()))
    }

    /// Whether the image was classified rightly.
    #[must_use]
    pub fn is_right(&self, row: usize) -> bool {
        self.labels[row] == self.predicted[row]
    }

    /// The probability of the predicted class.
    #[must_use]
    pub fn confidence(&self, row: usize) -> f64 {
        self.probabilities[[row, usize::from(self.predicted[row])]]
    }

    /// The rows by rising confidence, equally confident ones in their own order.
    #[must_use]
    pub fn by_confidence(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_by(|&one, &other| self.confidence(one).total_cmp(&self.confidence(other)));
        rows
    }

    /// `−log p(label)`, in nats: finite however small the probability is.
    #[must_use]
    pub fn negative_log_likelihood(&self, row: usize) -> f64 {
        cross_entropy(self.logits.row(row), self.labels[row], self.temperature)
    }

    /// `Σ (p(class) − [class is the label])²`.
    #[must_use]
    pub fn brier_score(&self, row: usize) -> f64 {
        let label = usize::from(self.labels[row]);
        let terms = self.probabilities.row(row).into_iter().enumerate();
        terms.map(|(class, p)| (p - if class == label { 1.0 } else { 0.0 }).powi(2)).sum()
    }

    /// Whether fewer than two classes come before the label, by logit and then by order.
    #[must_use]
    pub fn label_is_in_top_2(&self, row: usize) -> bool {
        let (logits, label) = (self.logits.row(row), usize::from(self.labels[row]));
        let before =
            |(class, &logit): (usize, &f32)| logit > logits[label] || (logit == logits[label] && class < label);
        logits.iter().enumerate().filter(|&entry| before(entry)).count() < 2
    }
}

/// The place of the largest value, the first of them where several are equal, as NumPy's `argmax`.
pub(crate) fn largest<T: PartialOrd>(logits: ArrayView1<'_, T>) -> u8 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    u8::try_from(best).expect("a data set has at most 256 classes")
}

/// The class of each row's largest logit.
pub(crate) fn predicted(logits: &Array2<f32>) -> impl Iterator<Item = u8> {
    logits.rows().into_iter().map(largest)
}

/// `softmax(logits / temperature)` of each row; each row sums to 1.
pub(crate) fn softmax(logits: &Array2<f32>, temperature: f64) -> Array2<f64> {
    let mut values = logits.mapv(|logit| f64::from(logit) / temperature);
    for mut row in values.rows_mut() {
        let largest = row.fold(f64::NEG_INFINITY, |most, &value| most.max(value));
        row.mapv_inplace(|value| (value - largest).exp());
        let sum = row.sum();
        row /= sum;
    }
    values
}

/// `log Σ exp(logit / T) − logit of the label / T`, in nats, with the largest logit taken out of the sum.
fn cross_entropy(logits: ArrayView1<'_, f32>, label: u8, temperature: f64) -> f64 {
    let scaled = |class: usize| f64::from(logits[class]) / temperature;
    let largest = scaled(usize::from(largest(logits)));
    let sum: f64 = (0..logits.len()).map(|class| (scaled(class) - largest).exp()).sum();
    largest + sum.ln() - scaled(usize::from(label))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn of(label: u8, logits: &[f32]) -> Outcomes {
        Outcomes::new(vec![label], Array2::from_shape_vec((1, logits.len()), logits.to_vec()).unwrap(), 1.0)
    }

    #[test]
    fn the_first_of_equal_logits_wins() {
        for (logits, expected) in
            [([1.0, 3.0, 3.0, 2.0], 1), ([0.0, -0.0, -1.0, -1.0], 0), ([f32::MIN, 1.0, 2.0, f32::MAX], 3)]
        {
            assert_eq!(of(0, &logits).predicted, [expected]);
        }
    }

    #[test]
    fn cross_entropy_is_exact_where_it_is_known_and_does_not_overflow() {
        let loss = |label, logits: &[f32]| of(label, logits).negative_log_likelihood(0);
        assert!((loss(3, &[0.0; 10]) - 10.0_f64.ln()).abs() < 1e-15);
        // log(e + 1) - 1 and log(e + 1), worked by hand.
        assert!((loss(0, &[1.0, 0.0]) - 0.313_261_687_518_222_8).abs() < 1e-15);
        assert!((loss(1, &[1.0, 0.0]) - 1.313_261_687_518_222_8).abs() < 1e-15);
        assert_eq!(loss(0, &[1e30, 0.0]), 0.0);
        assert_eq!(loss(1, &[1e30, 0.0]), f64::from(1e30_f32));
    }

    #[test]
    fn a_temperature_divides_the_logits() {
        let outcomes = Outcomes::new(vec![0, 1], array![[2.0, 0.0], [4.0, 2.0]], 2.0);
        let e = std::f64::consts::E;
        for row in 0..2 {
            assert!((outcomes.probabilities[[row, 0]] - e / (e + 1.0)).abs() < 1e-15);
        }
        assert_eq!(
            outcomes.at_temperature(1.0).probabilities,
            Outcomes::new(vec![0, 1], outcomes.logits, 1.0).probabilities
        );
    }

    #[test]
    fn the_first_two_of_equal_logits_are_the_top_2() {
        assert_eq!(
            [0, 1, 2, 3].map(|label| of(label, &[0.0, 1.0, 0.0, 0.0]).label_is_in_top_2(0)),
            [true, true, false, false]
        );
        assert!(of(1, &[5.0, 0.0]).label_is_in_top_2(0));
    }
}
