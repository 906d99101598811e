//! The report out of what the model said.

use std::collections::BTreeMap;

use artifacts::SplitName;

use crate::ANOTHER_DATA_SET;
use crate::error::Error;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::making::making;
use crate::measures::by_class::by_class;
use crate::measures::confusion::ConfusionMatrix;
use crate::measures::quality::{images, quality};
use crate::measures::undefined::Reasons;
use crate::parity::Parity;
use crate::report::{Overall, Quality, Report};

/// Everything but the digests of the files beside it, which are not written yet.
pub(crate) fn report(
    inputs: &Inputs<'_>,
    judged: &Judged,
    validation: &Judged,
    parity: Option<Parity>,
) -> Result<Report, Error> {
    let mut reasons = Reasons::default();
    reasons.explain(parity.as_ref(), "parity", ANOTHER_DATA_SET);
    let model = inputs.model.metadata.model.clone();
    let outcomes = &judged.outcomes;
    let pairs = outcomes.labels.iter().copied().zip(outcomes.predicted.iter().copied());
    let confusion_matrix = ConfusionMatrix::count(model.classes.len(), pairs);
    let _ = validation;
    let provenance = match parity {
        Some(_) => inputs.provenance().with_input("reference-logits.npy", inputs.training.reference_logits),
        None => inputs.provenance(),
    };
    Ok(Report {
        provenance,
        dataset: inputs.dataset.name.clone(),
        split: judged.split,
        images: outcomes.len() as u64,
        provider: inputs.model.provider.to_owned(),
        parity,
        overall: overall(inputs, judged, &mut reasons)?,
        by_class: by_class(confusion_matrix, &model.classes, &mut reasons),
        bayes: None,
        calibration: None,
        failures: None,
        learned: None,
        making: making(inputs),
        comparison: None,
        model,
        undefined: reasons.into_list(),
        files: BTreeMap::new(),
    })
}

fn overall(inputs: &Inputs<'_>, judged: &Judged, reasons: &mut Reasons) -> Result<Overall, Error> {
    let (outcomes, temperature) = (&judged.outcomes, inputs.model_temperature());
    let fonts = judged.font_groups();
    let quality_of = |times: &dyn Fn(usize) -> u64| {
        quality(&images(outcomes, temperature, times), outcomes.classes(), fonts.as_ref())
    };
    let without_duplicates = quality_of(&|_| 1);
    explain(&without_duplicates, "overall.without_duplicates", reasons);
    let as_it_came = if judged.split == SplitName::Test {
        let times = judged.times_as_it_came(inputs)?;
        Some(quality_of(&|row| times[row]))
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
}
