//! How frequent the classes are among images that nobody labelled.

use ndarray::{Array1, Array2};

use crate::measures::confusion::ConfusionMatrix;
use crate::report::{BlackBoxShiftEstimation, ExpectationMaximisation};

/// A round that changes no prior by more ends the search.
const TOLERANCE: f64 = 1e-10;
/// Rounds at most.
const MOST_ROUNDS: u32 = 10_000;

/// Expectation maximisation on the probabilities `[N, C]` of at least one image: each round reweighs them for the present
/// estimate, `p(c) · prior(c) / training prior(c)`, and takes their mean as the next (Saerens 2002, eq. 2.9).
///
/// # Panics
/// Where a training prior is 0.
#[must_use]
pub fn expectation_maximisation(probabilities: &Array2<f64>, training: &[f64]) -> ExpectationMaximisation {
    assert!(training.iter().all(|&prior| prior > 0.0), "every class has training images");
    let training = Array1::from(training.to_vec());
    let mut priors = training.clone();
    for round in 1..=MOST_ROUNDS {
        let weights = &priors / &training;
        let mut sums = Array1::zeros(priors.len());
        for row in probabilities.rows() {
            let reweighed = &row * &weights;
            let total = reweighed.sum();
            sums.scaled_add(1.0 / total, &reweighed);
        }
        let next = sums / probabilities.nrows() as f64;
        let change = next.iter().zip(&priors).map(|(next, prior)| (next - prior).abs()).fold(0.0, f64::max);
        priors = next;
        if change <= TOLERANCE {
            return ExpectationMaximisation { priors: priors.to_vec(), rounds: round, converged: true };
        }
    }
    ExpectationMaximisation { priors: priors.to_vec(), rounds: MOST_ROUNDS, converged: false }
}

/// Black box shift estimation: the weights with which the validation split's answers would be spread as `answers` are.
/// Nothing where its confusion matrix is singular, or no class would be left.
#[must_use]
pub fn black_box(validation: &ConfusionMatrix, answers: &[f64]) -> Option<BlackBoxShiftEstimation> {
    let total = validation.total() as f64;
    let classes = validation.classes();
    let joint =
        Array2::from_shape_fn((classes, classes), |(answer, truth)| validation.rows()[truth][answer] as f64 / total);
    let weights = solve(joint, answers.to_vec())?;
    let priors = weights.iter().enumerate();
    let priors = priors.map(|(class, weight)| weight.max(0.0) * validation.support(class) as f64).collect();
    Some(BlackBoxShiftEstimation { weights, priors: super::prior::normalised(priors)? })
}

/// The solution of `matrix · x = right`, by Gaussian elimination with partial pivoting; nothing where it is singular.
fn solve(mut matrix: Array2<f64>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    let scale = matrix.fold(0.0_f64, |most, value| most.max(value.abs()));
    for column in 0..size {
        let below = (column..size)
            .max_by(|&one, &other| matrix[[one, column]].abs().total_cmp(&matrix[[other, column]].abs()))?;
        if matrix[[below, column]].abs() <= scale * 1e-12 {
            return None;
        }
        for place in 0..size {
            matrix.swap([column, place], [below, place]);
        }
        right.swap(column, below);
        for row in column + 1..size {
            let factor = matrix[[row, column]] / matrix[[column, column]];
            for place in column..size {
                let taken = factor * matrix[[column, place]];
                matrix[[row, place]] -= taken;
            }
            right[row] -= factor * right[column];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|place| matrix[[row, place]] * right[place]).sum();
        right[row] = (right[row] - known) / matrix[[row, row]];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn certain_probabilities_are_counted() {
        let found = expectation_maximisation(&array![[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], &[0.5, 0.5]);
        assert_eq!((found.priors, found.converged), (vec![0.75, 0.25], true));
    }

    /// Recall 0.9 and 0.8 on equal priors; answers as a prior of 0.3 gives them: 0.3 · 0.9 + 0.7 · 0.2 = 0.41.
    #[test]
    fn answers_are_traced_back_through_the_confusion_matrix() {
        let matrix =
            ConfusionMatrix::count(2, (0..20).map(|row| (row / 10, u8::from(row == 9 || (row > 9 && row < 18)))));
        let found = black_box(&matrix, &[0.41, 0.59]).unwrap();
        for (found, expected) in found.priors.iter().chain(&found.weights).zip([0.3, 0.7, 0.6, 1.4]) {
            assert!((found - expected).abs() < 1e-14, "{found}");
        }
    }

    #[test]
    fn a_class_that_validation_lacks_leaves_no_solution() {
        assert!(black_box(&ConfusionMatrix::count(3, [(0, 0), (1, 1)]), &[0.5, 0.5, 0.0]).is_none());
        assert!(black_box(&ConfusionMatrix::count(2, [(0, 0), (1, 0)]), &[1.0, 0.0]).is_none());
    }
}
