//! Section 3: by Bayes.

use artifacts::SplitName;

use crate::inputs::{Inputs, Prior};
use crate::judged::Judged;
use crate::measures::outcomes::{self, Outcomes};
use crate::measures::undefined::Reasons;
use crate::measures::{bayes, prior, shift};
use crate::predict::Predictions;
use crate::report::{Bayes, ByClass, EstimatedPrior, Expectation, FittedTemperature, OtherPrior};

/// What section 3 is computed from.
pub(super) struct ByBayes<'a> {
    pub inputs: &'a Inputs<'a>,
    pub judged: &'a Judged,
    pub validation: &'a Judged,
    pub by_class: &'a ByClass,
    pub temperature: Option<&'a FittedTemperature>,
}

impl ByBayes<'_> {
    pub(super) fn section(&self, unlabelled: Option<&Predictions>, reasons: &mut Reasons) -> Bayes {
        let prevalences = bayes::prevalences();
        Bayes {
            classes: bayes::classes(self.by_class, &prevalences, reasons),
            prevalences,
            priors: self.inputs.priors.iter().map(|prior| self.other_prior(prior, reasons)).collect(),
            estimated_prior: unlabelled.map(|predictions| self.estimated_prior(predictions, reasons)),
        }
    }

    fn other_prior(&self, prior: &Prior, reasons: &mut Reasons) -> OtherPrior {
        let matrix = &self.by_class.confusion_matrix;
        let priors = prior.shares(matrix);
        let outcomes = self.calibrated(&self.judged.outcomes);
        let training = self.training_prior();
        let adjusted = training.as_ref().ok().and_then(|training| prior::reweighed(&outcomes, training, &priors));
        let adjusted = adjusted.map(|matrix| prior::expectation(&matrix, &priors));
        let place = format!("bayes.priors.{}", prior.name);
        let reason = training.err().unwrap_or("a class has no training image");
        reasons.explain(adjusted.as_ref(), format!("{place}.adjusted"), reason);
        let unadjusted = prior::expectation(matrix, &priors);
        let expectations = [("unadjusted", Some(&unadjusted)), ("adjusted", adjusted.as_ref())];
        for (name, expectation) in expectations {
            if let Some(expectation) = expectation {
                self.explain(expectation, &format!("{place}.{name}"), reasons);
            }
        }
        OtherPrior { name: prior.name.clone(), priors, unadjusted, adjusted }
    }

    fn explain(&self, expectation: &Expectation, place: &str, reasons: &mut Reasons) {
        let unknown = "a class that this prior expects has no image in the split";
        reasons.explain(expectation.accuracy.value.as_ref(), format!("{place}.accuracy"), unknown);
        let reason = if expectation.accuracy.value.is_none() {
            unknown
        } else {
            "under this prior no image is expected to be taken for the class"
        };
        for (class, precision) in self.by_class.classes.iter().zip(&expectation.precision) {
            reasons.explain(precision.as_ref(), format!("{place}.precision.{}", class.class), reason);
        }
    }

    fn estimated_prior(&self, predictions: &Predictions, reasons: &mut Reasons) -> EstimatedPrior {
        let place = "bayes.estimated_prior";
        let images = predictions.logits.nrows();
        let mut predicted = vec![0_usize; predictions.logits.ncols()];
        outcomes::predicted(&predictions.logits).for_each(|class| predicted[usize::from(class)] += 1);
        let predicted_share: Vec<f64> = predicted.iter().map(|&count| count as f64 / images as f64).collect();
        let probabilities = outcomes::softmax(&predictions.logits, self.calibrating(self.inputs.model_temperature()));
        let training = self.training_prior();
        let usable = training.as_ref().ok().filter(|training| !training.contains(&0.0));
        if let Err(reason) = training {
            reasons.explain::<()>(None, format!("{place}.training_prior"), reason);
        }
        let maximised = usable.map(|training| shift::expectation_maximisation(&probabilities, training));
        let reason = training.as_ref().err().copied().unwrap_or("a class has no training image");
        reasons.explain(maximised.as_ref(), format!("{place}.expectation_maximisation"), reason);
        let shifted = shift::black_box(&self.validation.outcomes.confusion(), &predicted_share);
        let reason = "the confusion matrix of the validation split is singular, or leaves no class";
        reasons.explain(shifted.as_ref(), format!("{place}.black_box_shift_estimation"), reason);
        EstimatedPrior {
            images: images as u64,
            training_prior: training.ok(),
            predicted_share,
            expectation_maximisation: maximised,
            black_box_shift_estimation: shifted,
        }
    }

    /// With the probabilities that are nearest to the truth.
    fn calibrated(&self, outcomes: &Outcomes) -> Outcomes {
        outcomes.at_temperature(self.calibrating(outcomes.temperature))
    }

    /// The fitted temperature, where there is one.
    fn calibrating(&self, otherwise: f64) -> f64 {
        self.temperature.map_or(otherwise, |fitted| fitted.temperature)
    }

    /// How frequent the classes were in training.
    fn training_prior(&self) -> Result<Vec<f64>, &'static str> {
        if !self.inputs.trained_on_this_data() {
            return Err("the run was trained on another data set, whose class frequencies are not known here");
        }
        let split = self.inputs.dataset.split(SplitName::Train);
        Ok(split.images_by_class.iter().map(|&images| images as f64 / split.images as f64).collect())
    }
}
