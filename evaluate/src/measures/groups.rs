//! Intervals for images that are not independent: the glyphs of one font succeed or fail together.

use std::collections::BTreeMap;

use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng as _;

use crate::measures::intervals::{GroupedMean, quantile};
use crate::measures::quality::{Image, Sums};
use crate::report::{Intervals, Unit};

/// How often fonts or images are drawn: the ends of a 95 % interval then have an error of about 2 % of its width.
pub const RESAMPLES: u32 = 2000;

/// With fewer of them, a bootstrap's intervals hold far less often what they should, and so do those of large samples.
pub const FEWEST: usize = 20;

/// The state and the stream that the generator (PCG XSL RR 128/64, NumPy's `PCG64`) begins with.
const SEED: (u128, u128) = (0x6e6f_744d_4e49_5354, 0x666f_6e74);

/// What images have in common: the rows of each font's, or each row by itself where no name tells a font.
#[derive(Debug, Clone)]
pub struct Groups {
    unit: Unit,
    rows: Vec<Vec<usize>>,
}

impl Groups {
    /// The groups of images whose names tell these fonts, in the order of each one's first row; an image without one is a
    /// group of its own.
    #[must_use]
    pub fn of(names: &[Option<String>]) -> Self {
        let unit = if names.iter().any(Option::is_some) { Unit::Font } else { Unit::Image };
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut rows: Vec<Vec<usize>> = Vec::new();
        for (row, name) in names.iter().enumerate() {
            let next = rows.len();
            let place = name.as_ref().map_or(next, |name| *places.entry(name).or_insert(next));
            if place == next {
                rows.push(Vec::new());
            }
            rows[place].push(row);
        }
        Self { unit, rows }
    }

    /// Whether they are those of fonts.
    #[must_use]
    pub fn are_fonts(&self) -> bool {
        self.unit == Unit::Font
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// The sum of a value of rows over each one's, with how many they are.
    pub(crate) fn sums(&self, value: impl Fn(usize) -> f64) -> Vec<(f64, usize)> {
        self.rows.iter().map(|rows| (rows.iter().map(|&row| value(row)).sum(), rows.len())).collect()
    }
}

/// The intervals of shares from their spread over the groups, and those of the other figures by drawing as many groups as
/// there are, with replacement, [`RESAMPLES`] times: the middle 95 % of each.
pub(crate) fn intervals(images: &[Image], classes: usize, groups: &Groups) -> Intervals {
    let share = |counts: fn(&Image) -> bool| {
        let sums = groups.sums(|row| f64::from(u8::from(counts(&images[row]))));
        GroupedMean::of(&sums).map(|share| share.of_share_95())
    };
    let mut generator = generator();
    let resamples = if groups.count() < FEWEST { 0 } else { RESAMPLES };
    let resamples: Vec<Figures> = (0..resamples)
        .map(|_| {
            let mut sums = Sums::new(classes);
            for _ in &groups.rows {
                let rows = &groups.rows[draw(&mut generator, groups.count())];
                rows.iter().for_each(|&row| sums.add(&images[row]));
            }
            Figures::of(&sums)
        })
        .collect();
    let of = |figure: fn(&Figures) -> Option<f64>| middle_95(resamples.iter().filter_map(figure).collect());
    Intervals {
        unit: groups.unit,
        units: groups.count() as u64,
        accuracy_95: share(Image::is_right),
        top_2_accuracy_95: share(Image::is_in_top_2),
        resamples: resamples.len() as u32,
        balanced_accuracy_95: of(|figures| figures.balanced_accuracy),
        macro_f1_95: of(|figures| figures.macro_f1),
        cohen_kappa_95: of(|figures| figures.cohen_kappa),
        negative_log_likelihood_95: of(|figures| Some(figures.negative_log_likelihood)),
        brier_score_95: of(|figures| Some(figures.brier_score)),
    }
}

/// What draws, from its beginning.
pub(crate) fn generator() -> Pcg64 {
    Pcg64::new(SEED.0, SEED.1)
}

/// Of one resample: its sums hold a confusion matrix, which 2,000 times over would be a gigabyte with 256 classes.
struct Figures {
    balanced_accuracy: Option<f64>,
    macro_f1: Option<f64>,
    cohen_kappa: Option<f64>,
    negative_log_likelihood: f64,
    brier_score: f64,
}

impl Figures {
    fn of(sums: &Sums) -> Self {
        Self {
            balanced_accuracy: sums.balanced_accuracy(),
            macro_f1: sums.macro_f1(),
            cohen_kappa: sums.cohen_kappa(),
            negative_log_likelihood: sums.mean(sums.negative_log_likelihood),
            brier_score: sums.mean(sums.brier_score),
        }
    }
}

/// A number below `count`: the high word of its product with 64 random bits. With fewer than 2³² of them, none is
/// more probable than another by more than 2⁻³².
fn draw(generator: &mut Pcg64, count: usize) -> usize {
    ((u128::from(generator.next_u64()) * count as u128) >> 64) as usize
}

/// Nothing where all are the same: that chance moves nothing is not what it says.
fn middle_95(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    (values.first() != values.last()).then(|| [0.025, 0.975].map(|level| quantile(&values, level)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_one_font_are_together_and_those_without_are_alone() {
        let groups = Groups::of(&[Some("a"), None, Some("b"), None, Some("a")].map(|name| name.map(str::to_owned)));
        assert_eq!(groups.rows, [vec![0, 4], vec![1], vec![2], vec![3]]);
        assert!(groups.are_fonts());
        let alone = Groups::of(&[None, None]);
        assert_eq!(alone.rows, [[0], [1]]);
        assert!(!alone.are_fonts());
    }
}
