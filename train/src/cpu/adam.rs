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
    /// What clipping leaves of the gradient.
    gradient_scale: f32,
    /// The share of the new parameters in their average.
    average_share: f32,
}

impl Adam {
    /// The factors of a step.
    ///
    /// The average's decay rises to `ema_decay` as (1 + t) / (10 + t), so that the first weights are soon forgotten.
    pub fn new(step: Step, weight_decay: f64, gradient_scale: f64, ema_decay: f64) -> Self {
        let steps = (step.index + 1) as f64;
        let decay = ema_decay.min((1.0 + steps) / (10.0 + steps));
        Self {
            step_size: (step.learning_rate / (1.0 - BETA_1.powf(steps))) as f32,
            deviation_scale: (1.0 / (1.0 - BETA_2.powf(steps)).sqrt()) as f32,
            keep: (1.0 - step.learning_rate * weight_decay) as f32,
            gradient_scale: gradient_scale as f32,
            average_share: (1.0 - decay) as f32,
        }
    }

    /// Moves the parameters, the moments, and the average where there is one.
    pub fn update(self, state: &mut State, gradients: &[f32]) {
        let State { parameters, exp_avg, exp_avg_sq, averaged } = state;
        let chunks = (
            parameters.par_chunks_mut(CHUNK),
            exp_avg.par_chunks_mut(CHUNK),
            exp_avg_sq.par_chunks_mut(CHUNK),
            gradients.par_chunks(CHUNK),
        );
        match averaged {
            None => chunks.into_par_iter().for_each(|(parameters, exp_avg, exp_avg_sq, gradients)| {
                self.step(parameters, exp_avg, exp_avg_sq, gradients);
            }),
            Some(averaged) => chunks.into_par_iter().zip(averaged.par_chunks_mut(CHUNK)).for_each(
                |((parameters, exp_avg, exp_avg_sq, gradients), averaged)| {
                    self.step(parameters, exp_avg, exp_avg_sq, gradients);
                    for (average, parameter) in averaged.iter_mut().zip(parameters) {
                        *average += self.average_share * (*parameter - *average);
                    }
                },
            ),
        }
    }

    fn step(self, parameters: &mut [f32], exp_avg: &mut [f32], exp_avg_sq: &mut [f32], gradients: &[f32]) {
        let moments = exp_avg.iter_mut().zip(exp_avg_sq);
        for ((parameter, (mean, square)), &gradient) in parameters.iter_mut().zip(moments).zip(gradients) {
            let gradient = gradient * self.gradient_scale;
            *mean += (1.0 - BETA_1) as f32 * (gradient - *mean);
            *square = BETA_2 as f32 * *square + (1.0 - BETA_2) as f32 * gradient * gradient;
            let deviation = square.sqrt() * self.deviation_scale + EPSILON;
            *parameter = *parameter * self.keep - self.step_size * *mean / deviation;
        }
    }
}

/// The Euclidean norm of the gradients, summed in one order.
pub fn norm(gradients: &[f32], partial_sums: &mut Vec<f64>) -> f64 {
    let chunks = gradients.par_chunks(CHUNK);
    chunks.map(|chunk| chunk.iter().map(|&value| f64::from(value).powi(2)).sum()).collect_into_vec(partial_sums);
    partial_sums.iter().sum::<f64>().sqrt()
}
