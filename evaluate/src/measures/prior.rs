//! What to expect where the classes are otherwise frequent than in the split.

use ndarray::Array1;

use crate::measures::confusion::ConfusionMatrix;
use crate::measures::intervals::weighted_mean;
use crate::measures::outcomes::{Outcomes, largest};
use crate::report::Expectation;

/// How often each letter stands in English text, in percent (R. E. Lewand, "Cryptological Mathematics", 2000, page 36).
pub const ENGLISH: [(char, f64); 26] = [
    ('A', 8.167),
    ('B', 1.492),
    ('C', 2.782),
    ('D', 4.253),
    ('E', 12.702),
    ('F', 2.228),
    ('G', 2.015),
    ('H', 6.094),
    ('I', 6.966),
    ('J', 0.153),
    ('K', 0.772),
    ('L', 4.025),
    ('M', 2.406),
    ('N', 6.749),
    ('O', 7.507),
    ('P', 1.929),
    ('Q', 0.095),
    ('R', 5.987),
    ('S', 6.327),
    ('T', 9.056),
    ('U', 2.758),
    ('V', 0.978),
    ('W', 2.360),
    ('X', 0.150),
    ('Y', 1.974),
    ('Z', 0.074),
];

/// The frequencies of English text restricted to the classes, where each of these is a letter of its own: `A` and `a`
/// together are not, since their shares are not known apart.
#[must_use]
pub fn english(classes: &[String]) -> Option<Vec<f64>> {
    let letters: Vec<char> = classes
        .iter()
        .map(|class| {
            let mut characters = class.chars();
            let letter = characters.next().filter(|_| characters.next().is_none())?;
            Some(letter.to_ascii_uppercase())
        })
        .collect::<Option<_>>()?;
    let is_new = |(place, letter): (usize, &char)| !letters[..place].contains(letter);
    if !letters.iter().enumerate().all(is_new) {
        return None;
    }
    let frequency = |letter: &char| ENGLISH.iter().find(|(known, _)| known == letter).map(|&(_, percent)| percent);
    normalised(letters.iter().map(frequency).collect::<Option<Vec<f64>>>()?)
}

/// Weights scaled to sum to 1, where they are shares: finite, none negative, one positive.
#[must_use]
pub fn normalised(weights: Vec<f64>) -> Option<Vec<f64>> {
    // Of the largest, so that no sum is beyond all numbers.
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let are_shares = largest > 0.0 && largest.is_finite() && weights.iter().all(|&weight| weight >= 0.0);
    let sum: f64 = weights.iter().map(|weight| weight / largest).sum();
    are_shares.then(|| weights.iter().map(|weight| weight / largest / sum).collect())
}

/// Accuracy and precision under `priors`, with the answers of `matrix`.
#[must_use]
pub fn expectation(matrix: &ConfusionMatrix, priors: &[f64]) -> Expectation {
    // The share of images that are of `truth` and taken for `answer`: known to be 0 where there is none of `truth`.
    let joint = |truth: usize, answer: usize| match priors[truth] {
        0.0 => Some(0.0),
        prior => matrix.rate(truth, answer).map(|rate| prior * rate),
    };
    let classes = 0..priors.len();
    let precision = |class: usize| {
        let taken: f64 = classes.clone().map(|truth| joint(truth, class)).sum::<Option<f64>>()?;
        (taken > 0.0).then(|| joint(class, class).map(|right| right / taken)).flatten()
    };
    Expectation {
        accuracy: weighted_mean(
            classes.clone().map(|class| (priors[class], [matrix.rows()[class][class], matrix.support(class)])),
        ),
        precision: classes.clone().map(precision).collect(),
    }
}

/// The answers where the probabilities are reweighed: the class with the largest `p(c) · prior(c) / training prior(c)`.
/// Nothing where a class has no training image.
#[must_use]
pub fn reweighed(outcomes: &Outcomes, training: &[f64], priors: &[f64]) -> Option<ConfusionMatrix> {
    if training.contains(&0.0) {
        return None;
    }
    let ratios: Vec<f64> = priors.iter().zip(training).map(|(prior, training)| (prior / training).ln()).collect();
    // On logarithms, so that a probability of e⁻⁸⁰⁰ counts as what it is.
    let answers = outcomes.logits.rows().into_iter().map(|logits| {
        let scores = logits.iter().zip(&ratios).map(|(&logit, ratio)| f64::from(logit) / outcomes.temperature + ratio);
        largest(scores.collect::<Array1<f64>>().view())
    });
    Some(ConfusionMatrix::count(priors.len(), outcomes.labels.iter().copied().zip(answers)))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::report::Estimate;

    fn names(classes: &[&str]) -> Vec<String> {
        classes.iter().map(|&class| class.to_owned()).collect()
    }

    #[test]
    fn english_is_of_single_letters_that_are_told_apart() {
        let found = english(&names(&["e", "J"])).unwrap();
        assert!((found[0] - 12.702 / 12.855).abs() < 1e-15 && (found.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        for classes in [&["A", "a"][..], &["A", "7"], &["A", "BC"], &["A", "É"], &["A", ""]] {
            assert_eq!(english(&names(classes)), None, "{classes:?}");
        }
        assert!((ENGLISH.iter().map(|(_, percent)| percent).sum::<f64>() - 100.0).abs() < 0.01);
    }

    #[test]
    fn weights_that_are_no_shares_are_refused() {
        assert_eq!(normalised(vec![1.0, 3.0]), Some(vec![0.25, 0.75]));
        for weights in [vec![0.0, 0.0], vec![1.0, -0.5], vec![f64::NAN, 1.0], vec![f64::INFINITY, 1.0]] {
            assert_eq!(normalised(weights), None);
        }
    }

    /// Recall 0.9 and 0.8, worked by hand at a prior of 1/10.
    #[test]
    fn accuracy_and_precision_move_with_the_prior() {
        let matrix =
            ConfusionMatrix::count(2, (0..20).map(|row| (row / 10, u8::from(row == 9 || (row > 9 && row < 18)))));
        assert_eq!(matrix.rows(), [[9, 1], [2, 8]]);
        let found = expectation(&matrix, &[0.1, 0.9]);
        assert!((found.accuracy.value.unwrap() - (0.09 + 0.72)).abs() < 1e-15);
        assert!((found.precision[0].unwrap() - 0.09 / (0.09 + 0.18)).abs() < 1e-15);
        assert!((found.precision[1].unwrap() - 0.72 / (0.72 + 0.01)).abs() < 1e-15);
    }

    #[test]
    fn a_class_without_images_is_unknown_unless_its_prior_is_0() {
        let matrix = ConfusionMatrix::count(3, [(0, 0), (1, 1), (1, 0)]);
        let accuracy = Estimate { value: None, interval_95: None };
        assert_eq!(expectation(&matrix, &[0.5, 0.25, 0.25]), Expectation { accuracy, precision: vec![None; 3] });
        let known = expectation(&matrix, &[0.5, 0.5, 0.0]);
        assert_eq!((known.accuracy.value, known.precision), (Some(0.75), vec![Some(2.0 / 3.0), Some(1.0), None]));
    }

    /// p = (0.6, 0.4) at equal training priors; a prior of 0.1 makes it 0.06 against 0.36.
    #[test]
    fn reweighing_turns_an_answer_that_was_close() {
        let logits = array![[0.6_f32.ln(), 0.4_f32.ln()]];
        let outcomes = Outcomes::new(vec![1], logits, 1.0);
        assert_eq!(reweighed(&outcomes, &[0.5, 0.5], &[0.1, 0.9]).unwrap().correct(), 1);
        assert_eq!(reweighed(&outcomes, &[0.5, 0.5], &[0.5, 0.5]).unwrap().correct(), 0);
        assert_eq!(reweighed(&outcomes, &[0.5, 0.5], &[0.0, 1.0]).unwrap().correct(), 1);
        assert!(reweighed(&outcomes, &[1.0, 0.0], &[0.5, 0.5]).is_none());
    }

    const CLASSES: usize = 4;

    /// Shares of classes of which each is there.
    fn shares() -> impl Strategy<Value = Vec<f64>> {
        vec(0.01..1.0, CLASSES).prop_map(|weights| normalised(weights).unwrap())
    }

    /// Labels of which each class has one, and logits.
    fn judged() -> impl Strategy<Value = Outcomes> {
        let image = || (0..u8::try_from(CLASSES).unwrap(), vec(-9.0_f32..9.0, CLASSES));
        (vec(image(), CLASSES..40), 0.5..2.0).prop_map(|(images, temperature)| {
            let (mut labels, logits): (Vec<_>, Vec<_>) = images.into_iter().unzip();
            labels[..CLASSES].copy_from_slice(&[0, 1, 2, 3]);
            let logits = Array2::from_shape_vec((labels.len(), CLASSES), logits.concat()).unwrap();
            Outcomes::new(labels, logits, temperature)
        })
    }

    proptest! {
        #[test]
        fn at_the_split_s_own_prior_what_is_expected_is_what_was_counted(outcomes in judged()) {
            let matrix = outcomes.confusion();
            let total = matrix.total() as f64;
            let own: Vec<f64> = (0..CLASSES).map(|class| matrix.support(class) as f64 / total).collect();
            let found = expectation(&matrix, &own);
            prop_assert!((found.accuracy.value.unwrap() - matrix.correct() as f64 / total).abs() < 1e-12);
            for (class, precision) in found.precision.iter().enumerate() {
                let taken: u64 = matrix.rows().iter().map(|row| row[class]).sum();
                prop_assert_eq!(precision.is_some(), taken > 0);
                if let Some(precision) = precision {
                    prop_assert!((precision - matrix.rows()[class][class] as f64 / taken as f64).abs() < 1e-12);
                }
            }
        }

        #[test]
        fn accuracy_stays_between_the_recalls_and_precision_grows_with_its_class(
            outcomes in judged(), priors in shares(), class in 0..CLASSES, part in 0.0..1.0,
        ) {
            let matrix = outcomes.confusion();
            let recalls: Vec<f64> = (0..CLASSES).map(|class| matrix.rate(class, class).unwrap()).collect();
            let accuracy = expectation(&matrix, &priors).accuracy.value.unwrap();
            let (least, most) = recalls.iter().fold((1.0_f64, 0.0_f64), |(low, high), &r| (low.min(r), high.max(r)));
            prop_assert!((least - 1e-12..=most + 1e-12).contains(&accuracy));

            // The class takes `part` of what all have, in proportion.
            let more: Vec<f64> = (0..CLASSES)
                .map(|other| priors[other] * (1.0 - part) + if other == class { part } else { 0.0 })
                .collect();
            let before = expectation(&matrix, &priors).precision[class];
            let after = expectation(&matrix, &more).precision[class];
            if let (Some(before), Some(after)) = (before, after) {
                prop_assert!(after >= before - 1e-12, "{before} to {after}");
            }
        }

        #[test]
        fn reweighing_for_the_training_prior_changes_no_answer(outcomes in judged(), training in shares()) {
            let found = reweighed(&outcomes, &training, &training).unwrap();
            let plain = outcomes.confusion();
            prop_assert_eq!(found.rows(), plain.rows());
        }

        #[test]
        fn the_rarer_a_class_the_fewer_images_are_taken_for_it(
            outcomes in judged(), training in shares(), priors in shares(), class in 0..CLASSES, left in 0.0..1.0,
        ) {
            let taken = |priors: &[f64]| -> u64 {
                reweighed(&outcomes, &training, priors).unwrap().rows().iter().map(|row| row[class]).sum()
            };
            let mut rarer = priors.clone();
            rarer[class] *= left;
            prop_assert!(taken(&normalised(rarer).unwrap()) <= taken(&priors));
        }
    }
}
