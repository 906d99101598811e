//! From values to places on a figure, and the values that an axis names.

/// A value's place along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    domain: [f64; 2],
    range: [f64; 2],
    is_logarithmic: bool,
}

impl Scale {
    /// From `domain` to `range`, both with the lower value's end first.
    pub fn linear(domain: [f64; 2], range: [f64; 2]) -> Self {
        Self { domain, range, is_logarithmic: false }
    }

    /// By the logarithm: the domain is positive.
    pub fn logarithmic(domain: [f64; 2], range: [f64; 2]) -> Self {
        Self { domain, range, is_logarithmic: true }
    }

    /// The place of a value; one beyond the domain lies at its end.
    pub fn at(&self, value: f64) -> f64 {
        let [low, high] = self.domain.map(|end| self.measure(end));
        let share = (self.measure(value.clamp(self.domain[0], self.domain[1])) - low) / (high - low);
        self.range[0] + share * (self.range[1] - self.range[0])
    }

    fn measure(&self, value: f64) -> f64 {
        if self.is_logarithmic { value.ln() } else { value }
    }
}

/// Round values around `low` to `high`, about `count` of them: multiples of 1, 2 or 5 times a power of ten (P. Heckbert,
/// "Nice numbers for graph labels", Graphics Gems, 1990). Where the ends are equal, there is room around them.
pub(crate) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let (low, high) = if low < high { (low, high) } else { (low - 0.5, low + 0.5) };
    let step = nice_step((high - low) / count.max(1) as f64);
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    (0..=(last - first) as usize).map(|index| (first + index as f64) * step).collect()
}

fn nice_step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// The values with as many decimals as tell them apart.
pub(crate) fn tick_labels(ticks: &[f64]) -> Vec<String> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let decimals = if step.is_finite() && step > 0.0 { (-step.log10() - 1e-9).ceil().clamp(0.0, 12.0) } else { 0.0 };
    let decimals = decimals as usize;
    // A tick that is 0 but for rounding is 0 without a sign.
    ticks.iter().map(|&tick| format!("{:.decimals$}", if tick.abs() < step / 2.0 { 0.0 } else { tick })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, count: usize) -> Vec<String> {
        tick_labels(&ticks(low, high, count))
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(labels(0.0, 1.0, 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(0.0, 30.0, 6), ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(labels(-0.03, 0.04, 4), ["-0.04", "-0.02", "0.00", "0.02", "0.04"]);
        assert_eq!(labels(0.88, 0.957, 4), ["0.88", "0.90", "0.92", "0.94", "0.96"]);
        assert_eq!(labels(1.0, 1.0, 2), ["0.5", "1.0", "1.5"]);
    }

    #[test]
    fn a_logarithmic_scale_gives_each_power_the_same_room() {
        let scale = Scale::logarithmic([0.001, 1.0], [0.0, 300.0]);
        for (value, place) in [(0.001, 0.0), (0.01, 100.0), (0.1, 200.0), (1.0, 300.0), (2.0, 300.0)] {
            assert!((scale.at(value) - place).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn a_range_may_run_downwards() {
        let scale = Scale::linear([0.0, 4.0], [100.0, 20.0]);
        assert_eq!([0.0, 1.0, 4.0, 5.0].map(|value| scale.at(value)), [100.0, 80.0, 20.0, 20.0]);
    }
}
