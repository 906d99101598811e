//! AdamW in one pass over the parameters.

use rayon::prelude::*;

use crate::engine::{State, Step};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/// Parameters that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// A step of AdamW, with the factors that do not depend on the parameter.
///
/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; as PyTorch's `AdamW`, which without
/// weight decay is Adam (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// Learning rate / (1 - β₁ᵗ).
    step_size: f32,
    /// 1 / √(1 - β₂ᵗ).
    deviation_scale: f32,
    /// 1 - learning rate · weight decay.
    keep: f32,
}

impl Adam {
    /// The factors of a step.
    pub fn new(step: Step, weight_decay: f64) -> Self {
        let steps = (step.index + 1) as f64;
        Self {
            step_size: (step.learning_rate / (1.0 - BETA_1.powf(steps))) as f32,
            deviation_scale: (1.0 / (1.0 - BETA_2.powf(steps)).sqrt()) as f32,
            keep: (1.0 - step.learning_rate * weight_decay) as f32,
        }
    }

    /// Moves the parameters and the moments.
    pub fn update(self, state: &mut State, gradients: &[f32]) {
        let chunks = (
            state.parameters.par_chunks_mut(CHUNK),
            state.exp_avg.par_chunks_mut(CHUNK),
            state.exp_avg_sq.par_chunks_mut(CHUNK),
            gradients.par_chunks(CHUNK),
        );
        chunks.into_par_iter().for_each(|(parameters, exp_avg, exp_avg_sq, gradients)| {
            let moments = exp_avg.iter_mut().zip(exp_avg_sq);
            for ((parameter, (mean, square)), &gradient) in parameters.iter_mut().zip(moments).zip(gradients) {
                *mean += (1.0 - BETA_1) as f32 * (gradient - *mean);
                *square = BETA_2 as f32 * *square + (1.0 - BETA_2) as f32 * gradient * gradient;
                let deviation = square.sqrt() * self.deviation_scale + EPSILON;
                *parameter = *parameter * self.keep - self.step_size * *mean / deviation;
            }
        });
    }
}
