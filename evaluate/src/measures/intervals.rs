//! What a count leaves open: intervals of shares and of ratios of shares.

use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::function::beta::inv_beta_reg;

use crate::report::{Estimate, Proportion, Ratio};

/// The 0.975 quantile of the standard normal distribution.
pub const Z_95: f64 = 1.959_963_984_540_054;

impl Proportion {
    /// `count` of `total`.
    #[must_use]
    pub fn of(count: u64, total: u64) -> Self {
        let some = total > 0;
        Self {
            count,
            total,
            value: some.then(|| count as f64 / total as f64),
            wilson_95: some.then(|| wilson(count, total)),
            jeffreys_95: some.then(|| jeffreys(count, total)),
        }
    }
}

/// The 95 % confidence interval of a share, `count` of `total`.
///
/// ```text
/// (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n)
/// ```
///
/// E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
/// Statistical Association 22 (1927), pages 209 to 212. Unlike the usual `p ± z √(p(1 − p)/n)`, it stays within 0 and 1
/// and is right for shares near 1, where a good classifier's accuracy is.
///
/// # Panics
/// With a `total` of 0.
#[must_use]
pub fn wilson(count: u64, total: u64) -> [f64; 2] {
    assert!(total > 0, "a share of nothing has no interval");
    wilson_of(count as f64 / total as f64, total as f64)
}

/// Wilson's interval of a share among `n`, which may be no whole number.
fn wilson_of(share: f64, n: f64) -> [f64; 2] {
    let z_squared = Z_95 * Z_95;
    let centre = share + z_squared / (2.0 * n);
    let half_width = Z_95 * (share * (1.0 - share) / n + z_squared / (4.0 * n * n)).sqrt();
    let [low, high] = [centre - half_width, centre + half_width].map(|end| end / (1.0 + z_squared / n));
    // At the ends of the scale the formula gives just 0 and 1, but for rounding.
    [if share <= 0.0 { 0.0 } else { low }, if share >= 1.0 { 1.0 } else { high }]
}

/// The middle 95 % of what is believed of a share after `count` of `total`, before which nothing was: the 2.5 % and 97.5 %
/// quantiles of `Beta(count + 1/2, total − count + 1/2)`.
///
/// The prior is Jeffreys', `Beta(1/2, 1/2)`: H. Jeffreys, "An invariant form for the prior probability in estimation
/// problems", Proceedings of the Royal Society A 186 (1946). It is `proportion_confint(method="jeffreys")` of statsmodels.
///
/// # Panics
/// When `count` is more than `total`.
#[must_use]
pub fn jeffreys(count: u64, total: u64) -> [f64; 2] {
    assert!(count <= total, "a part is no more than the whole");
    let (a, b) = (count as f64 + 0.5, (total - count) as f64 + 0.5);
    [0.025, 0.975].map(|level| inv_beta_reg(a, b, level))
}

/// The ratio of two shares of different images, `θ = count_1 / total_1 : count_2 / total_2`, with the interval of its score
/// test: the ratios `θ` for which
///
/// ```text
/// (p₁ − θ p₂)² / (q₁ (1 − q₁) / total_1 + θ² q₂ (1 − q₂) / total_2) ≤ z²
/// ```
///
/// where `p` are the shares, and `q` the likeliest ones with `q₁ = θ q₂`, of which `q₂` is the smaller root of
/// `N θ q² − (θ total_1 + count_1 + total_2 + θ count_2) q + count_1 + count_2 = 0` for `N` images in all.
///
/// P. A. R. Koopman, "Confidence intervals for the ratio of two binomial proportions", Biometrics 40 (1984), pages 513 to
/// 517; `q` as in O. S. Miettinen, M. Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4 (1985). It is
/// `confint_proportions_2indep(compare="ratio", method="score", correction=False)` of statsmodels. There is no ratio where a
/// total or `count_2` is 0; in the second case, `count_1` not being 0, its interval has a lower end all the same. There is no
/// interval where both counts are 0.
#[must_use]
pub fn ratio_of_shares([count_1, total_1]: [u64; 2], [count_2, total_2]: [u64; 2]) -> Ratio {
    if total_1 == 0 || total_2 == 0 || (count_1 == 0 && count_2 == 0) {
        return Ratio { value: None, interval_95: None };
    }
    let [n_1, n_2, x_1, x_2] = [total_1, total_2, count_1, count_2].map(|count| count as f64);
    let value = (count_2 > 0).then(|| (x_1 / n_1) / (x_2 / n_2));
    let is_possible = |logarithm: f64| {
        let ratio = logarithm.exp();
        // The smaller root and its discriminant, without differences of numbers that are nearly the same.
        let (one, other) = (ratio * (n_1 + x_2), n_2 + x_1);
        let discriminant = (0.5 * (one - other)).powi(2) + ratio * (n_1 - x_1) * (n_2 - x_2);
        let q_2 = (x_1 + x_2) / (0.5 * (one + other) + discriminant.sqrt());
        let q_1 = ratio * q_2;
        let variance = q_1 * (1.0 - q_1) / n_1 + ratio * ratio * q_2 * (1.0 - q_2) / n_2;
        (x_1 / n_1 - ratio * x_2 / n_2).powi(2) <= Z_95 * Z_95 * variance
    };
    // A ratio of 0, or without bound, is approached until one is possible.
    let inside = match (count_1, value) {
        (0, _) => (0..).map(|step| -f64::from(step)).find(|&logarithm| is_possible(logarithm)),
        (_, None) => (0..).map(f64::from).find(|&logarithm| is_possible(logarithm)),
        (_, Some(ratio)) => Some(ratio.ln()),
    };
    let inside = inside.expect("near enough, any ratio is possible");
    let end = |direction: f64| {
        let (mut inside, mut step) = (inside, direction);
        while is_possible(inside + step) {
            (inside, step) = (inside + step, 2.0 * step);
        }
        let mut outside = inside + step;
        loop {
            let middle = f64::midpoint(inside, outside);
            if middle == inside || middle == outside {
                return middle.exp();
            }
            if is_possible(middle) {
                inside = middle;
            } else {
                outside = middle;
            }
        }
    };
    let low = if count_1 > 0 { end(-1.0) } else { 0.0 };
    Ratio { value, interval_95: Some((low, (count_2 > 0).then(|| end(1.0)))) }
}

/// A weighted mean of shares of different images, `m = Σ w p` with `w ≥ 0`, given as weight, count and total of each; the
/// weights are scaled to a sum of 1. Its interval is Wilson's of `m` among as many images as have its variance:
/// `m (1 − m) / Σ (w² p (1 − p) / n)`, but no more than `1 / Σ (w² / n)`, which they are where all shares are alike. With the
/// weights `n / Σ n` it is that of all images together. The images are taken as independent.
///
/// L. Kish, "Survey sampling" (1965), section 8.2, for the effective number; C. Franco, R. J. A. Little, T. A. Louis,
/// E. V. Slud, "Comparative study of confidence intervals for proportions in complex sample surveys", Journal of Survey
/// Statistics and Methodology 7 (2019), pages 334 to 364, for Wilson's interval with it. Shares that weigh nothing may be of
/// nothing; otherwise there is no mean where a total is 0.
#[must_use]
pub fn weighted_mean(shares: impl IntoIterator<Item = (f64, [u64; 2])>) -> Estimate {
    let (mut weights, mut sum, mut variance, mut variance_if_alike) = (0.0, 0.0, 0.0, 0.0);
    for (weight, [count, total]) in shares.into_iter().filter(|&(weight, _)| weight > 0.0) {
        if total == 0 {
            return Estimate { value: None, interval_95: None };
        }
        let (share, n) = (count as f64 / total as f64, total as f64);
        weights += weight;
        sum += weight * share;
        variance += weight * weight * share * (1.0 - share) / n;
        variance_if_alike += weight * weight / n;
    }
    if weights == 0.0 {
        return Estimate { value: None, interval_95: None };
    }
    let mean = sum / weights;
    let if_alike = weights * weights / variance_if_alike;
    // A share that weighs next to nothing has a variance, but leaves the mean at 0 or 1.
    let spread = mean * (1.0 - mean);
    let effective = if spread > 0.0 && variance > 0.0 { spread * weights * weights / variance } else { if_alike };
    Estimate { value: Some(mean), interval_95: Some(wilson_of(mean, effective.min(if_alike))) }
}

/// The mean `m = Σ x / Σ n` of images that come in groups, each with its sum `x` over `n` images.
#[derive(Debug, Clone, Copy)]
pub struct GroupedMean {
    /// The mean.
    pub mean: f64,
    /// `G / (G − 1) · Σ (x − m n)² / (Σ n)²`, the variance by linearisation, whatever the images of a group have in common:
    /// statsmodels' for a constant, `cov_type="cluster"`.
    pub variance: f64,
    /// The 0.975 quantile of Student's t with the `G − 1` degrees of freedom of the variance.
    pub t_95: f64,
    /// How many images.
    pub images: f64,
}

impl GroupedMean {
    /// Of at least two groups: a single one tells nothing of others.
    #[must_use]
    pub fn of(groups: &[(f64, usize)]) -> Option<Self> {
        let others = groups.len().checked_sub(1).filter(|&others| others > 0)? as f64;
        let (sum, images) = groups.iter().fold((0.0, 0.0), |(sum, images), &(x, n)| (sum + x, images + n as f64));
        let mean = sum / images;
        let residuals = groups.iter().map(|&(x, n)| (x - mean * n as f64).powi(2)).sum::<f64>();
        let variance = (others + 1.0) / others * residuals / (images * images);
        let t = StudentsT::new(0.0, 1.0, others).expect("the degrees of freedom are positive");
        Some(Self { mean, variance, t_95: t.inverse_cdf(0.975), images })
    }

    /// The interval of a share: Wilson's among as many independent images as have its variance, `m (1 − m) / variance`, but
    /// no more than there are, times `(z / t)²`. Where there is no variance, they count as independent.
    ///
    /// E. L. Korn, B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    /// estimated from survey data", Survey Methodology 24 (1998), pages 193 to 201, for the effective number; with Wilson's
    /// interval, C. Franco and others (2019), see [`weighted_mean`].
    #[must_use]
    pub fn of_share_95(&self) -> [f64; 2] {
        let spread = self.mean * (1.0 - self.mean);
        let is_known = spread > 0.0 && self.variance > 0.0;
        let effective = if is_known { (spread / self.variance).min(self.images) } else { self.images };
        wilson_of(self.mean, effective * (Z_95 / self.t_95).powi(2))
    }

    /// The interval `m ± t √variance`; nothing where there is no variance.
    #[must_use]
    pub fn student_95(&self) -> Option<[f64; 2]> {
        let half_width = self.t_95 * self.variance.sqrt();
        (half_width > 0.0).then_some([self.mean - half_width, self.mean + half_width])
    }
}

/// The value below which the share `level` of `sorted` lies, linear between two of them: NumPy's `quantile`.
///
/// # Panics
/// With no values.
#[must_use]
pub fn quantile(sorted: &[f64], level: f64) -> f64 {
    let place = level * (sorted.len() - 1) as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: [f64; 2], expected: [f64; 2], tolerance: f64) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
        }
    }

    /// statsmodels 0.15.0: `proportion_confint(count, total, method="wilson")`.
    #[test]
    fn wilson_intervals_are_statsmodels_s() {
        for (count, total, expected) in [
            (0, 10, [0.0, 0.277_532_799_862_889_26]),
            (10, 10, [0.722_467_200_137_110_6, 1.0]),
            (1, 1, [0.206_549_314_377_237_4, 1.0]),
            (0, 1, [0.0, 0.793_450_685_622_762_7]),
            (1, 2, [0.094_531_205_734_230_68, 0.905_468_794_265_769_3]),
            (81, 263, [0.255_288_519_878_274_2, 0.366_209_576_982_800_04]),
            (17_250, 18_724, [0.917_333_131_067_494_3, 0.925_049_053_483_176_7]),
        ] {
            assert_close(wilson(count, total), expected, 1e-15);
        }
    }

    #[test]
    fn a_weighted_mean_of_one_share_has_its_interval_and_one_of_nothing_is_unknown() {
        let ends = |shares: &[(f64, [u64; 2])]| weighted_mean(shares.iter().copied()).interval_95;
        assert_close(ends(&[(1.0, [81, 263])]).unwrap(), wilson(81, 263), 1e-15);
        // Shares of their images' weights are one share of all of them.
        assert_close(ends(&[(0.25, [81, 100]), (0.75, [243, 300]), (0.0, [0, 0])]).unwrap(), wilson(324, 400), 1e-12);
        assert_close(ends(&[(5.0, [0, 5]), (6.0, [6, 6])]).unwrap(), wilson(6, 11), 1e-12);
        // A class of all the weight counts as its own images alone.
        assert_close(ends(&[(1e9, [8, 10]), (1.0, [990, 1000])]).unwrap(), wilson(8, 10), 1e-6);
        assert_close(ends(&[(1.0, [7, 7]), (1e-20, [54, 57])]).unwrap(), wilson(7, 7), 1e-12);
        let unknown = Estimate { value: None, interval_95: None };
        assert_eq!(weighted_mean([(0.5, [8, 10]), (0.5, [0, 0])]), unknown);
        assert_eq!(weighted_mean([(0.0, [8, 10])]), unknown);
        // Ten tenths are summed to a little less than 1.
        assert_eq!(weighted_mean([(0.1, [7, 7]); 10]).value, Some(1.0));
    }

    /// scipy 1.17: `t.ppf(0.975, G - 1)`, the rest worked by hand.
    #[test]
    fn groups_that_fail_together_count_as_fewer_images_and_few_of_them_as_fewer_still() {
        let interval = |groups: &[(f64, usize)]| GroupedMean::of(groups).map(|mean| mean.of_share_95());
        let t_3 = 3.182_446_305_283_71;
        let shrunk = |images: f64, t: f64| images * (Z_95 / t).powi(2);
        // The variance is 4/3 · (4 · 25) / 1600 = 1/12: a quarter by that is 3 images.
        let all_or_none = interval(&[(10.0, 10), (0.0, 10), (10.0, 10), (0.0, 10)]).unwrap();
        assert_close(all_or_none, wilson_of(0.5, shrunk(3.0, t_3)), 1e-9);
        // All alike, and all right: as many as there are.
        for (group, share) in [((5.0, 10), 0.5), ((10.0, 10), 1.0)] {
            assert_close(interval(&[group; 4]).unwrap(), wilson_of(share, shrunk(40.0, t_3)), 1e-9);
        }
        assert_close(interval(&[(10.0, 10); 2]).unwrap(), wilson_of(1.0, shrunk(20.0, 12.706_204_736_174_694)), 1e-9);
        assert_eq!((interval(&[(9.0, 10)]), interval(&[])), (None, None));
        assert_eq!(GroupedMean::of(&[(0.0, 3); 2]).unwrap().student_95(), None);
    }

    #[test]
    fn wilson_intervals_end_exactly_at_0_and_1() {
        for total in 1..1000 {
            assert_eq!((wilson(0, total)[0], wilson(total, total)[1]), (0.0, 1.0));
        }
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        let nothing = Proportion { count: 0, total: 0, value: None, wilson_95: None, jeffreys_95: None };
        assert_eq!(Proportion::of(0, 0), nothing);
    }

    /// statsmodels 0.15.0, see [`ratio_of_shares`]; the last two have no ratio, or one of 0.
    #[test]
    fn intervals_of_ratios_are_statsmodels_s() {
        let infinity = f64::INFINITY;
        for (one, other, expected) in [
            ([98, 101], [8, 908], [56.074_009_514_284_43, 217.182_066_736_188_23]),
            ([101, 101], [1, 870], [154.276_387_442_102_4, 4_927.792_786_561_788]),
            ([3, 4], [2, 5], [0.565_742_665_241_069_1, 6.833_655_316_633_346_5]),
            ([81, 263], [5, 15], [0.507_916_281_116_385, 2.065_801_706_759_267]),
            ([98, 101], [0, 908], [230.316_813_122_445_84, infinity]),
            ([0, 101], [5, 900], [0.0, 6.701_817_316_459_476_5]),
        ] {
            let (low, high) = ratio_of_shares(one, other).interval_95.unwrap();
            let relative = [(low, expected[0]), (high.unwrap_or(infinity), expected[1])];
            for (found, expected) in relative {
                assert!(found == expected || (found / expected - 1.0).abs() < 1e-7, "{found} is not {expected}");
            }
        }
    }

    /// Where all images have what is counted: Wilson's lower end below 1, and `1 + z² / total_2`.
    #[test]
    fn a_ratio_of_whole_shares_is_as_sure_as_their_images_are_many() {
        for (one, other) in [(7, 5), (100_000_000, 100_000_000)] {
            let (low, high) = ratio_of_shares([one; 2], [other; 2]).interval_95.unwrap();
            let expected = [wilson(one, one)[0], 1.0 + Z_95 * Z_95 / other as f64];
            assert_close([low, high.unwrap()].map(|end| end - 1.0), expected.map(|end| end - 1.0), 1e-7 / one as f64);
        }
    }

    #[test]
    fn a_ratio_exists_where_its_divisor_does() {
        assert_eq!(ratio_of_shares([0, 4], [2, 5]).value, Some(0.0));
        assert_eq!(ratio_of_shares([1, 1], [5, 5]).value, Some(1.0));
        assert_eq!(ratio_of_shares([3, 4], [0, 5]).value, None);
        for (one, other) in [([0, 4], [0, 5]), ([0, 0], [2, 5]), ([3, 4], [0, 0])] {
            assert_eq!(ratio_of_shares(one, other), Ratio { value: None, interval_95: None });
        }
    }

    /// `numpy.quantile([1, 2, 4, 8], level)`.
    #[test]
    fn quantiles_are_numpy_s() {
        for (level, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.0), (0.9, 6.8), (1.0, 8.0)] {
            assert!((quantile(&[1.0, 2.0, 4.0, 8.0], level) - expected).abs() < 1e-15);
        }
        assert_eq!(quantile(&[3.0], 0.975), 3.0);
    }
}
