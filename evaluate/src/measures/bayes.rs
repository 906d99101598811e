//! Bayes' theorem for the question "is it this one?".

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
    by_class.classes.iter().map(|figures| class(figures, prevalences, reasons)).collect()
}

fn class(figures: &ClassFigures, prevalences: &[f64], reasons: &mut Reasons) -> ClassBayes {
    let (prior, recall, false_alarm_rate) = (figures.prior, figures.recall.value, figures.false_alarm_rate.value);
    let rates = recall.zip(false_alarm_rate);
    let after = |prior: f64, images: i32| {
        let (recall, false_alarm_rate) = rates?;
        posterior(prior, recall.powi(images), false_alarm_rate.powi(images))
    };
    let answer = after(prior, 1);
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
        true_alarms: recall.map(|recall| recall * prior),
        false_alarms: false_alarm_rate.map(|rate| rate * (1.0 - prior)),
        posterior: answer,
        counted_precision: figures.precision.value,
        posterior_after_images: (1..=IMAGES).map(|images| after(prior, images)).collect(),
        precision_by_prevalence: prevalences.iter().map(|&prevalence| after(prevalence, 1)).collect(),
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

    #[test]
    fn prevalences_rise_and_have_a_half_in_the_middle() {
        let found = prevalences();
        assert!(found.is_sorted_by(|one, other| one < other));
        assert_eq!(found[found.len() / 2], 0.5);
        assert!(found[0] > 0.0 && found[0] < 2e-4 && found[found.len() - 1] < 1.0);
    }
}
