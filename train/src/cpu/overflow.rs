//! Which gradients are beyond half precision: what the scale of the loss follows.
//!
//! A step that is left out for an overflow counts all the same, in the schedule and in Adam's bias correction.

use std::sync::atomic::{AtomicBool, Ordering};

use super::panels::Line;

/// What rounds to no finite number of half precision.
pub const HALF_LIMIT: f32 = 65520.0;

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
