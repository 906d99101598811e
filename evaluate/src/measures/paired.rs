//! Two models on the very same images.

use statrs::distribution::{Binomial, DiscreteCDF as _};

use crate::measures::groups::Groups;
use crate::measures::intervals::{GroupedMean, Z_95};
use crate::report::{DifferenceByFont, Estimate};

/// The exact two-sided p value of McNemar's test: `2 P(X ≤ the smaller count)` for `X ~ Binomial(one + other, 1/2)`, at most
/// 1 (Q. McNemar, Psychometrika 12, 1947; statsmodels' `mcnemar(exact=True)`).
#[must_use]
pub fn mcnemar(only_one: u64, only_other: u64) -> f64 {
    let discordant = Binomial::new(0.5, only_one + only_other).expect("a half is a probability");
    (2.0 * discordant.cdf(only_one.min(only_other))).min(1.0)
}

/// The difference of two accuracies on `total` images, at least one, from the images that one model alone gets right.
///
/// The interval is Wald's for matched pairs with half an image added to each of the four counts: with `d` and `v` the mean and
/// the variance of "right here" less "right there" over these `total + 2` images, `d ± z √(v / (total + 2))`. A. Agresti,
/// Y. Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24 (2005).
#[must_use]
pub fn difference(only_one: u64, only_other: u64, total: u64) -> Estimate {
    let (one, other, n) = (only_one as f64 + 0.5, only_other as f64 + 0.5, total as f64 + 2.0);
    let mean = (one - other) / n;
    let half_width = Z_95 * (((one + other) / n - mean * mean) / n).sqrt();
    Estimate {
        value: Some((only_one as f64 - only_other as f64) / total as f64),
        interval_95: Some([(mean - half_width).max(-1.0), (mean + half_width).min(1.0)]),
    }
}

/// The difference where the images of one font are dependent. `advantage` of a row is 1 where this model alone is right, −1
/// where the other alone is, 0 otherwise.
#[must_use]
pub fn by_font(fonts: &Groups, advantage: impl Fn(usize) -> i32) -> DifferenceByFont {
    let groups = fonts.sums(|row| f64::from(advantage(row)));
    // Sums of whole numbers, which are exact.
    let differences: Vec<i64> = groups.iter().map(|&(sum, _)| sum as i64).collect();
    DifferenceByFont {
        fonts: groups.len() as u64,
        difference_95: GroupedMean::of(&groups)
            .and_then(|mean| mean.student_95())
            .map(|ends| ends.map(|end| end.clamp(-1.0, 1.0))),
        p: sign_flip(&differences),
    }
}

/// The probability that `|Σ ±d|` is at least `|Σ d|` where each sign is that of a fair coin: Fisher's randomisation test for
/// pairs, all signs counted (R. A. Fisher, "The Design of Experiments", 1935, chapter III). Where no `|d|` is above 1, it is
/// [`mcnemar`].
fn sign_flip(differences: &[i64]) -> f64 {
    let sizes: Vec<usize> = differences.iter().map(|d| d.unsigned_abs() as usize).filter(|&size| size > 0).collect();
    let total: usize = sizes.iter().sum();
    let observed = differences.iter().sum::<i64>().unsigned_abs() as usize;
    // The probability of each sum of the sizes with a plus; less those with a minus, that is twice the sum less the total.
    let mut probabilities = vec![0.0; total + 1];
    probabilities[0] = 1.0;
    let mut most = 0;
    for size in sizes {
        most += size;
        for sum in (0..=most).rev() {
            let with = if sum >= size { probabilities[sum - size] } else { 0.0 };
            probabilities[sum] = 0.5 * (probabilities[sum] + with);
        }
    }
    let tail: f64 = probabilities[..=(total - observed) / 2].iter().sum();
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fonts(names: &[Option<&str>]) -> Groups {
        Groups::of(&names.iter().map(|name| name.map(str::to_owned)).collect::<Vec<_>>())
    }

    /// statsmodels 0.15: `OLS(d, 1).fit(cov_type="cluster", use_t=True)` gives -2.04 to 2.84, more than accuracies can differ.
    #[test]
    fn by_font_images_that_differ_together_count_as_one() {
        let advantage = [1, 1, 1, -1, 0];
        let found = by_font(&fonts(&[Some("a"), Some("a"), Some("a"), Some("b"), None]), |row| advantage[row]);
        // Σ d is 2; of 3 + 1, 3 − 1, −3 + 1 and −3 − 1, all are at least as far from 0.
        assert_eq!((found.fonts, found.p), (3, 1.0));
        assert_eq!(found.difference_95, Some([-1.0, 1.0]));
    }

    /// The same fit: the mean 0.1 ± 4.302652729911275 · 0.052704627669472995, with 10 images in each of three fonts.
    #[test]
    fn an_interval_by_font_that_accuracies_can_differ_by_is_student_s() {
        let names: Vec<_> = (0..30).map(|row| Some(["a", "b", "c"][row / 10])).collect();
        let [low, high] =
            by_font(&fonts(&names), |row| i32::from(row < 1 || (10..12).contains(&row))).difference_95.unwrap();
        let half_width = 4.302_652_729_911_275 * (1.5 * 2.0 / 900.0_f64).sqrt();
        assert!((low - (0.1 - half_width)).abs() < 1e-9 && (high - (0.1 + half_width)).abs() < 1e-9, "{low} {high}");
    }

    /// One font says nothing, and `k` fonts that all differ the same way say `2 / 2^k`, however many images each has.
    /// The last: scipy 1.17, `permutation_test((d,), np.sum, permutation_type="samples")`.
    #[test]
    fn the_signs_of_fonts_are_those_of_fair_coins() {
        for (differences, expected) in [
            (&[][..], 1.0),
            (&[0, 0], 1.0),
            (&[17], 1.0),
            (&[3, 9, 1, 4], 0.125),
            (&[-3, -9, -1, -4, -2, 0], 0.0625),
            (&[5, -1, 2, 3, -2, 4], 14.0 / 64.0),
        ] {
            assert_eq!(sign_flip(differences), expected, "{differences:?}");
        }
    }

    #[test]
    fn fonts_with_one_image_each_are_mcnemar_s() {
        for (one, other) in [(0_u64, 1_u64), (2, 10), (14, 4), (5, 5), (900, 1000)] {
            let differences: Vec<i64> = (0..one + other).map(|font| if font < one { 1 } else { -1 }).collect();
            let (found, expected) = (sign_flip(&differences), mcnemar(one, other));
            assert!((found - expected).abs() < 1e-12, "{one} {other}: {found} {expected}");
        }
    }

    /// scipy 1.17: `binomtest(min(b, c), b + c).pvalue`.
    #[test]
    fn mcnemar_s_p_is_scipy_s() {
        for (one, other, expected) in [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (5, 5, 1.0),
            (2, 10, 0.038_574_218_75),
            (14, 4, 0.030_883_789_062_5),
            (0, 20, 1.907_348_632_812_5e-6),
        ] {
            let found = mcnemar(one, other);
            assert!((found - expected).abs() < 1e-14, "{one} {other}: {found}");
            assert_eq!(found, mcnemar(other, one));
        }
    }

    /// (14.5 - 4.5) / 102 ± z √(((19 / 102) - (10 / 102)²) / 102), worked by hand.
    #[test]
    fn the_interval_has_half_an_image_more_in_each_count() {
        let Estimate { value, interval_95 } = difference(14, 4, 100);
        let [low, high] = interval_95.unwrap();
        assert_eq!(value, Some(0.1));
        assert!(((low + high) / 2.0 - 10.0 / 102.0).abs() < 1e-15);
        assert!((high - low - 2.0 * 0.081_568_145_847).abs() < 1e-6, "{low} {high}");
    }
}
