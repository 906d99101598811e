//! The learning rate over the steps.

use std::f64::consts::PI;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::options::Hyperparameters;

/// A shape of the learning rate over the steps. Each begins with a rise over the `warmup` share of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The same at every step
    Constant,
    /// Falls to 0 along half a cosine (Loshchilov and Hutter 2017)
    Cosine,
    /// Rises along a cosine from a 25th, falls to a 250,000th (Smith and Topin 2018; as PyTorch's `OneCycleLR`)
    OneCycle,
}

/// PyTorch's `OneCycleLR`: `div_factor` and `final_div_factor`.
const ONE_CYCLE_START: f64 = 1.0 / 25.0;
const ONE_CYCLE_END: f64 = ONE_CYCLE_START / 1e4;

/// The learning rate of each step of a training.
#[derive(Debug, Clone, Copy)]
pub struct LearningRate {
    schedule: Schedule,
    highest: f64,
    /// Steps of the rise; a fraction of a step in one-cycle.
    warmup: f64,
    steps: u64,
}

impl LearningRate {
    /// For a training of `steps` steps.
    #[must_use]
    pub fn new(hyperparameters: &Hyperparameters, steps: u64) -> Self {
        let schedule = hyperparameters.schedule;
        let share = hyperparameters.warmup.unwrap_or(if schedule == Schedule::OneCycle { 0.3 } else { 0.0 });
        let warmup = share * steps as f64;
        let warmup = if schedule == Schedule::OneCycle { warmup } else { warmup.round() };
        Self { schedule, highest: hyperparameters.learning_rate, warmup, steps }
    }

    /// The learning rate of a step, counted from 0.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        let (step, last) = (step as f64, self.steps.saturating_sub(1) as f64);
        self.highest
            * match self.schedule {
                Schedule::OneCycle => {
                    // As in PyTorch, both phases end on a step: the peak on number `warmup - 1`.
                    let peak = self.warmup - 1.0;
                    if step <= peak {
                        cosine(ONE_CYCLE_START, 1.0, step / peak.max(f64::MIN_POSITIVE))
                    } else {
                        cosine(1.0, ONE_CYCLE_END, (step - peak) / (last - peak))
                    }
                }
                _ if step < self.warmup => (step + 1.0) / self.warmup,
                Schedule::Constant => 1.0,
                Schedule::Cosine => cosine(1.0, 0.0, (step - self.warmup) / (self.steps as f64 - self.warmup)),
            }
    }
}

/// From `start` to `end` along half a cosine, `progress` going from 0 to 1.
fn cosine(start: f64, end: f64, progress: f64) -> f64 {
    end + (start - end) / 2.0 * (1.0 + (PI * progress).cos())
}
