//! The update from gradients that were kept until all of them were there, as clipping needs.

use crate::adam::Adam;
use crate::cpu::adam::Parameters;
use crate::cpu::kernel::{Family, Phase};
use crate::cpu::panels::{LANES, Line, Shared};

/// Lines that a task sums up or updates where gradients are kept before they are used.
const LINES: usize = 64;

/// The sums of the gradients' squares, one for every [`LINES`] lines.
#[derive(Debug)]
pub struct SquareSums<'a> {
    pub gradients: &'a [Line],
    pub sums: Shared<'a, f64>,
}

impl SquareSums<'_> {
    /// How many sums there are of so many lines.
    pub const fn count(lines: usize) -> usize {
        lines.div_ceil(LINES)
    }
}

impl Phase for SquareSums<'_> {
    fn tasks(&self) -> usize {
        Self::count(self.gradients.len())
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let lines = &self.gradients[task * LINES..];
        let lines = &lines[..lines.len().min(LINES)];
        let mut sums = [0.0; LANES];
        for line in lines {
            for (sum, &value) in sums.iter_mut().zip(&line.0) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        // SAFETY: each task has its own sum.
        unsafe { *self.sums.part(task) = [sums.iter().sum::<f64>()] };
    }
}

/// The update of all parameters from gradients that were kept.
#[derive(Debug)]
pub struct Update<'a> {
    pub adam: Adam,
    pub parameters: Parameters<'a>,
    pub gradients: &'a [Line],
}

impl Phase for Update<'_> {
    fn tasks(&self) -> usize {
        SquareSums::count(self.gradients.len())
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let start = task * LINES;
        for (index, line) in self.gradients[start..].iter().take(LINES).enumerate() {
            // SAFETY: each line is in one task; a phase runs with the family of the processor that it is on.
            unsafe { self.adam.update::<F, 1>(&self.parameters, start + index, std::array::from_ref(line)) };
        }
    }
}
