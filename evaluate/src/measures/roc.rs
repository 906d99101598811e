//! What the probability of a class is worth where a threshold on it decides.

use crate::measures::intervals::Z_95;
use crate::measures::outcomes::Outcomes;
use crate::measures::quality::mean;
use crate::measures::undefined::Reasons;
use crate::report::{ClassRoc, Estimate, MacroRoc, Roc};

/// Where recall is told: at 1, 2 to 9 ten-thousandths, thousandths, hundredths, tenths, and 1.
#[must_use]
pub fn false_alarm_rates() -> Vec<f64> {
    let of_decade = |decade| (1..10).map(move |digit| f64::from(digit) / 10_f64.powi(decade));
    (1..=4).rev().flat_map(of_decade).chain([1.0]).collect()
}

/// The curve of every class.
#[must_use]
pub fn roc(outcomes: &Outcomes, names: &[String], reasons: &mut Reasons) -> Roc {
    let false_alarm_rates = false_alarm_rates();
    let classes: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(label, name)| {
            let is_of_class = outcomes.labels.iter().map(|&truth| usize::from(truth) == label);
            let ranking = Ranking::new(outcomes.probabilities.column(label).iter().copied().zip(is_of_class));
            explain(&ranking, name, reasons);
            ClassRoc {
                class: name.clone(),
                area: ranking.area(),
                average_precision: ranking.average_precision(),
                recall_by_false_alarm_rate: false_alarm_rates.iter().map(|&rate| ranking.recall_at(rate)).collect(),
            }
        })
        .collect();
    let macro_average = MacroRoc {
        area: mean(classes.iter().filter_map(|class| class.area.value)),
        average_precision: mean(classes.iter().filter_map(|class| class.average_precision)),
    };
    let reason = "all images of the split are of one class";
    reasons.explain(macro_average.area.as_ref(), "by_class.roc.macro_average", reason);
    Roc { false_alarm_rates, classes, macro_average }
}

fn explain(ranking: &Ranking, class: &str, reasons: &mut Reasons) {
    let Estimate { value, interval_95 } = ranking.area();
    let place = format!("by_class.roc.classes.{class}");
    match value {
        None => {
            let which = if ranking.of_class == 0 { "class" } else { "another class than" };
            reasons.explain(value.as_ref(), place, format!("the split has no image of {which} {class}"));
        }
        Some(_) if ranking.of_class < 2 || ranking.others < 2 => {
            let reason = "a single image leaves no variance";
            reasons.explain(interval_95.as_ref(), format!("{place}.area.interval_95"), reason);
        }
        Some(_) => {
            let reason = "all images of the class are ranked alike, and all others, which leaves no variance";
            reasons.explain(interval_95.as_ref(), format!("{place}.area.interval_95"), reason);
        }
    }
}

/// The images by falling probability of a class.
#[derive(Debug)]
struct Ranking {
    /// How many images are of the class.
    of_class: u64,
    /// How many are not.
    others: u64,
    /// Of each distinct probability, how many images have it: of the class, and of others.
    ties: Vec<[u64; 2]>,
}

impl Ranking {
    /// Of images with these probabilities, and whether each is of the class.
    fn new(images: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut images: Vec<_> = images.collect();
        images.sort_unstable_by(|(one, _), (other, _)| other.total_cmp(one));
        let count = |tied: &[(f64, bool)]| {
            let of_class = tied.iter().filter(|(_, is_of_class)| *is_of_class).count();
            [of_class, tied.len() - of_class].map(|count| count as u64)
        };
        let ties: Vec<_> = images.chunk_by(|(one, _), (other, _)| one == other).map(count).collect();
        let [of_class, others] = [0, 1].map(|which| ties.iter().map(|tied| tied[which]).sum());
        Self { of_class, others, ties }
    }

    fn has_both(&self) -> bool {
        self.of_class > 0 && self.others > 0
    }

    /// The hits and false alarms of each threshold, falling.
    fn alarms(&self) -> impl Iterator<Item = [u64; 2]> {
        self.ties.iter().scan([0, 0], |alarms, tied| {
            *alarms = [alarms[0] + tied[0], alarms[1] + tied[1]];
            Some(*alarms)
        })
    }

    fn area(&self) -> Estimate {
        if !self.has_both() {
            return Estimate { value: None, interval_95: None };
        }
        let [m, n] = [self.of_class, self.others].map(|count| count as f64);
        // An image's fault is the share of those on the other side that are ranked wrongly beside it.
        let (mut faults, mut squares) = (0.0, [0.0, 0.0]);
        for ([hits, false_alarms], [of_class, others]) in self
            .alarms()
            .zip(&self.ties)
            .map(|(alarms, &tied)| (alarms.map(|count| count as f64), tied.map(|count| count as f64)))
        {
            let of_this = (false_alarms - others / 2.0) / n;
            let of_other = (m - hits + of_class / 2.0) / m;
            faults += of_class * of_this;
            squares[0] += of_class * of_this * of_this;
            squares[1] += others * of_other * of_other;
        }
        let fault = faults / m;
        let variance = |squares: f64, count: f64| (squares - count * fault * fault) / (count - 1.0) / count;
        let some = self.of_class > 1 && self.others > 1;
        let variance = some.then(|| variance(squares[0], m) + variance(squares[1], n));
        let area = 1.0 - fault;
        // Below this it is what rounding has left of 0.
        let interval_95 = variance.filter(|&variance| variance > 1e-18).map(|variance| {
            let (log_odds, deviation) = ((area / fault).ln(), variance.sqrt() / (area * fault));
            [-Z_95, Z_95].map(|z| 1.0 / (1.0 + (-(log_odds + z * deviation)).exp()))
        });
        Estimate { value: Some(area), interval_95 }
    }

    fn average_precision(&self) -> Option<f64> {
        let terms = self.alarms().zip(&self.ties).map(|([hits, false_alarms], &[of_class, _])| {
            of_class as f64 / self.of_class as f64 * (hits as f64 / (hits + false_alarms) as f64)
        });
        self.has_both().then(|| terms.sum())
    }

    /// The highest recall with at most so many false alarms.
    fn recall_at(&self, false_alarm_rate: f64) -> Option<f64> {
        let within = |&[_, false_alarms]: &[u64; 2]| false_alarms as f64 / self.others as f64 <= false_alarm_rate;
        self.has_both().then(|| {
            let hits = self.alarms().take_while(within).last().map_or(0, |[hits, _]| hits);
            hits as f64 / self.of_class as f64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 10] = [0.9, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3, 0.1];
    const OF_CLASS: [bool; 10] = [true, true, false, true, true, false, false, true, false, false];

    fn ranking(scores: &[f64], of_class: &[bool]) -> Ranking {
        Ranking::new(scores.iter().copied().zip(of_class.iter().copied()))
    }

    /// ```python
    /// scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3, 0.1]
    /// truth = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0]
    /// roc_auc_score(truth, scores), average_precision_score(truth, scores)   # 0.76 0.7416666666666667
    /// ```
    #[test]
    fn areas_are_scikit_learn_s_with_ties_counted_half() {
        let found = ranking(&SCORES, &OF_CLASS);
        assert!((found.area().value.unwrap() - 0.76).abs() < 1e-15);
        assert!((found.average_precision().unwrap() - 0.741_666_666_666_666_7).abs() < 1e-15);
        assert_eq!([0.0, 0.2, 0.39, 0.4, 1.0].map(|rate| found.recall_at(rate).unwrap()), [0.2, 0.6, 0.6, 0.8, 1.0]);
    }

    #[test]
    fn the_worst_ranking_is_the_best_one_upside_down() {
        let upside_down: Vec<bool> = OF_CLASS.iter().map(|is| !is).collect();
        let (one, other) = (ranking(&SCORES, &OF_CLASS).area(), ranking(&SCORES, &upside_down).area());
        assert!((one.value.unwrap() + other.value.unwrap() - 1.0).abs() < 1e-15);
        let [[low, high], [other_low, other_high]] = [one, other].map(|area| area.interval_95.unwrap());
        assert!((low + other_high - 1.0).abs() < 1e-15 && (high + other_low - 1.0).abs() < 1e-15);
        assert!(0.0 < low && low < 0.76 && 0.76 < high && high < 1.0);
    }

    #[test]
    fn what_cannot_be_ranked_has_no_area_and_what_is_ranked_alike_no_interval() {
        for of_class in [[true; 10], [false; 10]] {
            let none = ranking(&SCORES, &of_class);
            assert_eq!((none.area().value, none.average_precision(), none.recall_at(1.0)), (None, None, None));
        }
        let first_four = [true, true, true, true, false, false, false, false, false, false];
        let (perfect, alike) = (ranking(&SCORES, &first_four).area(), ranking(&[0.5; 10], &first_four).area());
        assert_eq!(perfect, Estimate { value: Some(1.0), interval_95: None });
        assert_eq!(alike, Estimate { value: Some(0.5), interval_95: None });
        assert_eq!(ranking(&[0.9, 0.5, 0.4], &[true, false, false]).area().interval_95, None);
    }

    #[test]
    fn false_alarm_rates_rise_from_a_ten_thousandth_to_one() {
        let rates = false_alarm_rates();
        assert!(rates.is_sorted_by(|one, other| one < other));
        assert_eq!((rates.len(), rates[0], rates[9], rates[36]), (37, 0.0001, 0.001, 1.0));
        assert!([0.01, 0.03, 0.1].iter().all(|rate| rates.contains(rate)));
    }
}
