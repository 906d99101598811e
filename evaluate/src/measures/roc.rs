//! What the probability of a class is worth where a threshold on it decides.

use crate::measures::groups::{FEWEST, Groups};
use crate::measures::intervals::{Z_95, wilson};
use crate::measures::outcomes::Outcomes;
use crate::measures::quality::mean;
use crate::measures::undefined::Reasons;
use crate::report::{ClassRoc, Estimate, MacroRoc, OperatingPoint, Proportion, Roc, RocCurve};

/// What operating points are to keep to.
const FALSE_ALARM_RATES: [f64; 3] = [0.001, 0.01, 0.1];

/// Corners that a curve has at most.
const MOST_CORNERS: usize = 500;

/// The curve of every class. `groups` are those of the images; the thresholds of the operating points are chosen on
/// `validation`, unless the images are those themselves.
#[must_use]
pub fn roc(
    outcomes: &Outcomes,
    groups: &Groups,
    validation: Option<&Outcomes>,
    names: &[String],
    reasons: &mut Reasons,
) -> Roc {
    let classes: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(label, name)| {
            let ranking = Ranking::of(outcomes, label);
            let chosen = validation.map(|validation| Ranking::of(validation, label));
            let threshold = |rate| chosen.as_ref().and_then(|chosen| chosen.threshold_at(rate));
            let area = ranking.area();
            let interval = area.map(|[area, fault]| ranking.interval(area, fault, groups));
            let class = ClassRoc {
                class: name.clone(),
                area: Estimate {
                    value: area.map(|[area, _]| area),
                    interval_95: interval.as_ref().and_then(|interval| interval.as_ref().ok()).copied(),
                },
                average_precision: ranking.average_precision(),
                curve: ranking.curve(),
                operating_points: FALSE_ALARM_RATES.map(|rate| Some(ranking.at(threshold(rate)?))).into(),
            };
            explain(&class, &ranking, interval, chosen.as_ref(), reasons);
            class
        })
        .collect();
    let macro_average = MacroRoc {
        area: mean(classes.iter().filter_map(|class| class.area.value)),
        average_precision: mean(classes.iter().filter_map(|class| class.average_precision)),
    };
    let reason = "all images of the split are of one class";
    reasons.explain(macro_average.area.as_ref(), "by_class.roc.macro_average", reason);
    Roc { false_alarm_rates: FALSE_ALARM_RATES.into(), classes, macro_average }
}

fn explain(
    found: &ClassRoc,
    ranking: &Ranking,
    interval: Option<Result<[f64; 2], String>>,
    chosen: Option<&Ranking>,
    reasons: &mut Reasons,
) {
    let class = &found.class;
    let place = format!("by_class.roc.classes.{class}");
    let Some(interval) = interval else {
        let which = if ranking.of_class == 0 { "class" } else { "another class than" };
        reasons.explain::<()>(None, place, format!("the split has no image of {which} {class}"));
        return;
    };
    if let Err(reason) = interval {
        reasons.explain::<()>(None, format!("{place}.area.interval_95"), reason);
    }
    for (index, (rate, point)) in FALSE_ALARM_RATES.into_iter().zip(&found.operating_points).enumerate() {
        let reason = match chosen {
            None => "the thresholds would be chosen on the images that are judged".to_owned(),
            Some(chosen) if chosen.others == 0 => {
                format!("no validation image of another class than {class} is there to choose a threshold on")
            }
            Some(chosen) => {
                let what = if chosen.most(rate) == 0 { "a single false alarm" } else { "the highest threshold" };
                let others = chosen.others;
                format!("{what} among the {others} validation images of other classes than {class} gives more")
            }
        };
        reasons.explain(point.as_ref(), format!("{place}.operating_points.{index}"), reason);
    }
}

/// The images by falling probability of a class.
#[derive(Debug)]
struct Ranking {
    /// How many images are of the class.
    of_class: u64,
    /// How many are not.
    others: u64,
    /// The images of each distinct probability.
    ties: Vec<Tie>,
}

/// Images of one probability.
#[derive(Debug)]
struct Tie {
    probability: f64,
    /// Each image's row, and whether it is of the class.
    rows: Vec<(usize, bool)>,
    /// How many of those with this probability or a higher one are of the class: the hits of this threshold.
    hits: u64,
    /// How many are not: its false alarms.
    false_alarms: u64,
}

impl Tie {
    /// How many of its own are of the class, and how many are not.
    fn counts(&self) -> [f64; 2] {
        let of_class = self.rows.iter().filter(|(_, is_of_class)| *is_of_class).count();
        [of_class, self.rows.len() - of_class].map(|count| count as f64)
    }
}

impl Ranking {
    fn of(outcomes: &Outcomes, label: usize) -> Self {
        let is_of_class = outcomes.labels.iter().map(|&truth| usize::from(truth) == label);
        Self::new(outcomes.probabilities.column(label).iter().copied().zip(is_of_class))
    }

    /// Of images with these probabilities, and whether each is of the class.
    fn new(images: impl Iterator<Item = (f64, bool)>) -> Self {
        let mut images: Vec<_> = images.enumerate().map(|(row, (probability, is))| (probability, row, is)).collect();
        images.sort_unstable_by(|(one, ..), (other, ..)| other.total_cmp(one));
        let [mut hits, mut false_alarms] = [0, 0];
        let tie = |tied: &[(f64, usize, bool)]| {
            tied.iter().for_each(|&(.., is_of_class)| *(if is_of_class { &mut hits } else { &mut false_alarms }) += 1);
            let rows = tied.iter().map(|&(_, row, is_of_class)| (row, is_of_class)).collect();
            Tie { probability: tied[0].0, rows, hits, false_alarms }
        };
        let ties = images.chunk_by(|(one, ..), (other, ..)| one == other).map(tie).collect();
        Self { of_class: hits, others: false_alarms, ties }
    }

    fn fewest(&self) -> u64 {
        self.of_class.min(self.others)
    }

    fn has_both(&self) -> bool {
        self.fewest() > 0
    }

    /// What of the other side is ranked wrongly beside an image of the tie: beside one of the class, and beside another.
    fn faults(&self, tie: &Tie) -> [f64; 2] {
        let [of_class, others] = tie.counts();
        [
            (tie.false_alarms as f64 - others / 2.0) / self.others as f64,
            (self.of_class as f64 - tie.hits as f64 + of_class / 2.0) / self.of_class as f64,
        ]
    }

    /// The area, and its fault, what it is less than 1. Nothing where either side has no image.
    fn area(&self) -> Option<[f64; 2]> {
        let sum: f64 = self.ties.iter().map(|tie| tie.counts()[0] * self.faults(tie)[0]).sum();
        let fault = sum / self.of_class as f64;
        self.has_both().then_some([1.0 - fault, fault])
    }

    /// Of an area, which is 1 but for the fault; or why there is none.
    fn interval(&self, area: f64, fault: f64, groups: &Groups) -> Result<[f64; 2], String> {
        let counts = self.groups(groups);
        if counts.into_iter().any(|count| count < FEWEST) {
            return Err(format!(
                "there are fewer than {FEWEST} images of the class, or of others, or fonts that these are of"
            ));
        }
        if fault == 0.0 {
            return Ok([wilson(self.fewest(), self.fewest())[0], 1.0]);
        }
        if area <= 0.0 {
            return Err(
                "every image of another class is ranked above those of the class, which leaves no variance".to_owned()
            );
        }
        let variance = self.variance(fault, groups, counts);
        // Below this, it is what rounding has left of 0.
        if variance <= 1e-18 {
            return Err("the probabilities do not differ enough to leave a variance".to_owned());
        }
        let (log_odds, deviation) = ((area / fault).ln(), variance.sqrt() / (area * fault));
        Ok([-Z_95, Z_95].map(|z| 1.0 / (1.0 + (-(log_odds + z * deviation)).exp())))
    }

    /// How many groups have images of the class, and how many have others.
    fn groups(&self, groups: &Groups) -> [usize; 2] {
        let mut is_of_class = vec![false; (self.of_class + self.others) as usize];
        self.ties.iter().flat_map(|tie| &tie.rows).for_each(|&(row, is)| is_of_class[row] = is);
        [true, false].map(|side| {
            let images = groups.sums(|row| f64::from(u8::from(is_of_class[row] == side)));
            images.iter().filter(|&&(images, _)| images > 0.0).count()
        })
    }

    /// Obuchowski's variance of the area: with the deviations of the images of the class and of the others summed up by group,
    /// `I/(I−1) Σ a²/m² + J/(J−1) Σ b²/n² + 2 G/(G−1) Σ a b/(m n)`, where I, J and G groups have images of the class, of others,
    /// and any. With each image by itself it is DeLong's.
    fn variance(&self, fault: f64, groups: &Groups, counts: [usize; 2]) -> f64 {
        let mut deviations = vec![[0.0, 0.0]; (self.of_class + self.others) as usize];
        for tie in &self.ties {
            let of_tie = self.faults(tie);
            for &(row, is_of_class) in &tie.rows {
                let side = usize::from(!is_of_class);
                deviations[row][side] = (of_tie[side] - fault) / [self.of_class, self.others][side] as f64;
            }
        }
        let sums = [0, 1].map(|side| groups.sums(|row| deviations[row][side]));
        let spread = |count: usize, sum: f64| count as f64 / (count as f64 - 1.0) * sum;
        let of_side = |side: usize| spread(counts[side], sums[side].iter().map(|&(sum, _)| sum * sum).sum());
        let together = sums[0].iter().zip(&sums[1]).map(|(&(one, _), &(other, _))| one * other).sum();
        of_side(0) + of_side(1) + 2.0 * spread(groups.count(), together)
    }

    fn average_precision(&self) -> Option<f64> {
        let term = |tie: &Tie| {
            let [of_class, _] = tie.counts();
            of_class / self.of_class as f64 * (tie.hits as f64 / (tie.hits + tie.false_alarms) as f64)
        };
        self.has_both().then(|| self.ties.iter().map(term).sum())
    }

    /// The corners.
    fn curve(&self) -> Option<RocCurve> {
        if !self.has_both() {
            return None;
        }
        let alarms = |tie: &Tie| [tie.hits, tie.false_alarms];
        let mut before = [0, 0];
        let mut corners: Vec<&Tie> = Vec::new();
        for (tie, next) in self.ties.iter().zip(self.ties[1..].iter().map(Some).chain([None])) {
            let bends = next.is_none_or(|next| {
                let [one, other] = [[before, alarms(tie)], [alarms(tie), alarms(next)]]
                    .map(|[from, to]| [to[0] - from[0], to[1] - from[1]]);
                one[0] * other[1] != one[1] * other[0]
            });
            if bends {
                corners.push(tie);
                before = alarms(tie);
            }
        }
        let (last, most) = (corners.len() - 1, MOST_CORNERS - 1);
        let kept: Vec<&Tie> =
            if last <= most { corners } else { (0..=most).map(|place| corners[place * last / most]).collect() };
        Some(RocCurve {
            thresholds: kept.iter().map(|tie| tie.probability).collect(),
            false_alarm_rate: kept.iter().map(|tie| tie.false_alarms as f64 / self.others as f64).collect(),
            recall: kept.iter().map(|tie| tie.hits as f64 / self.of_class as f64).collect(),
        })
    }

    /// How many false alarms that rate is at most.
    fn most(&self, false_alarm_rate: f64) -> u64 {
        // A product that is whole may have been rounded below.
        (false_alarm_rate * self.others as f64 + 1e-9).floor() as u64
    }

    /// The lowest threshold with at most so many false alarms, where these are at least one.
    fn threshold_at(&self, false_alarm_rate: f64) -> Option<f64> {
        let most = self.most(false_alarm_rate);
        let within = self.ties.iter().take_while(|tie| tie.false_alarms <= most);
        within.last().filter(|_| most > 0).map(|tie| tie.probability)
    }

    /// What a threshold gives.
    fn at(&self, threshold: f64) -> OperatingPoint {
        let alarms = self.ties.iter().take_while(|tie| tie.probability >= threshold).last();
        let [hits, false_alarms] = alarms.map_or([0, 0], |tie| [tie.hits, tie.false_alarms]);
        OperatingPoint {
            threshold,
            recall: Proportion::of(hits, self.of_class),
            false_alarm_rate: Proportion::of(false_alarms, self.others),
        }
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

    fn alone(images: usize) -> Groups {
        Groups::of(&vec![None; images])
    }

    fn interval(ranking: &Ranking, groups: &Groups) -> Result<[f64; 2], String> {
        let [area, fault] = ranking.area().unwrap();
        ranking.interval(area, fault, groups)
    }

    /// Every image `times` times.
    fn repeated(times: usize) -> Ranking {
        Ranking::new(SCORES.iter().copied().zip(OF_CLASS).cycle().take(10 * times))
    }

    /// ```python
    /// scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.6, 0.5, 0.4, 0.3, 0.1]
    /// truth = [1, 1, 0, 1, 1, 0, 0, 1, 0, 0]
    /// roc_auc_score(truth, scores), average_precision_score(truth, scores)   # 0.76 0.7416666666666667
    /// ```
    #[test]
    fn areas_are_scikit_learn_s_with_ties_counted_half() {
        let found = ranking(&SCORES, &OF_CLASS);
        assert!((found.area().unwrap()[0] - 0.76).abs() < 1e-15);
        assert!((found.average_precision().unwrap() - 0.741_666_666_666_666_7).abs() < 1e-15);
    }

    #[test]
    fn images_that_come_in_twos_leave_the_area_as_uncertain_as_half_of_them() {
        let width = |times: usize, groups: &Groups| {
            let [low, high] = interval(&repeated(times), groups).unwrap();
            ((high / (1.0 - high)) / (low / (1.0 - low))).ln()
        };
        let once = width(40, &alone(400));
        let fonts: Vec<Option<String>> = (0..800).map(|row| Some((row % 400).to_string())).collect();
        let twice = width(80, &Groups::of(&fonts));
        assert!((twice / once - 1.0).abs() < 0.01, "{twice} {once}");
        assert!((width(80, &alone(800)) / once - 0.5_f64.sqrt()).abs() < 0.01);
        // Of 19 fonts, an interval for large samples would be too narrow.
        let few: Vec<Option<String>> = (0..800).map(|row| Some((row % 19).to_string())).collect();
        assert!(interval(&repeated(80), &Groups::of(&few)).unwrap_err().starts_with("there are fewer than 20 images"));
    }

    #[test]
    fn the_worst_ranking_is_the_best_one_upside_down() {
        let upside_down = Ranking::new(SCORES.iter().copied().zip(OF_CLASS.map(|is| !is)).cycle().take(100));
        let both = [repeated(10), upside_down];
        let [one, other] = both.each_ref().map(|ranking| ranking.area().unwrap()[0]);
        assert!((one + other - 1.0).abs() < 1e-15);
        let [[low, high], [other_low, other_high]] = both.map(|ranking| interval(&ranking, &alone(100)).unwrap());
        assert!((low + other_high - 1.0).abs() < 1e-12 && (high + other_low - 1.0).abs() < 1e-12);
        assert!(0.0 < low && low < 0.76 && 0.76 < high && high < 1.0);
    }

    #[test]
    fn what_cannot_be_ranked_has_no_area_and_little_no_interval_but_a_perfect_one_has_its_lower_end() {
        for of_class in [[true; 10], [false; 10]] {
            let none = ranking(&SCORES, &of_class);
            assert_eq!((none.area(), none.average_precision(), none.curve()), (None, None, None));
        }
        let first_four = [true, true, true, true, false, false, false, false, false, false];
        let few = ranking(&SCORES, &first_four);
        assert_eq!(few.area(), Some([1.0, 0.0]));
        assert!(interval(&few, &alone(10)).unwrap_err().starts_with("there are fewer than 20 images"));
        let many = |scores: fn(usize) -> f64| {
            let ranking = Ranking::new((0..60).map(|row| (scores(row), row < 25)));
            (ranking.area().unwrap()[0], interval(&ranking, &alone(60)))
        };
        let perfect = many(|row| 1.0 / (row as f64 + 1.0));
        assert_eq!(perfect, (1.0, Ok([wilson(25, 25)[0], 1.0])));
        let alike = "the probabilities do not differ enough to leave a variance";
        assert_eq!(many(|_| 0.5), (0.5, Err(alike.to_owned())));
        let (area, reason) = many(|row| row as f64 / 60.0);
        assert!(area == 0.0 && reason.unwrap_err().starts_with("every image of another class is ranked above"));
    }

    /// `roc_curve(truth, scores)` of scikit-learn, without its first corner.
    #[test]
    fn a_curve_has_scikit_learn_s_corners() {
        let curve = ranking(&SCORES, &OF_CLASS).curve().unwrap();
        assert_eq!(curve.thresholds, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.1]);
        assert_eq!(curve.false_alarm_rate, [0.0, 0.2, 0.2, 0.4, 0.6, 0.6, 1.0]);
        assert_eq!(curve.recall, [0.2, 0.4, 0.6, 0.8, 0.8, 1.0, 1.0]);
    }

    #[test]
    fn a_long_curve_keeps_its_ends_and_no_more_corners_than_it_may() {
        let images = (0..5000).map(|row| (1.0 / f64::from(row + 1), row % 2 == 0));
        let curve = Ranking::new(images).curve().unwrap();
        assert_eq!(curve.thresholds.len(), MOST_CORNERS);
        assert_eq!((curve.recall[0], curve.false_alarm_rate[0]), (1.0 / 2500.0, 0.0));
        assert_eq!((curve.recall[MOST_CORNERS - 1], curve.false_alarm_rate[MOST_CORNERS - 1]), (1.0, 1.0));
    }

    #[test]
    fn a_threshold_is_the_lowest_that_keeps_to_a_false_alarm_rate_of_at_least_one_image() {
        let chosen = ranking(&SCORES, &OF_CLASS);
        let found = [0.1, 0.2, 0.39, 0.4, 1.0].map(|rate| chosen.threshold_at(rate));
        assert_eq!(found, [None, Some(0.7), Some(0.7), Some(0.6), Some(0.1)]);
        let OperatingPoint { recall, false_alarm_rate, .. } = chosen.at(0.65);
        assert_eq!((recall, false_alarm_rate), (Proportion::of(3, 5), Proportion::of(1, 5)));
        assert_eq!(chosen.at(0.95).recall, Proportion::of(0, 5));
        // All are alike: there is no threshold between them.
        assert_eq!(ranking(&[0.5; 10], &OF_CLASS).threshold_at(0.5), None);
    }
}
