//! Dynamic loss scaling: what keeps gradients within half precision.
//!
//! Micikevicius et al., "Mixed precision training", 2018, section 3.2; the numbers are those of PyTorch's `GradScaler`. A step
//! that is left out for an overflow counts all the same, in the schedule and in Adam's bias correction.

use std::sync::atomic::{AtomicBool, Ordering};

use super::panels::Line;
use crate::engine::LossScale;

/// What rounds to no finite number of half precision.
pub const HALF_LIMIT: f32 = 65520.0;

/// Steps without an overflow after which the scale is doubled.
const PATIENCE: u32 = 2000;
const SMALLEST: f32 = 1.0;
/// Far below where scaled losses would leave `f32`.
const LARGEST: f32 = (1_u64 << 40) as f32;

impl LossScale {
    /// Whether steps can have left it: a power of two within the limits, not yet due to be doubled.
    pub fn is_possible(&self) -> bool {
        let is_power_of_two = self.scale.log2().fract() == 0.0;
        (SMALLEST..=LARGEST).contains(&self.scale) && is_power_of_two && self.steps < PATIENCE
    }

    /// The scale for the next step, after one in which a gradient did or did not overflow.
    pub fn after(self, overflowed: bool) -> Self {
        if overflowed {
            return Self { scale: (self.scale / 2.0).max(SMALLEST), steps: 0 };
        }
        match self.steps + 1 {
            PATIENCE => Self { scale: (self.scale * 2.0).min(LARGEST), steps: 0 },
            steps => Self { steps, ..self },
        }
    }
}

/// Whether a task of a step found a value that was too large.
#[derive(Debug, Default)]
pub struct Overflow(AtomicBool);

impl Overflow {
    /// Looks for a value whose magnitude is not below the limit. Returns whether there is one.
    #[inline(always)]
    pub fn find(&self, lines: &[Line], limit: f32) -> bool {
        let within = |line: &Line| line.0.iter().fold(true, |within, value| within & (value.abs() < limit));
        let found = !lines.iter().fold(true, |all, line| all & within(line));
        if found {
            // Whoever reads it does so when all tasks are over.
            self.0.store(true, Ordering::Relaxed);
        }
        found
    }

    /// Whether one was found.
    pub fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether one was found since this was last asked.
    pub fn take(&mut self) -> bool {
        std::mem::take(self.0.get_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::panels::LANES;

    #[test]
    fn the_scale_is_halved_by_an_overflow_and_doubled_after_enough_steps_without() {
        let mut scale = LossScale { scale: 64.0, steps: 5 }.after(true);
        assert_eq!(scale, LossScale { scale: 32.0, steps: 0 });
        for step in 1..PATIENCE {
            scale = scale.after(false);
            assert_eq!(scale, LossScale { scale: 32.0, steps: step });
        }
        assert_eq!(scale.after(false), LossScale { scale: 64.0, steps: 0 });
        assert_eq!(LossScale { scale: SMALLEST, steps: 0 }.after(true).scale, SMALLEST);
        assert_eq!(LossScale { scale: LARGEST, steps: PATIENCE - 1 }.after(false).scale, LARGEST);
    }

    #[test]
    fn a_scale_is_possible_where_steps_can_have_left_it() {
        let scale = |scale, steps| LossScale { scale, steps }.is_possible();
        assert!(scale(SMALLEST, 0) && scale(LARGEST, PATIENCE - 1) && LossScale::default().is_possible());
        for impossible in [0.5, 0.0, -2.0, 3.0, 2.0 * LARGEST, f32::INFINITY, f32::NAN] {
            assert!(!scale(impossible, 0), "{impossible}");
        }
        assert!(!scale(2.0, PATIENCE) && !scale(2.0, u32::MAX));
    }

    #[test]
    fn what_is_too_large_or_no_number_is_found_once() {
        let mut overflow = Overflow::default();
        assert!(!overflow.find(&[Line([-65519.0; LANES])], HALF_LIMIT) && !overflow.take());
        for value in [65520.0, f32::NEG_INFINITY, f32::NAN] {
            let mut lines = [Line::ZERO; 3];
            lines[1].0[7] = value;
            assert!(overflow.find(&lines, HALF_LIMIT));
            assert!(overflow.take() && !overflow.take());
        }
    }
}
