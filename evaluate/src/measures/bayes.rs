//! Bayes' theorem for the question "is it this one?".

use crate::measures::confusion::ConfusionMatrix;
use crate::measures::undefined::Reasons;
use crate::report::{ByClass, ClassBayes, ClassFigures};

/// After how many images of one letter the posterior is told.
const IMAGES: i32 = 3;

/// Where precision is told: in equal steps of the log odds from -9.2 to 9.2, prevalences 0.0001 to 0.9999.
#[must_use]
pub fn prevalences() -> Vec<f64> {
    const STEPS: i32 = 46;
    (-STEPS..=STEPS).map(|step| 1.0 / (1.0 + (-0.2 * f64::from(step)).exp())).collect()
}

/// P(T given the answer), from the prior P(T) and the probabilities of the answer where T holds and where it does not:
/// `with · prior / (with · prior + without · (1 − prior))`. Nothing where the answer cannot come.
#[must_use]
pub fn posterior(prior: f64, with: f64, without: f64) -> Option<f64> {
    let (of_those, of_others) = (with * prior, without * (1.0 - prior));
    let all = of_those + of_others;
    (all > 0.0).then(|| of_those / all)
}

/// The theorem for every class of section 2.
#[must_use]
pub fn classes(by_class: &ByClass, prevalences: &[f64], reasons: &mut Reasons) -> Vec<ClassBayes> {
    let of = |(label, figures)| class(label, figures, &by_class.confusion_matrix, prevalences, reasons);
    by_class.classes.iter().enumerate().map(of).collect()
}

/// P(T given that so many images of one letter are all taken for T): `π(T) r(T)ᵐ / Σ π(t) r(t)ᵐ`, where `r(t)` is the share
/// of the images of `t` that are taken for T. Given the letter, the answers are taken as independent.
fn posterior_after(images: i32, label: usize, matrix: &ConfusionMatrix) -> Option<f64> {
    let weight = |truth: usize| {
        let rate = matrix.rate(truth, label).unwrap_or(0.0);
        matrix.support(truth) as f64 * rate.powi(images)
    };
    let all: f64 = (0..matrix.classes()).map(weight).sum();
    (all > 0.0).then(|| weight(label) / all)
}

fn class(
    label: usize,
    figures: &ClassFigures,
    matrix: &ConfusionMatrix,
    prevalences: &[f64],
    reasons: &mut Reasons,
) -> ClassBayes {
    let (prior, recall, false_alarm_rate) = (figures.prior, figures.recall.value, figures.false_alarm_rate.value);
    let rates = recall.zip(false_alarm_rate);
    let at = |prior: f64| rates.and_then(|(recall, false_alarm_rate)| posterior(prior, recall, false_alarm_rate));
    let answer = at(prior);
    let reason = match (recall, false_alarm_rate) {
        (None, _) => format!("the split has no image of class {}, so its recall is unknown", figures.class),
        (_, None) => format!(
            "the split has no image of another class than {}, so its false alarm rate is unknown",
            figures.class
        ),
        _ => format!("no image was taken for class {}", figures.class),
    };
    reasons.explain(answer.as_ref(), format!("bayes.classes.{}.posterior", figures.class), reason);
    ClassBayes {
        class: figures.class.clone(),
        prior,
        recall,
        false_alarm_rate,
        says_and_is: recall.map(|recall| recall * prior),
        says_and_is_not: false_alarm_rate.map(|rate| rate * (1.0 - prior)),
        posterior: answer,
        counted_precision: figures.precision.value,
        posterior_after_images: (1..=IMAGES).map(|images| answer.and(posterior_after(images, label, matrix))).collect(),
        precision_by_prevalence: prevalences.iter().map(|&prevalence| at(prevalence)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The textbook's: 99 of 5094.
    #[test]
    fn a_rare_thing_found_is_seldom_there() {
        assert!((posterior(0.001, 0.99, 0.05).unwrap() - 99.0 / 5094.0).abs() < 1e-16);
        assert_eq!(posterior(0.5, 0.0, 0.0), None);
        assert_eq!((posterior(0.2, 0.9, 0.0), posterior(0.2, 0.0, 0.1)), (Some(1.0), Some(0.0)));
    }

    /// Ten images each of two letters that the model cannot tell apart and of a third: however many images, it stays open
    /// which of the two it is.
    #[test]
    fn of_letters_that_look_alike_more_images_do_not_tell_which_it_is() {
        let pairs = [(0, 0, 5), (0, 1, 5), (1, 0, 5), (1, 1, 5), (2, 2, 9), (2, 0, 1)];
        let mut matrix = ConfusionMatrix::new(3);
        pairs.into_iter().for_each(|(truth, predicted, images)| matrix.add(truth, predicted, images));
        let found = [1, 2, 3].map(|images| posterior_after(images, 0, &matrix).unwrap());
        let expected = [5.0 / 11.0, 25.0 / 51.0, 125.0 / 251.0];
        assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-15), "{found:?}");
        assert_eq!(posterior_after(2, 1, &ConfusionMatrix::new(3)), None);
    }

    #[test]
    fn prevalences_rise_and_have_a_half_in_the_middle() {
        let found = prevalences();
        assert!(found.is_sorted_by(|one, other| one < other));
        assert_eq!(found[found.len() / 2], 0.5);
        assert!(found[0] > 0.0 && found[0] < 2e-4 && found[found.len() - 1] < 1.0);
    }
}
