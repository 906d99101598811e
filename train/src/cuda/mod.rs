//! The CUDA engine.
//!
//! Libraries are found at run time ([`libraries`]); [`device`] is a thin layer over the driver. All memory is taken before
//! the first step ([`buffers`]), the data set in it where it fits, else [`feed`] brings batches beside the computation. A
//! step ([`network`]) is a few matrix products by cublasLt ([`products`]) and the kernels of `kernels.cu` ([`kernels`]); it
//! is recorded once for each number of images and replayed. The host writes a step's factors into memory that the device
//! reads by itself and hears of nothing until the epoch is over.
//!
//! The same seed, device model and libraries give the same bytes: no sum depends on the order in which threads run, and of
//! several algorithms for a product only those that give the same bytes compete for speed.

mod buffers;
pub mod device;
mod error;
mod feed;
mod functions;
mod kernels;
mod layout;
pub mod libraries;
mod network;
mod offer;
mod products;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use artifacts::Weights;
use ndarray::Array2;

use crate::adam::Adam;
use crate::data::Data;
use crate::dropout;
use crate::engine::{CUBLASLT, DEVICE, ENGINE, Engine, NVRTC, PRECISION, State, Step};
use crate::error::Error as TrainingError;
use crate::model::Mlp;
use crate::options::{Hyperparameters, Precision};
use buffers::Images;
use device::{Buffer, Context, Device, Graph, Pinned, Stream};
pub use error::Error;
use feed::Feed;
use libraries::Libraries;
use network::{Network, Plan};
pub use offer::{Line, Offer};
use products::{Choice, Product};

/// A machine on which the engine may run.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The compiler of kernels and the library of matrix products.
    pub libraries: Libraries,
    /// What the driver shows: at least one.
    pub devices: Vec<Device>,
}

impl Machine {
    /// This one, with `folder` searched for libraries after CUDA_HOME and before the system's folders.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn find(folder: Option<&Path>) -> Result<Self, Error> {
        let driver = libraries::driver()?;
        let devices = Device::all()?;
        if devices.is_empty() {
            return Err(Error::NoDevice);
        }
        let libraries = libraries::beside(&driver, folder)?;
        Ok(Self { libraries, devices })
    }

    /// The device of that number.
    ///
    /// # Errors
    /// When there is none, or it is too old.
    pub fn device(&self, ordinal: u32) -> Result<&Device, Error> {
        let there = self.devices.len();
        self.devices.get(ordinal as usize).ok_or(Error::NoSuchDevice { asked: ordinal, there })?.usable()
    }
}

/// Trains on a GPU.
#[derive(Debug)]
pub struct CudaEngine {
    // What holds memory of the device comes before what the memory belongs to.
    graphs: BTreeMap<usize, Recorded>,
    validations: HashMap<(bool, usize), Vec<Product>>,
    network: Network,
    feed: Option<Feed>,
    written: Pinned<kernels::Step>,
    stream: Rc<Stream>,
    data: Arc<Data>,
    model: Mlp,
    hyperparameters: Hyperparameters,
    precision: Precision,
    /// The versions of the compiler of kernels and the library of matrix products.
    versions: [String; 2],
    /// The seed of each network.
    seeds: Vec<u64>,
    /// The place of the network that is computed with.
    selected: usize,
    /// Counted from 1.
    epoch: u32,
    /// The batches of the epoch so far, as places in its order.
    batches: Vec<Range<usize>>,
    /// Steps that the host has written since the device counted from 0.
    steps: usize,
}

/// A step of a number of images, with the products that it consists of.
#[derive(Debug)]
struct Recorded {
    graph: Graph,
    plan: Plan,
}

impl CudaEngine {
    /// The precisions of its products, the default first.
    pub const PRECISIONS: [Precision; 3] = [Precision::Tf32, Precision::F32, Precision::Bf16];

    /// An engine whose networks have the first weights of their seeds, on a device of a machine with these libraries.
    ///
    /// # Errors
    /// When the device does not start or has too little memory.
    ///
    /// # Panics
    /// Where the precision is none of [its own](Self::PRECISIONS).
    pub fn new(
        device: &Device,
        libraries: &Libraries,
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
        precision: Precision,
    ) -> Result<Self, Error> {
        assert!(Self::PRECISIONS.contains(&precision), "a precision of this engine");
        let model = data.model(hyperparameters);
        let context = Context::of(device.clone())?;
        let stream = Rc::new(Stream::new(&context)?);
        let batch = hyperparameters.batch_size.min(data.train.len());
        let written = Pinned::new(&context, data.train.len().div_ceil(batch))?;
        let network = Network::new(&stream, libraries, &data, hyperparameters, precision, written.pointer())?;
        let feed = match network.is_resident() {
            true => None,
            false => Some(Feed::new(&stream, network.sizes.staged(), model.inputs())?),
        };
        let mut engine = Self {
            graphs: BTreeMap::new(),
            validations: HashMap::new(),
            network,
            feed,
            written,
            stream,
            hyperparameters: hyperparameters.clone(),
            precision,
            versions: libraries.found.each_ref().map(|library| library.version.clone()),
            seeds: hyperparameters.seeds().collect(),
            selected: 0,
            epoch: 0,
            batches: Vec::new(),
            steps: 0,
            data,
            model,
        };
        engine.network.fill_for_measurement()?;
        engine.record(batch, Choice::Fastest)?;
        engine.network.clear_after_measurement()?;
        for network in (0..engine.seeds.len()).rev() {
            engine.turn_to(network)?;
            let first = engine.model.kaiming_normal(engine.seeds[network]);
            engine.put(&State::first(first, hyperparameters.ema_decay.is_some()))?;
        }
        Ok(engine)
    }

    /// Records a step of so many images.
    fn record(&mut self, count: usize, choice: Choice) -> Result<(), Error> {
        let plan = self.network.plan(count, choice)?;
        self.stream.synchronize()?;
        let graph = self.stream.record(|| self.network.step(&plan))?;
        self.graphs.insert(count, Recorded { graph, plan });
        Ok(())
    }

    fn turn_to(&mut self, network: usize) -> Result<(), Error> {
        assert!(network < self.seeds.len(), "there are {} networks", self.seeds.len());
        if network != self.selected {
            self.network.exchange(self.selected, network)?;
            self.selected = network;
        }
        Ok(())
    }

    fn put(&mut self, state: &State) -> Result<(), Error> {
        let State { parameters, exp_avg, exp_avg_sq, averaged, .. } = state;
        let all = [parameters, exp_avg, exp_avg_sq].into_iter().chain(averaged);
        for (values, buffer) in all.zip(self.network.buffers.trained()) {
            self.stream.upload(&self.network.layout.fill(values), buffer, 0)?;
        }
        self.network.narrow()
    }

    fn get(&self, buffer: &Buffer) -> Result<Vec<f32>, Error> {
        let layout = &self.network.layout;
        Ok(layout.extract(&self.stream.download(buffer, layout.length)?))
    }

    fn launch(&mut self, rows: &[u32], step: Step) -> Result<(), Error> {
        let first = self.images();
        if self.steps == self.written.length() {
            self.stream.synchronize()?;
            self.stream.zero(&self.network.buffers.next)?;
            self.steps = 0;
        }
        if !self.graphs.contains_key(&rows.len()) {
            self.stream.synchronize()?;
            self.record(rows.len(), Choice::First)?;
        }
        let Hyperparameters { weight_decay, ema_decay, .. } = self.hyperparameters;
        let Adam { step_size, deviation_scale, keep, gradient_scale, average_share } =
            Adam::new(step, weight_decay, 1.0, ema_decay.unwrap_or_default());
        let written = kernels::Step {
            seed: self.seeds[self.selected],
            first: u32::try_from(first).expect("there are fewer than 2³² images"),
            epoch: self.epoch,
            number: dropout::words(step.index, 0),
            half: 0,
            step_size,
            deviation_scale,
            keep,
            average_share,
            gradient_scale,
        };
        let place = self.steps;
        let Self { stream, network, graphs, feed, written: steps, data, .. } = &mut *self;
        let graph = &graphs[&rows.len()].graph;
        let mut replay = |half: usize| {
            // SAFETY: the places are written in turn, and all steps are over where it begins anew. What a step uses is the
            // engine's, which waits for it at its end.
            unsafe {
                steps.write(place, kernels::Step { half: u32::from(half > 0), ..written });
                stream.replay(graph)
            }
        };
        match (feed, &network.buffers.images) {
            (Some(feed), Images::Staged(staging)) => feed.bring(data, rows, staging, stream, replay)?,
            _ => replay(0)?,
        }
        self.steps += 1;
        self.batches.push(first..first + rows.len());
        Ok(())
    }

    /// How many images of the epoch there were so far.
    fn images(&self) -> usize {
        self.batches.last().map_or(0, |batch| batch.end)
    }

    /// The logits of so many validation images from row `first` on: `[count, classes]`.
    fn predict(&mut self, first: usize, count: usize, weights: Weights) -> Result<Vec<f32>, Error> {
        let (images, first) = match &self.network.buffers.images {
            Images::Resident { valid, .. } => (valid.pointer(), first),
            Images::Staged(staging) => {
                let rows = (first..first + count).flat_map(|row| self.data.valid.image(row)).copied();
                self.stream.upload(&rows.collect::<Vec<u8>>(), staging, 0)?;
                (staging.pointer(), 0)
            }
        };
        let key = (weights == Weights::Averaged, count);
        if !self.validations.contains_key(&key) {
            let plan = self.network.plan_validation(weights, count)?;
            self.validations.insert(key, plan);
        }
        self.network.predict(&self.validations[&key], weights, images, first, count)
    }
}

impl Drop for CudaEngine {
    fn drop(&mut self) {
        // What failed was said before.
        let _failed = self.stream.synchronize();
        let _failed = self.feed.as_ref().map(Feed::finish);
    }
}

impl Engine for CudaEngine {
    fn description(&self) -> String {
        let Device { ordinal, name, .. } = &self.stream.context().device;
        format!("cuda ({name}, device {ordinal}), {} products", self.precision)
    }

    fn details(&self) -> Vec<String> {
        let place = if self.feed.is_none() { "on the device" } else { "streamed to the device" };
        let mut details = vec![format!("the images are {place}")];
        for (count, recorded) in &self.graphs {
            let epilogues = recorded.plan.epilogues();
            details.extend(epilogues.into_iter().map(|products| format!("products of {count} images, {products}")));
        }
        details
    }

    fn decides(&self) -> Vec<(&'static str, String)> {
        let Device { name, .. } = &self.stream.context().device;
        let [nvrtc, cublaslt] = self.versions.clone();
        vec![
            (ENGINE, "cuda".to_owned()),
            (DEVICE, name.clone()),
            (PRECISION, self.precision.to_string()),
            (NVRTC, nvrtc),
            (CUBLASLT, cublaslt),
        ]
    }

    fn select(&mut self, network: usize) -> Result<(), TrainingError> {
        Ok(self.turn_to(network)?)
    }

    fn begin_epoch(&mut self, epoch: u32, order: &[u32]) -> Result<(), TrainingError> {
        self.epoch = epoch;
        self.batches.clear();
        self.stream.upload(order, &self.network.buffers.order, 0)?;
        self.stream.zero(&self.network.buffers.next)?;
        self.steps = 0;
        Ok(())
    }

    fn train_step(&mut self, rows: &[u32], step: Step) -> Result<(), TrainingError> {
        Ok(self.launch(rows, step)?)
    }

    fn end_epoch(&mut self) -> Result<f64, TrainingError> {
        let losses: Vec<f32> = self.stream.download(&self.network.buffers.losses, self.images())?;
        let of_batch = |places: &Range<usize>| losses[places.clone()].iter().map(|&loss| f64::from(loss)).sum::<f64>();
        Ok(self.batches.iter().map(of_batch).sum::<f64>() / self.images() as f64)
    }

    fn validation_logits(&mut self, weights: Weights, rows: Range<usize>) -> Result<Array2<f32>, TrainingError> {
        let (count, end) = (rows.len(), rows.end);
        let mut logits = Vec::with_capacity(count * self.model.outputs());
        for first in rows.step_by(self.network.sizes.validated) {
            logits.extend(self.predict(first, self.network.sizes.validated.min(end - first), weights)?);
        }
        Ok(Array2::from_shape_vec((count, self.model.outputs()), logits).expect("each row has its logits"))
    }

    fn state(&mut self) -> Result<State, TrainingError> {
        let buffers = &self.network.buffers;
        Ok(State {
            parameters: self.get(&buffers.parameters)?,
            exp_avg: self.get(&buffers.exp_avg)?,
            exp_avg_sq: self.get(&buffers.exp_avg_sq)?,
            averaged: buffers.averaged.as_ref().map(|averaged| self.get(averaged)).transpose()?,
            loss_scale: None,
        })
    }

    fn set_state(&mut self, state: State) -> Result<(), TrainingError> {
        Ok(self.put(&state)?)
    }
}
