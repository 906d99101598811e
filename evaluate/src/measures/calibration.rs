//! Whether the model is as often right as it is sure.

use rand_pcg::rand_core::Rng;

use crate::measures::groups::generator;
use crate::measures::intervals::quantile;
use crate::measures::outcomes::Outcomes;
use crate::report::{Binning, Coverage, IfCalibrated, Proportion, Reliability, ReliabilityBin};

/// How many bins, as Guo 2017 has.
const BINS: usize = 15;

/// How often images are drawn as a calibrated model would have them.
const DRAWS: u32 = 1000;

/// How confidences are put into bins.
#[must_use]
pub fn binning() -> Binning {
    Binning {
        bins: BINS as u32,
        equal_width: format!("{BINS} bins of equal width from 0 to 1; each includes its upper end"),
        equal_size: format!(
            "{BINS} bins of equal size in the order of confidence; the first ones have one image more where it does not divide"
        ),
    }
}

/// The confidences of at least one image against what came of them.
#[must_use]
pub fn reliability(outcomes: &Outcomes) -> Reliability {
    let rows = outcomes.by_confidence();
    let average = |value: &dyn Fn(usize) -> f64| rows.iter().map(|&row| value(row)).sum::<f64>() / rows.len() as f64;
    let equal_width = bins_of_equal_width(outcomes, &rows);
    let equal_size = bins_of_equal_size(outcomes, &rows);
    Reliability {
        negative_log_likelihood: average(&|row| outcomes.negative_log_likelihood(row)),
        brier_score: average(&|row| outcomes.brier_score(row)),
        mean_confidence: average(&|row| outcomes.confidence(row)),
        expected_calibration_error: calibration_error(&equal_width, rows.len()),
        calibration_error_if_calibrated: if_calibrated(outcomes, &rows, &equal_width),
        equal_size_calibration_error: calibration_error(&equal_size, rows.len()),
        equal_width,
        equal_size,
    }
}

fn bins_of_equal_width(outcomes: &Outcomes, rising: &[usize]) -> Vec<ReliabilityBin> {
    let end = |bin: usize| bin as f64 / BINS as f64;
    let place = |upper: f64| rising.partition_point(|&row| outcomes.confidence(row) <= upper);
    (0..BINS)
        .map(|bin| {
            let (low, high) = (end(bin), end(bin + 1));
            // The largest probability of a softmax is 1 by a sum of at least 1: above 0, and not above 1.
            let [from, to] = [low, high].map(place);
            bin_of(outcomes, &rising[from..to], low, high)
        })
        .collect()
}

fn bins_of_equal_size(outcomes: &Outcomes, rising: &[usize]) -> Vec<ReliabilityBin> {
    let bins = BINS.min(rising.len());
    let (size, larger) = (rising.len() / bins, rising.len() % bins);
    let start = |bin: usize| bin * size + bin.min(larger);
    (0..bins)
        .map(|bin| {
            let rows = &rising[start(bin)..start(bin + 1)];
            let [low, high] = [rows[0], rows[rows.len() - 1]].map(|row| outcomes.confidence(row));
            bin_of(outcomes, rows, low, high)
        })
        .collect()
}

fn bin_of(outcomes: &Outcomes, rows: &[usize], low: f64, high: f64) -> ReliabilityBin {
    let sum: f64 = rows.iter().map(|&row| outcomes.confidence(row)).sum();
    ReliabilityBin {
        low,
        high,
        mean_confidence: (!rows.is_empty()).then(|| sum / rows.len() as f64),
        accuracy: share_right(outcomes, rows),
    }
}

fn share_right(outcomes: &Outcomes, rows: &[usize]) -> Proportion {
    Proportion::of(rows.iter().filter(|&&row| outcomes.is_right(row)).count() as u64, rows.len() as u64)
}

/// `Σ (images in bin / images) · |accuracy − mean confidence|`.
fn calibration_error(bins: &[ReliabilityBin], images: usize) -> f64 {
    let gap = |bin: &ReliabilityBin| {
        let gap = (bin.accuracy.value? - bin.mean_confidence?).abs();
        Some(gap * bin.accuracy.total as f64 / images as f64)
    };
    bins.iter().filter_map(gap).sum()
}

/// The calibration error of images that are right with the probability that is their confidence. `rising` are the rows by
/// confidence, of which the bins have the first, the next, and so on.
fn if_calibrated(outcomes: &Outcomes, rising: &[usize], bins: &[ReliabilityBin]) -> IfCalibrated {
    let mut generator = generator();
    let confidences: Vec<f64> = rising.iter().map(|&row| outcomes.confidence(row)).collect();
    let mut errors: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut confidences = confidences.as_slice();
            let mut error = 0.0;
            for bin in bins {
                let (of_bin, rest) = confidences.split_at(bin.accuracy.total as usize);
                confidences = rest;
                let right = of_bin.iter().filter(|&&confidence| uniform(&mut generator) < confidence).count();
                error += (right as f64 - of_bin.iter().sum::<f64>()).abs() / rising.len() as f64;
            }
            error
        })
        .collect();
    errors.sort_unstable_by(f64::total_cmp);
    IfCalibrated { mean: errors.iter().sum::<f64>() / errors.len() as f64, highest: quantile(&errors, 0.975) }
}

/// A number from 0 to 1, without 1: the upper 53 of 64 random bits.
fn uniform(generator: &mut impl Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Accuracy where the least sure are refused: for each hundredth of at least one image, from all to one hundredth. Images
/// of equal confidence are kept or refused together, so there may be fewer steps.
#[must_use]
pub fn accuracy_by_coverage(outcomes: &Outcomes) -> Vec<Coverage> {
    let mut rows = outcomes.by_confidence();
    rows.reverse();
    let mut steps: Vec<Coverage> = Vec::new();
    for hundredths in (1..=100).rev() {
        let threshold = outcomes.confidence(rows[(rows.len() * hundredths).div_ceil(100) - 1]);
        let kept = rows.partition_point(|&row| outcomes.confidence(row) >= threshold);
        if steps.last().is_none_or(|last| last.accuracy.total != kept as u64) {
            let accuracy = share_right(outcomes, &rows[..kept]);
            steps.push(Coverage { coverage: kept as f64 / rows.len() as f64, threshold, accuracy });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// Two classes; the confidence is `1 / (1 + e^-difference)`.
    fn outcomes(differences: &[f32], labels: &[u8]) -> Outcomes {
        let logits = Array2::from_shape_fn(
            (differences.len(), 2),
            |(row, class)| if class == 0 { differences[row] } else { 0.0 },
        );
        Outcomes::new(labels.to_vec(), logits, 1.0)
    }

    #[test]
    fn one_image_has_one_bin_of_equal_size_and_fourteen_empty_ones_of_equal_width() {
        let found = reliability(&outcomes(&[0.0], &[1]));
        // Confidence 1/2, wrong: both errors are 1/2.
        assert_eq!((found.expected_calibration_error, found.equal_size_calibration_error), (0.5, 0.5));
        assert_eq!((found.equal_size.len(), found.equal_width.len()), (1, BINS));
        let filled: Vec<_> = found.equal_width.iter().filter(|bin| bin.accuracy.total > 0).collect();
        assert_eq!((filled.len(), filled[0].low, filled[0].high), (1, 7.0 / 15.0, 8.0 / 15.0));
        assert!(found.equal_width.iter().all(|bin| bin.mean_confidence.is_some() == (bin.accuracy.total == 1)));
    }

    #[test]
    fn equally_sure_images_are_refused_together() {
        let steps = accuracy_by_coverage(&outcomes(&[1.0, 1.0, 3.0, 1.0], &[0, 1, 0, 1]));
        let found: Vec<_> =
            steps.iter().map(|step| (step.coverage, step.accuracy.count, step.accuracy.total)).collect();
        assert_eq!(found, [(1.0, 2, 4), (0.25, 1, 1)]);
    }
}
