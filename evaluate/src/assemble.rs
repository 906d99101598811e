//! The report out of what the model said.

use std::collections::BTreeMap;

use artifacts::{RunDirectory, SplitName};
use ndarray::Array3;

use crate::ANOTHER_DATA_SET;
use crate::error::Error;
use crate::failures::failures;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::learned::learned;
use crate::making::making;
use crate::measures::by_class::by_class;
use crate::measures::calibration::{accuracy_by_coverage, binning, reliability};
use crate::measures::confusion::ConfusionMatrix;
use crate::measures::fonts::{FEWEST_FONTS, Fonts};
use crate::measures::outcomes::{self, Outcomes};
use crate::measures::quality::{images, quality};
use crate::measures::undefined::Reasons;
use crate::measures::{bayes, prior, shift, temperature};
use crate::parity::Parity;
use crate::predict::Predictions;
use crate::priors::Prior;
use crate::report::{
    Bayes, ByClass, Calibration, EstimatedPrior, Expectation, FittedTemperature, OtherPrior, Overall, Quality, Report,
};

/// Everything but the digests of the files beside it, which are not written yet, and the saliency maps `[C, H, W]`.
pub(crate) fn report(
    inputs: &Inputs<'_>,
    judged: &Judged,
    validation: &Judged,
    unlabelled: Option<&Predictions>,
    parity: Option<Parity>,
) -> Result<(Report, Array3<f32>), Error> {
    let mut reasons = Reasons::default();
    reasons.explain(parity.as_ref(), "parity", ANOTHER_DATA_SET);
    let provenance = match parity {
        Some(_) => inputs.provenance().with_input(RunDirectory::REFERENCE_LOGITS, inputs.training.reference_logits),
        None => inputs.provenance(),
    };
    let model = inputs.model.metadata.model.clone();
    let overall = overall(inputs, judged, &mut reasons)?;
    let by_class = by_class(confusion(&judged.outcomes), &model.classes, &mut reasons);
    let fitted = temperature::fit(&validation.outcomes);
    let bayes = ByBayes { inputs, judged, validation, by_class: &by_class, temperature: fitted.as_ref().ok() };
    let bayes = bayes.section(unlabelled, &mut reasons);
    let calibration = calibration(inputs, judged, fitted, &mut reasons);
    let failures = failures(inputs, judged, validation, &mut reasons)?;
    let (learned, saliency) = learned(inputs, judged, &mut reasons)?;
    let report = Report {
        provenance,
        dataset: inputs.dataset.name.clone(),
        split: judged.split,
        images: judged.outcomes.len() as u64,
        provider: inputs.model.provider.to_owned(),
        parity,
        overall,
        by_class,
        bayes,
        calibration,
        failures,
        learned,
        making: making(inputs),
        comparison: inputs.other.as_ref().map(|other| other.compare(judged, &model.classes)),
        model,
        undefined: reasons.into_list(),
        files: BTreeMap::new(),
    };
    Ok((report, saliency))
}

fn confusion(outcomes: &Outcomes) -> ConfusionMatrix {
    let pairs = outcomes.labels.iter().copied().zip(outcomes.predicted.iter().copied());
    ConfusionMatrix::count(outcomes.classes(), pairs)
}

fn overall(inputs: &Inputs<'_>, judged: &Judged, reasons: &mut Reasons) -> Result<Overall, Error> {
    let classes = judged.outcomes.classes();
    let (mut images, mut fonts) = (images(&judged.outcomes), judged.fonts.clone());
    let without_duplicates = quality(&images, classes, Fonts::of(&fonts).as_ref());
    explain(&without_duplicates, "overall.without_duplicates", reasons);
    let as_it_came = if judged.split == SplitName::Test {
        for (row, font) in judged.duplicates(inputs)? {
            images.push(images[row]);
            fonts.push(font);
        }
        Some(quality(&images, classes, Fonts::of(&fonts).as_ref()))
    } else {
        None
    };
    match &as_it_came {
        Some(quality) => explain(quality, "overall.as_it_came", reasons),
        None => reasons.explain(as_it_came.as_ref(), "overall.as_it_came", "it is told of the test split alone"),
    }
    Ok(Overall { without_duplicates, as_it_came })
}

fn explain(quality: &Quality, place: &str, reasons: &mut Reasons) {
    let kappa = quality.cohen_kappa.as_ref();
    reasons.explain(kappa, format!("{place}.cohen_kappa"), "all labels and all predictions are of one class");
    reasons.explain(quality.by_font.as_ref(), format!("{place}.by_font"), "no file name tells a font");
    let Some(by_font) = &quality.by_font else { return };
    let intervals = [("accuracy", by_font.accuracy_95), ("top_2_accuracy", by_font.top_2_accuracy_95)];
    for (figure, interval) in intervals {
        reasons.explain(
            interval.as_ref(),
            format!("{place}.by_font.{figure}_95"),
            "a single font tells nothing of others",
        );
    }
    let reason = if by_font.resamples == 0 {
        format!("with fewer than {FEWEST_FONTS} fonts, the intervals of a bootstrap are much too narrow")
    } else {
        "whichever fonts are drawn, it is the same".to_owned()
    };
    for (figure, interval) in [
        ("balanced_accuracy", by_font.balanced_accuracy_95),
        ("macro_f1", by_font.macro_f1_95),
        ("cohen_kappa", by_font.cohen_kappa_95),
        ("negative_log_likelihood", by_font.negative_log_likelihood_95),
        ("brier_score", by_font.brier_score_95),
    ] {
        reasons.explain(interval.as_ref(), format!("{place}.by_font.{figure}_95"), &reason);
    }
}

/// What section 3 is computed from.
struct ByBayes<'a> {
    inputs: &'a Inputs<'a>,
    judged: &'a Judged,
    validation: &'a Judged,
    by_class: &'a ByClass,
    temperature: Option<&'a FittedTemperature>,
}

impl ByBayes<'_> {
    fn section(&self, unlabelled: Option<&Predictions>, reasons: &mut Reasons) -> Bayes {
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
        let reason = if expectation.accuracy.value.is_none() { unknown } else { "no image is taken for the class" };
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
        let shifted = shift::black_box(&confusion(&self.validation.outcomes), &predicted_share);
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

/// Section 4.
fn calibration(
    inputs: &Inputs<'_>,
    judged: &Judged,
    fitted: Result<FittedTemperature, &'static str>,
    reasons: &mut Reasons,
) -> Calibration {
    let before = reliability(&judged.outcomes);
    let temperature = fitted.ok();
    let after = temperature
        .filter(|_| judged.split != SplitName::Valid)
        .map(|fitted| reliability(&judged.outcomes.at_temperature(fitted.temperature)));
    let none = fitted.err().unwrap_or("the temperature was fitted on this very split");
    reasons.explain(temperature.as_ref(), "calibration.fitted", none);
    reasons.explain(after.as_ref(), "calibration.after", none);
    Calibration {
        model_temperature: inputs.model_temperature(),
        fitted: temperature,
        binning: binning(),
        before,
        after,
        accuracy_by_coverage: accuracy_by_coverage(&judged.outcomes),
    }
}
