//! Two models on the very same images.

use statrs::distribution::{Binomial, DiscreteCDF as _};
use statrs::function::erf::erfc;

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
pub fn by_font(fonts: &Groups, advantage: impl Fn(usize) -> f64) -> DifferenceByFont {
    let groups = fonts.sums(advantage);
    let (sum, squares) = groups.iter().fold((0.0, 0.0), |(sum, squares), &(d, _)| (sum + d, squares + d.powi(2)));
    DifferenceByFont {
        fonts: groups.len() as u64,
        difference_95: GroupedMean::of(&groups).and_then(|mean| mean.student_95()),
        p: if squares > 0.0 { erfc(sum.abs() / (2.0 * squares).sqrt()) } else { 1.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17: `chi2.sf((Σ d)² / Σ d², 1)`; statsmodels 0.15: `OLS(d, 1).fit(cov_type="cluster", use_t=True)`.
    #[test]
    fn by_font_images_that_differ_together_count_as_one() {
        let fonts = Groups::of(&[Some("a"), Some("a"), Some("a"), Some("b"), None].map(|font| font.map(str::to_owned)));
        let advantage = [1.0, 1.0, 1.0, -1.0, 0.0];
        let found = by_font(&fonts, |row| advantage[row]);
        assert_eq!(found.fonts, 3);
        assert!((found.p - 0.527_089_256_865_538_1).abs() < 1e-9, "{found:?}");
        let [low, high] = found.difference_95.unwrap();
        assert!((low - -2.040_025_220_551).abs() < 1e-8 && (high - 2.840_025_220_551).abs() < 1e-8, "{found:?}");
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
