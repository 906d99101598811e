//! The report out of what the model said.

mod bayes;
mod comparison;
mod failures;
mod learned;
mod making;

use std::collections::BTreeMap;

use artifacts::{RunDirectory, SplitName};
use ndarray::Array3;

use self::bayes::ByBayes;
use self::comparison::comparison;
use self::failures::failures;
use self::learned::learned;
use self::making::making;
use crate::ANOTHER_DATA_SET;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::measures::calibration::{accuracy_by_coverage, binning, reliability};
use crate::measures::groups::{FEWEST, Groups};
use crate::measures::quality::{images, quality};
use crate::measures::roc::roc;
use crate::measures::undefined::Reasons;
use crate::measures::{by_class, temperature};
use crate::parity::Parity;
use crate::predict::Predictions;
use crate::report::{ByClass, Calibration, FittedTemperature, Overall, Quality, Report};

pub(crate) use self::making::training_timings;

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
    let by_class = by_class(judged, validation, &model.classes, &mut reasons);
    let fitted = temperature::fit(&validation.outcomes);
    let bayes = ByBayes { inputs, judged, validation, by_class: &by_class, temperature: fitted.as_ref().ok() }
        .section(unlabelled, &mut reasons);
    let calibration = calibration(inputs, judged, fitted, &mut reasons);
    let failures = failures(inputs, judged, validation, &mut reasons)?;
    let (learned, saliency) = learned(inputs, judged, &mut reasons)?;
    let comparison = inputs.other.as_ref().map(|other| comparison(other, judged, &model.classes, &mut reasons));
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
        comparison,
        model,
        undefined: reasons.into_list(),
        files: BTreeMap::new(),
    };
    Ok((report, saliency))
}

fn by_class(judged: &Judged, validation: &Judged, names: &[String], reasons: &mut Reasons) -> ByClass {
    let confusion_matrix = judged.outcomes.confusion();
    let classes = by_class::classes(&confusion_matrix, names, reasons);
    let chosen_on = (judged.split != SplitName::Valid).then_some(&validation.outcomes);
    ByClass {
        macro_average: by_class::macro_average(&classes),
        weighted_average: by_class::weighted_average(&classes, reasons),
        classes,
        confusion_matrix,
        roc: roc(&judged.outcomes, &judged.groups, chosen_on, names, reasons),
    }
}

fn overall(inputs: &Inputs<'_>, judged: &Judged, reasons: &mut Reasons) -> Result<Overall, Error> {
    let classes = judged.outcomes.classes();
    let (mut images, mut fonts) = (images(&judged.outcomes), judged.fonts.clone());
    let without_duplicates = quality(&images, classes, &judged.groups);
    explain(&without_duplicates, "overall.without_duplicates", reasons);
    let as_it_came = if judged.split == SplitName::Test {
        for (row, font) in judged.duplicates(inputs)? {
            images.push(images[row]);
            fonts.push(font);
        }
        Some(quality(&images, classes, &Groups::of(&fonts)))
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
    let (kappa, no_kappa) = (quality.cohen_kappa, "all labels and all predictions are of one class");
    reasons.explain(kappa.as_ref(), format!("{place}.cohen_kappa"), no_kappa);
    let intervals = &quality.intervals;
    let unit = intervals.unit.name();
    let mut explain = |figure: &str, interval: Option<[f64; 2]>, reason: &str| {
        reasons.explain(interval.as_ref(), format!("{place}.intervals.{figure}_95"), reason);
    };
    let single = format!("a single {unit} tells nothing of others");
    explain("accuracy", intervals.accuracy_95, &single);
    explain("top_2_accuracy", intervals.top_2_accuracy_95, &single);
    let reason = if intervals.resamples == 0 {
        format!("with fewer than {FEWEST} {unit}s, the intervals of a bootstrap are much too narrow")
    } else {
        format!("whichever {unit}s are drawn, it is the same")
    };
    explain("balanced_accuracy", intervals.balanced_accuracy_95, &reason);
    explain("macro_f1", intervals.macro_f1_95, &reason);
    explain("cohen_kappa", intervals.cohen_kappa_95, if kappa.is_none() { no_kappa } else { &reason });
    explain("negative_log_likelihood", intervals.negative_log_likelihood_95, &reason);
    explain("brier_score", intervals.brier_score_95, &reason);
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
