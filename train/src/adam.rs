//! AdamW: what a step's factors are, on any engine.

use crate::engine::Step;

pub const BETA_1: f64 = 0.9;
pub const BETA_2: f64 = 0.999;
pub const EPSILON: f32 = 1e-8;

/// A step of AdamW, with the factors that do not depend on the parameter.
///
/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; as PyTorch's `AdamW`, which without
/// weight decay is Adam (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy)]
pub struct Adam {
    /// Learning rate / (1 - β₁ᵗ).
    pub step_size: f32,
    /// 1 / √(1 - β₂ᵗ).
    pub deviation_scale: f32,
    /// 1 - learning rate · weight decay.
    pub keep: f32,
    /// What clipping leaves of the gradient.
    pub gradient_scale: f32,
    /// The share of the new parameters in their average.
    pub average_share: f32,
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
}
