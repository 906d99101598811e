//! The networks of a training, and the one that they become.
//!
//! There is one, or an ensemble of them, which differ by their seeds and classify by the mean of their logits
//! (Lakshminarayanan, Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles",
//! 2017). That mean is the output of a perceptron too, whose hidden layers are theirs side by side. So is the mean over an
//! image and the image shifted, as to shift the image is to shift the first weights the other way. The network that a
//! training leaves is that perceptron: whatever reads it knows nothing of an ensemble.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use artifacts::{LinearLayer, Weights};
use ndarray::Array2;
use terminal::Console;

use crate::data::{Data, Order};
use crate::engine::{self, Chosen, Engine, PRECISION, State, Step, Validation};
use crate::error::Error;
use crate::model::Mlp;
use crate::options::{EngineOptions, Hyperparameters, Precision};
use crate::schedule::LearningRate;

/// The networks in training.
pub struct Ensemble {
    data: Arc<Data>,
    /// The sizes of each network.
    model: Mlp,
    hyperparameters: Hyperparameters,
    engine: Box<dyn Engine>,
}

impl Ensemble {
    /// Networks with the first weights of their seeds; and why it is that engine, where the choice was left open.
    ///
    /// # Errors
    /// When the engine cannot start.
    pub fn new(
        options: &EngineOptions,
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
    ) -> Result<(Self, Option<String>), Error> {
        let model = data.model(hyperparameters);
        let Chosen { engine, reason } = engine::create(options, Arc::clone(&data), hyperparameters)?;
        Ok((Self { data, model, hyperparameters: hyperparameters.clone(), engine }, reason))
    }

    /// What computes.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    /// The sizes of each network.
    #[must_use]
    pub fn model(&self) -> &Mlp {
        &self.model
    }

    /// How many images the networks see in an epoch of `rows`, all together.
    #[must_use]
    pub fn images(&self, rows: usize) -> usize {
        rows * self.hyperparameters.ensemble as usize
    }

    /// The order in which each network sees `rows`.
    ///
    /// # Errors
    /// When no file can be made in `folder`.
    pub fn orders<R: Iterator<Item = u32> + Clone>(&self, rows: R, folder: &Path) -> Result<Vec<Order<R>>, Error> {
        self.hyperparameters.seeds().map(|seed| Order::new(rows.clone(), seed, folder)).collect()
    }

    /// Trains every network for an epoch, counted from 1, on the images of its order. Returns the mean of their losses and
    /// the last step's learning rate.
    ///
    /// # Errors
    /// When a device fails.
    pub fn train_epoch<R: Iterator<Item = u32> + Clone>(
        &mut self,
        epoch: usize,
        orders: &mut [Order<R>],
        console: &Console,
    ) -> Result<(f64, f64), Error> {
        let count = orders.len();
        let (mut losses, mut last_learning_rate) = (0.0, 0.0);
        for (network, order) in orders.iter_mut().enumerate() {
            let which = if count > 1 { format!(", network {} of {count}", network + 1) } else { String::new() };
            self.engine.select(network)?;
            let (loss, learning_rate) = self.train_selected(epoch, order, &format!("epoch {epoch}{which}"), console)?;
            losses += loss;
            last_learning_rate = learning_rate;
        }
        Ok((losses / count as f64, last_learning_rate))
    }

    fn train_selected<R: Iterator<Item = u32> + Clone>(
        &mut self,
        epoch: usize,
        order: &mut Order<R>,
        label: &str,
        console: &Console,
    ) -> Result<(f64, f64), Error> {
        let Self { hyperparameters, engine, .. } = self;
        let number = u32::try_from(epoch).expect("there are fewer than 2³² epochs");
        let rows_in_order = order.of_epoch(number);
        let images = rows_in_order.len();
        let steps_an_epoch = images.div_ceil(hyperparameters.batch_size) as u64;
        let learning_rate = LearningRate::new(hyperparameters, steps_an_epoch * hyperparameters.epochs as u64);
        let progress = console.progress(images as u64, "images").labelled(label);

        engine.begin_epoch(number, rows_in_order)?;
        let mut last_learning_rate = 0.0;
        for (index, rows) in rows_in_order.chunks(hyperparameters.batch_size).enumerate() {
            let index = (epoch as u64 - 1) * steps_an_epoch + index as u64;
            last_learning_rate = learning_rate.at(index);
            progress.advance(rows.len() as u64);
            engine.train_step(rows, Step { index, learning_rate: last_learning_rate })?;
        }
        // A device still computes, and need not wait for this between two epochs.
        if epoch < hyperparameters.epochs {
            order.draw(number + 1);
        }
        Ok((engine.end_epoch()?, last_learning_rate))
    }

    /// Judges the validation split by the mean of the networks' logits.
    ///
    /// # Errors
    /// When a device fails.
    pub fn validate(&mut self, weights: Weights) -> Result<Validation, Error> {
        let Self { data, hyperparameters, engine, .. } = self;
        Validation::of(data, |rows| {
            mean((0..hyperparameters.ensemble as usize).map(|network| {
                engine.select(network)?;
                engine.validation_logits(weights, rows.clone())
            }))
        })
    }

    /// The error of a training whose loss is no number any more.
    #[must_use]
    pub fn diverged(&self, epoch: usize, loss: f64) -> Error {
        let in_half = self.engine.decides().contains(&(PRECISION, Precision::F16.to_string()));
        Error::Diverged { epoch, loss, in_half }
    }

    /// A copy of what the training of each network consists of.
    ///
    /// # Errors
    /// When a device fails.
    pub fn states(&mut self) -> Result<Vec<State>, Error> {
        let networks = 0..self.hyperparameters.ensemble as usize;
        let state = |network| {
            self.engine.select(network)?;
            self.engine.state()
        };
        networks.map(state).collect()
    }

    /// Continues from there.
    ///
    /// # Errors
    /// When a device fails.
    pub fn set_states(&mut self, states: Vec<State>) -> Result<(), Error> {
        states.into_iter().enumerate().try_for_each(|(network, state)| {
            self.engine.select(network)?;
            self.engine.set_state(state)
        })
    }

    /// Begins anew from the first weights of the networks' seeds.
    ///
    /// # Errors
    /// When a device fails.
    pub fn begin_anew(&mut self) -> Result<(), Error> {
        let Self { model, hyperparameters, engine, .. } = self;
        hyperparameters.seeds().enumerate().try_for_each(|(network, seed)| {
            engine.select(network)?;
            engine.set_state(State::first(model.kaiming_normal(seed), hyperparameters.ema_decay.is_some()))
        })
    }

    /// The network that these parameters, one buffer a network, become.
    #[must_use]
    pub fn join(self, parameters: &[Vec<f32>]) -> Joined {
        let Self { data, model, hyperparameters, .. } = &self;
        let (size, outside) = ([data.dataset.height, data.dataset.width], data.standardisation().of(0.0));
        let mut networks = Vec::new();
        for network in parameters {
            networks.extend(hyperparameters.shifts().map(|shift| model.shifted(network, size, shift, outside)));
        }
        let layers = model.join(&networks);
        Joined { layers, networks, ensemble: self }
    }
}

/// The network that a training leaves.
pub struct Joined {
    /// Its layers, first to last.
    pub layers: Vec<LinearLayer>,
    networks: Vec<Vec<f32>>,
    /// Its engine computes with one of the networks at a time, in the place of the one that it had selected.
    ensemble: Ensemble,
}

impl Joined {
    /// What computes.
    #[must_use]
    pub fn engine(&self) -> &dyn Engine {
        self.ensemble.engine()
    }

    /// What it was made of, to [begin anew](Ensemble::begin_anew).
    #[must_use]
    pub fn into_ensemble(self) -> Ensemble {
        self.ensemble
    }

    /// The logits of the validation images in `rows`, `[rows, classes]`: the mean of those of the networks. Each network
    /// takes its place in the engine for it, so ask once for all rows.
    ///
    /// # Errors
    /// When a device fails.
    pub fn validation_logits(&mut self, rows: Range<usize>) -> Result<Array2<f32>, Error> {
        let Self { networks, ensemble: Ensemble { engine, hyperparameters, .. }, .. } = self;
        let keeps_average = hyperparameters.ema_decay.is_some();
        let logits = networks.iter().map(|network| {
            engine.set_state(State::first(network.clone(), keeps_average))?;
            engine.validation_logits(Weights::Trained, rows.clone())
        });
        mean(logits)
    }
}

fn mean(mut logits: impl ExactSizeIterator<Item = Result<Array2<f32>, Error>>) -> Result<Array2<f32>, Error> {
    let count = logits.len() as f32;
    let first = logits.next().expect("there is a network")?;
    let sum = logits.try_fold(first, |sum, logits| Ok::<_, Error>(sum + &logits?))?;
    Ok(sum / count)
}
