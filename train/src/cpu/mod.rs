//! The CPU engine.
//!
//! All buffers are allocated once ([`network`]), parameters where [`places`] says. A step is a few phases ([`phases`]),
//! each a list of tasks that a pool of threads shares ([`pool`]); matrices lie in panels ([`panels`]), so that whole
//! products ([`product`]) read all operands as they are; those of hidden layers leave out what a `ReLU` has made zero
//! ([`nonzeros`]). Every sum has one order: the result is the same for any number of threads, and that of a product for any
//! family of processors ([`kernel`]).

mod adam;
mod dropout;
pub mod grid;
pub mod kernel;
pub mod multiply;
mod network;
pub mod nonzeros;
mod overflow;
pub mod panels;
mod phases;
mod places;
pub mod pool;
pub mod product;

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use artifacts::Weights;
use ndarray::Array2;

use crate::data::Data;
use crate::engine::{Engine, PRECISION, State, Step};
use crate::error::Error;
use crate::options::{Hyperparameters, Precision};
use kernel::Processor;
use network::Networks;
use pool::Pool;

/// Trains on the processor, with matrix products in `f32` or in half precision.
#[derive(Debug)]
pub struct CpuEngine {
    networks: Networks,
    precision: Precision,
    /// Counted from 1.
    epoch: u32,
    /// How many images of the epoch there were so far.
    images: usize,
    /// Sum of their losses.
    loss_sum: f64,
}

impl CpuEngine {
    /// The precisions of its products, the default first.
    pub const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F16];

    /// An engine whose networks have the first weights of their seeds, for the fastest family that this processor belongs
    /// to.
    ///
    /// # Errors
    /// When the threads cannot be started.
    ///
    /// # Panics
    /// Where the precision is none of [its own](Self::PRECISIONS).
    pub fn new(
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
        threads: Option<u16>,
        precision: Precision,
    ) -> Result<Self, Error> {
        let fastest = Processor::available()[0];
        Self::on(fastest, data, hyperparameters, threads, precision)
    }

    /// An engine with code for this family, which must be among the [available](Processor::available) ones.
    ///
    /// # Errors
    /// When the threads cannot be started.
    ///
    /// # Panics
    /// Where the family is not available, or the precision none of [its own](Self::PRECISIONS).
    pub fn on(
        processor: Processor,
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
        threads: Option<u16>,
        precision: Precision,
    ) -> Result<Self, Error> {
        assert!(processor.is_available(), "this machine's processor is of the family");
        assert!(Self::PRECISIONS.contains(&precision), "a precision of this engine");
        let threads = threads.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from);
        let pool = Pool::new(threads).map_err(|source| Error::Threads { threads, source })?;
        let networks = Networks::new(data, hyperparameters, processor, pool, precision);
        Ok(Self { networks, precision, epoch: 0, images: 0, loss_sum: 0.0 })
    }
}

impl Engine for CpuEngine {
    fn description(&self) -> String {
        let (processor, threads) = self.networks.machine();
        let products = match self.precision {
            Precision::F32 => "",
            _ if processor.has_halves() => ", f16 products",
            _ => ", f16 products in software",
        };
        format!("cpu ({}), {threads} thread{}{products}", processor.name(), if threads == 1 { "" } else { "s" })
    }

    fn warning(&self) -> Option<String> {
        let (processor, _) = self.networks.machine();
        (self.precision == Precision::F16 && !processor.has_halves()).then(|| {
            "this processor has no AVX512-FP16: products in f16 are computed in software, to the same bytes, and take many \
             times as long as in f32"
                .to_owned()
        })
    }

    fn decides(&self) -> Vec<(&'static str, String)> {
        match self.precision {
            Precision::F32 => Vec::new(),
            other => vec![(PRECISION, other.to_string())],
        }
    }

    fn select(&mut self, network: usize) -> Result<(), Error> {
        self.networks.select(network);
        Ok(())
    }

    fn begin_epoch(&mut self, epoch: u32, _order: &[u32]) -> Result<(), Error> {
        (self.epoch, self.images, self.loss_sum) = (epoch, 0, 0.0);
        Ok(())
    }

    fn train_step(&mut self, rows: &[u32], step: Step) -> Result<(), Error> {
        self.images += rows.len();
        self.loss_sum += self.networks.train_step(rows, self.epoch, step);
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<f64, Error> {
        Ok(self.loss_sum / self.images as f64)
    }

    fn validation_logits(&mut self, weights: Weights, rows: Range<usize>) -> Result<Array2<f32>, Error> {
        let (batch, classes) = (self.networks.batch_size(), self.networks.classes());
        let mut logits = Array2::zeros((rows.len(), classes));
        let values = logits.as_slice_mut().expect("a new array is row-major");
        for (first, logits) in rows.step_by(batch).zip(values.chunks_mut(batch * classes)) {
            self.networks.predict(first, weights, logits);
        }
        Ok(logits)
    }

    fn state(&mut self) -> Result<State, Error> {
        Ok(self.networks.state())
    }

    fn set_state(&mut self, state: State) -> Result<(), Error> {
        self.networks.set_state(&state);
        Ok(())
    }
}
