//! AdamW, wherever a gradient has just been computed.

use super::kernel::{Family, prefetch};
use super::panels::{HalfLine, Line, Shared};
use crate::adam::{Adam, BETA_1, BETA_2, EPSILON};

/// The parameters with all that goes along with them.
#[derive(Debug)]
pub struct Parameters<'a> {
    pub values: Shared<'a, Line>,
    pub exp_avg: Shared<'a, Line>,
    pub exp_avg_sq: Shared<'a, Line>,
    pub averaged: Option<Shared<'a, Line>>,
    /// Copies of the values for products in half precision.
    pub halves: Option<Shared<'a, HalfLine>>,
}

impl Parameters<'_> {
    /// Asks for the lines that an update will read soon.
    #[inline(always)]
    pub fn prefetch(&self, start: usize, lines: usize) {
        let buffers = [&self.values, &self.exp_avg, &self.exp_avg_sq].into_iter().chain(&self.averaged);
        for buffer in buffers {
            for line in start..start + lines {
                prefetch(buffer.place(line));
            }
        }
    }
}

impl Adam {
    /// Moves so many lines of the parameters, their moments, and their average and copies where there are such.
    ///
    /// # Safety
    /// Nobody else uses these lines of the parameters, and the processor is of the family.
    #[inline(always)]
    pub unsafe fn update<F: Family, const N: usize>(
        self,
        parameters: &Parameters<'_>,
        start: usize,
        gradients: &[Line; N],
    ) {
        // SAFETY: the caller's.
        let (values, exp_avg, exp_avg_sq) = unsafe {
            (
                parameters.values.part::<N>(start),
                parameters.exp_avg.part::<N>(start),
                parameters.exp_avg_sq.part::<N>(start),
            )
        };
        for index in 0..N {
            self.step(&mut values[index], &mut exp_avg[index], &mut exp_avg_sq[index], &gradients[index]);
        }
        if let Some(halves) = &parameters.halves {
            // SAFETY: the caller's.
            unsafe { *halves.part(start) = F::narrowed(values) };
        }
        if let Some(averaged) = &parameters.averaged {
            // SAFETY: the caller's.
            let averaged = unsafe { averaged.part::<N>(start) };
            for (averaged, values) in averaged.iter_mut().zip(values) {
                for (average, value) in averaged.0.iter_mut().zip(values.0) {
                    *average += self.average_share * (value - *average);
                }
            }
        }
    }

    #[inline(always)]
    fn step(self, values: &mut Line, exp_avg: &mut Line, exp_avg_sq: &mut Line, gradients: &Line) {
        // What is left of a moment whose gradients have stopped would end among the subnormal numbers, with which
        // processors are slow.
        let flushed = |value: f32| if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value };
        let moments = exp_avg.0.iter_mut().zip(&mut exp_avg_sq.0);
        for ((value, (mean, square)), &gradient) in values.0.iter_mut().zip(moments).zip(&gradients.0) {
            let gradient = gradient * self.gradient_scale;
            *mean = flushed(*mean + (1.0 - BETA_1) as f32 * (gradient - *mean));
            *square = flushed(BETA_2 as f32 * *square + (1.0 - BETA_2) as f32 * gradient * gradient);
            let deviation = square.sqrt() * self.deviation_scale + EPSILON;
            *value = *value * self.keep - self.step_size * *mean / deviation;
        }
    }
}
