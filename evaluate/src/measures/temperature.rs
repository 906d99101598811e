//! The temperature that makes probabilities believable, by the labels of images that had no part in the fit.

use ndarray::ArrayView1;

use crate::measures::outcomes::Outcomes;
use crate::measures::quality::mean;
use crate::report::FittedTemperature;

/// 1/T is sought from 2⁻⁴⁰ to 2⁴⁰.
const WIDEST: i32 = 40;

/// The temperature with the lowest mean negative log likelihood of `validation`.
///
/// The likelihood is convex in β = 1/T; its slope, the mean of `E(logit) − logit of the label` over the images, rises with
/// β (Guo 2017, section 4.2), and the best temperature is where it is 0.
///
/// # Errors
/// Says why no temperature is the best.
pub fn fit(validation: &Outcomes) -> Result<FittedTemperature, &'static str> {
    if validation.is_empty() {
        return Err("the validation split has no image");
    }
    let beta = root(|beta| slope(validation, beta)).ok_or_else(|| {
        // Where the logits are nearly multiplied by 0: at 1, those of a model that is very sure may leave nothing of the slope.
        if slope(validation, 2.0_f64.powi(-WIDEST)) < 0.0 {
            "every validation image is classified rightly, and ever lower temperatures are ever better"
        } else {
            "the logits tell no more of the validation labels than guessing, and ever higher temperatures are ever better"
        }
    })?;
    let fitted = validation.at_temperature(1.0 / beta);
    Ok(FittedTemperature {
        temperature: fitted.temperature,
        images: validation.len() as u64,
        negative_log_likelihood_before: mean_likelihood(validation),
        negative_log_likelihood_after: mean_likelihood(&fitted),
    })
}

fn mean_likelihood(outcomes: &Outcomes) -> f64 {
    mean((0..outcomes.len()).map(|row| outcomes.negative_log_likelihood(row))).unwrap_or_default()
}

/// The derivative of the summed negative log likelihood by β.
fn slope(outcomes: &Outcomes, beta: f64) -> f64 {
    let rows = outcomes.logits.rows().into_iter().zip(&outcomes.labels);
    rows.map(|(logits, &label)| expected_logit(logits, beta) - f64::from(logits[usize::from(label)])).sum()
}

/// `Σ p(class) · logit(class)` with `p = softmax(β · logits)`.
fn expected_logit(logits: ArrayView1<'_, f32>, beta: f64) -> f64 {
    let largest = logits.fold(f64::NEG_INFINITY, |most, &logit| most.max(f64::from(logit)));
    let (mut sum, mut weighted) = (0.0, 0.0);
    for &logit in logits {
        let weight = (beta * (f64::from(logit) - largest)).exp();
        sum += weight;
        weighted += weight * f64::from(logit);
    }
    weighted / sum
}

/// Where a rising function changes from below 0 to above it, to the last bit, by bisection.
fn root(function: impl Fn(f64) -> f64) -> Option<f64> {
    let [mut low, mut high] = [-WIDEST, WIDEST].map(|exponent| 2.0_f64.powi(exponent));
    if function(low) >= 0.0 || function(high) <= 0.0 {
        return None;
    }
    loop {
        // By ratio as long as they are far apart.
        let middle = if high > 2.0 * low { (low * high).sqrt() } else { low + (high - low) / 2.0 };
        if middle <= low || middle >= high {
            return Some(low);
        }
        if function(middle) < 0.0 { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    /// Three images of the first class, one of the second, all with logits (2, 0): the likelihood is highest where
    /// p = 3/4, so 2 / T = ln 3.
    #[test]
    fn the_temperature_gives_the_share_that_was_seen() {
        let logits = Array2::from_shape_fn((4, 2), |(_, class)| if class == 0 { 2.0 } else { 0.0 });
        let fitted = fit(&Outcomes::new(vec![0, 0, 1, 0], logits, 1.0)).unwrap();
        assert!((fitted.temperature - 2.0 / 3.0_f64.ln()).abs() < 1e-14, "{}", fitted.temperature);
        assert_eq!(fitted.images, 4);
        // -(3 ln(3/4) + ln(1/4)) / 4
        assert!((fitted.negative_log_likelihood_after - 0.562_335_144_618_808_6).abs() < 1e-14);
        assert!(fitted.negative_log_likelihood_before > fitted.negative_log_likelihood_after);
    }

    #[test]
    fn where_there_is_no_best_one_the_reason_is_told() {
        for sureness in [1.0, 100.0] {
            let all_right = Outcomes::new(vec![0, 1], array![[sureness, 0.0], [0.0, sureness]], 1.0);
            assert!(fit(&all_right).unwrap_err().starts_with("every validation image is classified rightly"));
        }
        let all_wrong = Outcomes::new(vec![1, 0], array![[1.0, 0.0], [0.0, 1.0]], 1.0);
        assert!(fit(&all_wrong).unwrap_err().contains("than guessing"));
        assert!(fit(&Outcomes::new(vec![], Array2::zeros((0, 2)), 1.0)).unwrap_err().contains("no image"));
    }
}
