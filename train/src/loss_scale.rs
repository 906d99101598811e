//! The scale of a loss whose gradients are in half precision.

use serde::{Deserialize, Serialize};

/// Steps without an overflow after which the scale of the loss is doubled.
const GROWTH_INTERVAL: u32 = 2000;
const SMALLEST_SCALE: f32 = 1.0;
/// Far below where scaled losses would leave `f32`.
const LARGEST_SCALE: f32 = (1_u64 << 40) as f32;

/// What the loss is multiplied with, so that its gradients do not vanish in half precision (Micikevicius et al., "Mixed
/// precision training", 2018, section 3.2); the numbers are those of PyTorch's `GradScaler`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor, a power of two.
    pub scale: f32,
    /// Steps since it last changed.
    pub steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65536.0, steps: 0 }
    }
}

impl LossScale {
    /// Whether steps can have left it: a power of two within the limits, not yet due to be doubled.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let is_power_of_two = self.scale.log2().fract() == 0.0;
        (SMALLEST_SCALE..=LARGEST_SCALE).contains(&self.scale) && is_power_of_two && self.steps < GROWTH_INTERVAL
    }

    /// The scale for the next step, after one in which a gradient did or did not overflow.
    #[must_use]
    pub fn after(self, overflowed: bool) -> Self {
        if overflowed {
            return Self { scale: (self.scale / 2.0).max(SMALLEST_SCALE), steps: 0 };
        }
        match self.steps + 1 {
            GROWTH_INTERVAL => Self { scale: (self.scale * 2.0).min(LARGEST_SCALE), steps: 0 },
            steps => Self { steps, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_halved_by_an_overflow_and_doubled_after_enough_steps_without() {
        let mut scale = LossScale { scale: 64.0, steps: 5 }.after(true);
        assert_eq!(scale, LossScale { scale: 32.0, steps: 0 });
        for step in 1..GROWTH_INTERVAL {
            scale = scale.after(false);
            assert_eq!(scale, LossScale { scale: 32.0, steps: step });
        }
        assert_eq!(scale.after(false), LossScale { scale: 64.0, steps: 0 });
        assert_eq!(LossScale { scale: SMALLEST_SCALE, steps: 0 }.after(true).scale, SMALLEST_SCALE);
        assert_eq!(LossScale { scale: LARGEST_SCALE, steps: GROWTH_INTERVAL - 1 }.after(false).scale, LARGEST_SCALE);
    }

    #[test]
    fn a_scale_is_possible_where_steps_can_have_left_it() {
        let scale = |scale, steps| LossScale { scale, steps }.is_possible();
        assert!(
            scale(SMALLEST_SCALE, 0) && scale(LARGEST_SCALE, GROWTH_INTERVAL - 1) && LossScale::default().is_possible()
        );
        for impossible in [0.5, 0.0, -2.0, 3.0, 2.0 * LARGEST_SCALE, f32::INFINITY, f32::NAN] {
            assert!(!scale(impossible, 0), "{impossible}");
        }
        assert!(!scale(2.0, GROWTH_INTERVAL) && !scale(2.0, u32::MAX));
    }
}
