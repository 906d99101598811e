//! What came of a sweep: each variant over its seeds, and beside the first one.

use std::collections::BTreeMap;

use artifacts::TrainingRecord;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::statistics::Statistics as _;
use terminal::{Align, Console, Table};

/// What came of a variant: a line on stdout.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    variant: &'a str,
    /// Without those whose trainings diverged.
    seeds: Vec<u64>,
    /// One a seed, in their order.
    valid_accuracies: Vec<f64>,
    valid_accuracy: Spread,
    valid_loss: Spread,
    /// None of the first one itself, nor where the two have no seed in common.
    valid_accuracy_difference: Option<Difference<'a>>,
}

/// By how much the accuracy of a variant exceeds that of the first one that was trained, paired by seed: what a seed decides
/// for both of them cancels out.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    to: &'a str,
    seeds: usize,
    #[serde(flatten)]
    spread: Spread,
}

/// A figure over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    mean: f64,
    /// The sample's; none where there is one seed.
    standard_deviation: Option<f64>,
    /// The 95 % interval of the mean by Student's t.
    interval_95: Option<[f64; 2]>,
}

impl<'a> Outcome<'a> {
    /// Of the records, one a seed: at least one. `first` is what came of the first variant, where this is another.
    pub fn of(variant: &'a str, seeds: Vec<u64>, records: &[TrainingRecord], first: Option<&Self>) -> Self {
        let valid_accuracies: Vec<f64> = records.iter().map(|record| record.valid_accuracy).collect();
        let valid_losses: Vec<f64> = records.iter().map(|record| record.valid_loss).collect();
        Self {
            variant,
            valid_accuracy: Spread::of(&valid_accuracies),
            valid_loss: Spread::of(&valid_losses),
            valid_accuracy_difference: first.and_then(|first| Difference::between(first, &seeds, &valid_accuracies)),
            seeds,
            valid_accuracies,
        }
    }
}

impl<'a> Difference<'a> {
    fn between(first: &Outcome<'a>, seeds: &[u64], accuracies: &[f64]) -> Option<Self> {
        let of_first: BTreeMap<u64, f64> =
            first.seeds.iter().copied().zip(first.valid_accuracies.iter().copied()).collect();
        let pairs = seeds.iter().zip(accuracies);
        let differences: Vec<f64> = pairs.filter_map(|(seed, accuracy)| Some(accuracy - of_first.get(seed)?)).collect();
        let to = first.variant;
        (!differences.is_empty()).then(|| Self { to, seeds: differences.len(), spread: Spread::of(&differences) })
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mean = values.mean();
        if values.len() < 2 {
            return Self { mean, standard_deviation: None, interval_95: None };
        }
        let (count, deviation) = (values.len() as f64, values.std_dev());
        let t = StudentsT::new(0.0, 1.0, count - 1.0).expect("a degree of freedom").inverse_cdf(0.975);
        let reach = t * deviation / count.sqrt();
        Self { mean, standard_deviation: Some(deviation), interval_95: Some([mean - reach, mean + reach]) }
    }

    fn cells(&self, scale: f64, digits: usize) -> [String; 3] {
        let number = |value: f64| format!("{:.digits$}", value * scale);
        [
            number(self.mean),
            self.standard_deviation.map_or_else(|| "–".to_owned(), number),
            self.interval_95
                .map_or_else(|| "–".to_owned(), |[low, high]| format!("{} to {}", number(low), number(high))),
        ]
    }
}

/// As a table, and each as a line for programs.
pub(super) fn show(outcomes: &[Outcome<'_>], console: &Console) {
    let mut columns = vec![
        ("variant", Align::Left),
        ("seeds", Align::Right),
        ("valid accuracy, %", Align::Right),
        ("deviation", Align::Right),
        ("95 % interval", Align::Right),
        ("valid loss", Align::Right),
        ("deviation", Align::Right),
        ("95 % interval", Align::Right),
    ];
    let to = match outcomes {
        [first, _, ..] => Some(format!("accuracy less that of {}, points", first.variant)),
        _ => None,
    };
    if let Some(to) = &to {
        columns.extend([(to.as_str(), Align::Right), ("95 % interval", Align::Right)]);
    }
    let mut table = Table::new(&columns);
    for outcome in outcomes {
        let figures = outcome.valid_accuracy.cells(100.0, 2).into_iter().chain(outcome.valid_loss.cells(1.0, 4));
        let difference = outcome.valid_accuracy_difference.as_ref().map(|difference| difference.spread.cells(100.0, 2));
        let [difference, _, interval] = difference.unwrap_or_else(|| ["–"; 3].map(str::to_owned));
        let variant = [outcome.variant.to_owned(), outcome.seeds.len().to_string()];
        let beside_the_first = to.iter().flat_map(|_| [difference.clone(), interval.clone()]);
        table.row(variant.into_iter().chain(figures).chain(beside_the_first));
    }
    console.table(&table);
    for outcome in outcomes {
        console.data(serde_json::to_string(outcome).expect("plain data serialises"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.interval(0.95, 4, loc=mean, scale=scipy.stats.sem(values))` and `numpy.std(values, ddof=1)`.
    #[test]
    fn the_spread_over_seeds_is_scipy_s() {
        let spread = Spread::of(&[0.91, 0.92, 0.9, 0.93, 0.915]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        close(spread.mean, 0.915);
        close(spread.standard_deviation.unwrap(), 0.011_180_339_887_498_958);
        close(spread.interval_95.unwrap()[0], 0.901_117_774_474_011_1);
        close(spread.interval_95.unwrap()[1], 0.928_882_225_525_989);
        assert_eq!(Spread::of(&[0.5]), Spread { mean: 0.5, standard_deviation: None, interval_95: None });
    }

    /// `scipy.stats.ttest_rel([0.912, 0.934, 0.921], [0.9, 0.93, 0.91]).confidence_interval()`.
    #[test]
    fn variants_are_compared_by_their_common_seeds_as_scipy_s_paired_test_does() {
        let outcome = |variant, seeds: &[u64], accuracies: &[f64]| Outcome {
            variant,
            seeds: seeds.to_vec(),
            valid_accuracies: accuracies.to_vec(),
            valid_accuracy: Spread::of(accuracies),
            valid_loss: Spread::of(accuracies),
            valid_accuracy_difference: None,
        };
        let first = outcome("plain", &[1, 2, 3, 4], &[0.9, 0.93, 0.91, 0.5]);
        let found = Difference::between(&first, &[4, 9], &[0.25, 0.9]).unwrap();
        assert_eq!((found.seeds, found.spread), (1, Spread::of(&[-0.25])));
        assert_eq!(found.spread.interval_95, None);
        assert!(Difference::between(&first, &[9], &[0.9]).is_none());
        let Difference { to, seeds, spread } =
            Difference::between(&first, &[0, 1, 2, 3], &[0.1, 0.912, 0.934, 0.921]).unwrap();
        assert_eq!((to, seeds), ("plain", 3));
        let [low, high] = spread.interval_95.unwrap();
        for (found, expected) in [(spread.mean, 0.009), (low, -0.001_828_105_247_358), (high, 0.019_828_105_247_358)] {
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
    }
}
