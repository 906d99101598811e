//! What an engine is: something that computes whole training steps.
//!
//! The trait is coarse so that an engine may fuse what it likes. Every engine must agree with the plain `f64` reference
//! in the tests.

use std::ops::Range;
use std::sync::Arc;

use artifacts::Weights;
use ndarray::Array2;

use crate::cpu::CpuEngine;
use crate::cuda::{self, CudaEngine, Machine};
use crate::data::Data;
use crate::error::Error;
pub use crate::loss_scale::LossScale;
use crate::options::{EngineName, EngineOptions, Hyperparameters};
pub use crate::validation::{VALIDATED, Validation};

/// Computes the steps of a training on its data: of one network, or of an ensemble of them, one at a time.
pub trait Engine {
    /// What computes, for the person: "cpu (AVX2), 2 threads".
    fn description(&self) -> String;

    /// How it computes, for the person who asks for details: a line each.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the person should know before a long training.
    fn warning(&self) -> Option<String> {
        None
    }

    /// The engine's settings that decide the bytes, by names of [`DECIDES`]; empty for the CPU in f32, whose bytes are the
    /// reference.
    fn decides(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Turns to one of the networks, counted from 0: what follows is about it. At first it is the first one. In the middle of
    /// an epoch, there is no turning.
    ///
    /// # Errors
    /// When a device fails.
    ///
    /// # Panics
    /// Where there is no such network.
    fn select(&mut self, network: usize) -> Result<(), Error>;

    /// Begins an epoch, counted from 1, that sees the training rows in this order: its steps take it piece by piece.
    ///
    /// # Errors
    /// When a device fails.
    fn begin_epoch(&mut self, epoch: u32, order: &[u32]) -> Result<(), Error>;

    /// One step of AdamW on the images in these rows, the next ones of the epoch's order: at least one, at most a batch.
    ///
    /// # Errors
    /// When a device fails.
    fn train_step(&mut self, rows: &[u32], step: Step) -> Result<(), Error>;

    /// Ends the epoch. Returns the mean loss of its images as they were trained, in nats.
    ///
    /// # Errors
    /// When a device fails.
    fn end_epoch(&mut self) -> Result<f64, Error>;

    /// The logits of the validation images in `rows`, `[rows, classes]`, with the trained or the averaged weights.
    ///
    /// # Errors
    /// When a device fails.
    ///
    /// # Panics
    /// Where the average is asked for and none is kept.
    fn validation_logits(&mut self, weights: Weights, rows: Range<usize>) -> Result<Array2<f32>, Error>;

    /// A copy of what a training consists of.
    ///
    /// # Errors
    /// When a device fails.
    fn state(&mut self) -> Result<State, Error>;

    /// Continues from `state`, whose buffers have the model's number of parameters.
    ///
    /// # Errors
    /// When a device fails.
    fn set_state(&mut self, state: State) -> Result<(), Error>;
}

/// What an engine may name as deciding a training's bytes.
pub const DECIDES: [&str; 5] = [ENGINE, DEVICE, PRECISION, NVRTC, CUBLASLT];
/// Which engine computes.
pub const ENGINE: &str = "engine";
/// The name of the device that it computes on.
pub const DEVICE: &str = "device";
/// The precision of its products.
pub const PRECISION: &str = "precision";
/// The version of the compiler of its kernels.
pub const NVRTC: &str = "nvrtc";
/// The version of the library of its products.
pub const CUBLASLT: &str = "cublaslt";

/// Which step it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Counted from 0 over the whole training.
    pub index: u64,
    /// The learning rate.
    pub learning_rate: f64,
}

/// The weights with Adam's moments; each buffer is laid out as [`Mlp`](crate::model::Mlp) says.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The weights and biases.
    pub parameters: Vec<f32>,
    /// Adam's running mean of the gradients.
    pub exp_avg: Vec<f32>,
    /// Adam's running mean of their squares.
    pub exp_avg_sq: Vec<f32>,
    /// The exponential moving average of the parameters, where one is kept.
    pub averaged: Option<Vec<f32>>,
    /// Where the engine scales the loss.
    pub loss_scale: Option<LossScale>,
}

impl State {
    /// At the first step of a training that keeps an average or none.
    #[must_use]
    pub fn first(parameters: Vec<f32>, keeps_average: bool) -> Self {
        let zeros = vec![0.0; parameters.len()];
        let averaged = keeps_average.then(|| parameters.clone());
        Self { parameters, exp_avg: zeros.clone(), exp_avg_sq: zeros, averaged, loss_scale: None }
    }

    /// The weights of that kind.
    ///
    /// # Panics
    /// Where the average is asked for and none is kept.
    #[must_use]
    pub fn weights(&self, weights: Weights) -> &[f32] {
        match weights {
            Weights::Trained => &self.parameters,
            Weights::Averaged => self.averaged.as_ref().expect("an average is kept"),
        }
    }
}

/// An engine, with why it was chosen where the choice was left open.
pub struct Chosen {
    /// The engine, whose networks have the first weights of their seeds.
    pub engine: Box<dyn Engine>,
    /// For the person.
    pub reason: Option<String>,
}

/// The engine that the options ask for.
///
/// # Errors
/// When the engine cannot start: one that was asked for, by its name or its device, is never replaced by another.
pub fn create(options: &EngineOptions, data: Arc<Data>, hyperparameters: &Hyperparameters) -> Result<Chosen, Error> {
    let machine = || {
        let machine = Machine::find(options.cuda_libraries.as_deref())?;
        let device = machine.device(options.device.unwrap_or_default())?.clone();
        Ok::<_, cuda::Error>((machine.libraries, device))
    };
    if let (EngineName::Cpu, Some(device)) = (options.engine, options.device) {
        return Err(Error::DeviceOfCpu { device });
    }
    let of_cpu_alone = options.precision.filter(|precision| !CudaEngine::PRECISIONS.contains(precision));
    let (gpu, because) = match (options.engine(), of_cpu_alone) {
        (EngineName::Cpu, _) => (None, None),
        (EngineName::Cuda, _) => (Some(machine()?), None),
        (EngineName::Auto, Some(precision)) => (None, Some(format!("no other has {precision} products"))),
        (EngineName::Auto, None) => match machine() {
            Ok((libraries, device)) => {
                let because = format!("this machine has {} (device {})", device.name, device.ordinal);
                (Some((libraries, device)), Some(because))
            }
            Err(why_not) => (None, Some(why_not.to_string())),
        },
    };
    let (name, precisions) = match gpu {
        Some(_) => ("CUDA", &CudaEngine::PRECISIONS[..]),
        None => ("CPU", &CpuEngine::PRECISIONS[..]),
    };
    let precision = options.precision.unwrap_or(precisions[0]);
    if !precisions.contains(&precision) {
        return Err(Error::Precision { engine: name, precision, because });
    }
    let engine: Box<dyn Engine> = match gpu {
        Some((libraries, device)) => Box::new(CudaEngine::new(&device, &libraries, data, hyperparameters, precision)?),
        None => Box::new(CpuEngine::new(data, hyperparameters, options.threads, precision)?),
    };
    let reason = because.map(|because| format!("engine {}, as {because}", name.to_lowercase()));
    Ok(Chosen { engine, reason })
}
