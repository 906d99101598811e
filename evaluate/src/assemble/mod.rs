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
use crate::measures::confusion::ConfusionMatrix;
use crate::measures::fonts::{FEWEST_FONTS, Fonts};
use crate::measures::outcomes::Outcomes;
use crate::measures::quality::{images, quality};
use crate::measures::roc::roc;
use crate::measures::undefined::Reasons;
use crate::measures::{by_class, temperature};
use crate::parity::Parity;
use crate::predict::Predictions;
use crate::report::{ByClass, Calibration, FittedTemperature, Overall, Quality, Report};

pub(crate) use self::learned::test_time_shift;
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
    let by_class = by_class(&judged.outcomes, &model.classes, &mut reasons);
    let fitted = temperature::fit(&validation.outcomes);
    let bayes = ByBayes { inputs, judged, validation, by_class: &by_class, temperature: fitted.as_ref().ok() }
        .section(unlabelled, &mut reasons);
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
        comparison: inputs.other.as_ref().map(|other| comparison(other, judged, &model.classes)),
        model,
        undefined: reasons.into_list(),
        files: BTreeMap::new(),
    };
    Ok((report, saliency))
}

fn by_class(outcomes: &Outcomes, names: &[String], reasons: &mut Reasons) -> ByClass {
    let confusion_matrix = confusion(outcomes);
    let classes = by_class::classes(&confusion_matrix, names, reasons);
    let weighted_average = by_class::weighted_average(&classes);
    let of_others =
        [("specificity", weighted_average.specificity), ("false_alarm_rate", weighted_average.false_alarm_rate)];
    for (name, value) in of_others {
        let place = format!("by_class.weighted_average.{name}");
        reasons.explain(value.as_ref(), place, "all images of the split are of one class");
    }
    ByClass {
        macro_average: by_class::macro_average(&classes),
        weighted_average,
        classes,
        confusion_matrix,
        roc: roc(outcomes, names, reasons),
    }
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
