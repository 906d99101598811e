//! What a training resumes from: `training-state.safetensors`, written after every epoch.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use artifacts::EpochMetrics;
use artifacts::tensors::{self, Form, Tensors};
use files::{Digest, IoContext as _, StagedFile};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{LossScale, State};
use crate::error::Error;
use crate::identity::Identity;
use crate::model::Mlp;
use crate::options::Hyperparameters;
use crate::provenance::{Computed, Settings};

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The metrics of the epochs that are over.
    pub metrics: Vec<EpochMetrics>,
    /// The best weights, where early stopping keeps them.
    pub kept: Option<Kept>,
    /// What computed: more than one where another engine went on.
    pub computed: Vec<Computed>,
}

/// The weights of an earlier epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// From 1.
    pub epoch: usize,
    /// The better ones of its weights, of each network laid out as [`Mlp`] says.
    pub parameters: Vec<Vec<f32>>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    /// Of this tool: another one may compute otherwise.
    version: String,
    /// By name: another version may have others.
    hyperparameters: BTreeMap<String, Value>,
    dataset: Digest,
    metrics: Vec<EpochMetrics>,
    kept_epoch: Option<usize>,
    /// Each network's, where the engine scales the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    loss_scales: Vec<LossScale>,
    computed: Vec<Computed>,
}

impl Description {
    fn identity(&self) -> Identity {
        Identity {
            version: self.version.clone(),
            hyperparameters: self.hyperparameters.clone(),
            dataset: self.dataset,
            epochs: self.metrics.len(),
        }
    }
}

const KIND: &str = "training state";
const FORM: Form = Form { kind: KIND, key: "training_state", schema_version: 5 };
const TRAINED: &str = "";
const EXP_AVG: &str = "exp_avg.";
const EXP_AVG_SQ: &str = "exp_avg_sq.";
const AVERAGED: &str = "averaged.";
const KEPT: &str = "kept.";

impl Progress {
    /// How many epochs are over.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.metrics.len()
    }

    /// Adds an epoch with the state of each network after it.
    pub fn add(&mut self, metrics: EpochMetrics, states: &[State], hyperparameters: &Hyperparameters) {
        let (weights, loss, _) = metrics.best();
        let lowest = self.kept.as_ref().map_or(f64::INFINITY, |kept| self.metrics[kept.epoch - 1].best().1);
        if hyperparameters.patience.is_some() && loss < lowest {
            let parameters = states.iter().map(|state| state.weights(weights).to_vec()).collect();
            self.kept = Some(Kept { epoch: metrics.epoch, parameters });
        }
        self.metrics.push(metrics);
    }

    /// Notes what computes the next epoch.
    pub fn goes_on_by(&mut self, decides: Vec<(&'static str, String)>) {
        let next = Computed::new(self.epochs() + 1, decides);
        if self.computed.last().is_none_or(|last| last.by != next.by) {
            self.computed.push(next);
        }
    }

    /// Whether all epochs are over, or patience is.
    #[must_use]
    pub fn is_over(&self, hyperparameters: &Hyperparameters) -> bool {
        self.epochs() >= hyperparameters.epochs || self.stopped_early(hyperparameters)
    }

    /// Whether the validation loss has not fallen for as many epochs as patience allows.
    #[must_use]
    pub fn stopped_early(&self, hyperparameters: &Hyperparameters) -> bool {
        match (hyperparameters.patience, &self.kept) {
            (Some(patience), Some(kept)) => self.epochs() >= kept.epoch + patience,
            _ => false,
        }
    }

    /// The metrics of the epoch whose weights are kept: the best one with patience, else the last.
    ///
    /// # Panics
    /// When no epoch is over.
    #[must_use]
    pub fn kept_metrics(&self) -> EpochMetrics {
        let epoch = self.kept.as_ref().map_or(self.epochs(), |kept| kept.epoch);
        self.metrics[epoch - 1]
    }

    /// Writes the file, which is yet to take its place. Each of the states is of a network with the sizes of `model`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn stage(
        &self,
        path: &Path,
        hyperparameters: &Hyperparameters,
        dataset: Digest,
        model: &Mlp,
        states: &[State],
    ) -> Result<StagedFile, Error> {
        let mut tensors = Tensors::new();
        for (network, state) in states.iter().enumerate() {
            let kept = self.kept.as_ref().map(|kept| &kept.parameters[network]);
            let buffers = [
                (TRAINED, Some(&state.parameters)),
                (EXP_AVG, Some(&state.exp_avg)),
                (EXP_AVG_SQ, Some(&state.exp_avg_sq)),
                (AVERAGED, state.averaged.as_ref()),
                (KEPT, kept),
            ];
            for (kind, buffer) in buffers.into_iter().filter_map(|(kind, buffer)| Some((kind, buffer?))) {
                tensors.extend(model.tensors(&prefix(network, kind), buffer));
            }
        }
        let description = Description {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hyperparameters: hyperparameters.by_name(),
            dataset,
            metrics: self.metrics.clone(),
            kept_epoch: self.kept.as_ref().map(|kept| kept.epoch),
            loss_scales: states.iter().filter_map(|state| state.loss_scale).collect(),
            computed: self.computed.clone(),
        };
        Ok(tensors::stage(path, &FORM, &description, &tensors)?)
    }

    /// Which training's state the file is, and what computed it. No more than its header is read.
    ///
    /// # Errors
    /// When it cannot be read, or is no such state.
    pub(crate) fn peek(path: &Path) -> artifacts::Result<(Identity, Vec<Settings>)> {
        let there = tensors::peek::<Description>(path, &FORM)?;
        Ok((there.identity(), there.computed.into_iter().map(|computed| computed.by).collect()))
    }

    /// Reads the file, if it is a state of the very training that `hyperparameters` and `dataset` describe.
    ///
    /// # Errors
    /// When it cannot be read, or is of another training.
    pub fn read(
        path: &Path,
        hyperparameters: &Hyperparameters,
        dataset: Digest,
        model: &Mlp,
    ) -> Result<(Self, Vec<State>), Error> {
        Self::parse(&fs::read(path).context("read", path)?, path, hyperparameters, dataset, model)
    }

    /// What is in `bytes`, which are those of the file `path`.
    ///
    /// # Errors
    /// As [`Progress::read`].
    pub fn parse(
        bytes: &[u8],
        path: &Path,
        hyperparameters: &Hyperparameters,
        dataset: Digest,
        model: &Mlp,
    ) -> Result<(Self, Vec<State>), Error> {
        let (there, tensors) = tensors::parse::<Description>(bytes, path, &FORM)?;
        let differences = there.identity().differences(hyperparameters, dataset);
        if !differences.is_empty() {
            return Err(Error::OtherTraining { path: path.to_owned(), differences });
        }
        let malformed = |reason| artifacts::Error::Malformed { path: path.to_owned(), kind: KIND, reason };
        let epochs = there.metrics.len();
        if epochs == 0 || there.kept_epoch.is_some_and(|kept| kept == 0 || kept > epochs) {
            let kept = there.kept_epoch;
            return Err(malformed(format!("it has {epochs} epochs and keeps the weights of number {kept:?}")).into());
        }
        let buffer = |network, kind| {
            let prefix = prefix(network, kind);
            let buffer = model.buffer(&prefix, &tensors).map_err(malformed)?;
            match buffer.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(malformed(format!("a tensor `{prefix}*` holds {value}"))),
                None => Ok(buffer),
            }
        };
        let networks = 0..hyperparameters.ensemble as usize;
        if ![0, networks.len()].contains(&there.loss_scales.len()) {
            let (scales, networks) = (there.loss_scales.len(), networks.len());
            return Err(malformed(format!("it has {scales} loss scales for {networks} networks")).into());
        }
        if let Some(LossScale { scale, steps }) = there.loss_scales.iter().find(|scale| !scale.is_possible()) {
            return Err(malformed(format!("it has the loss scale {scale} since {steps} steps")).into());
        }
        let states = networks.clone().map(|network| {
            Ok::<_, Error>(State {
                parameters: buffer(network, TRAINED)?,
                exp_avg: buffer(network, EXP_AVG)?,
                exp_avg_sq: buffer(network, EXP_AVG_SQ)?,
                averaged: hyperparameters.ema_decay.map(|_| buffer(network, AVERAGED)).transpose()?,
                loss_scale: there.loss_scales.get(network).copied(),
            })
        });
        let states = states.collect::<Result<_, _>>()?;
        let kept = there.kept_epoch.map(|epoch| {
            let parameters = networks.map(|network| buffer(network, KEPT)).collect::<Result<_, _>>()?;
            Ok::<_, Error>(Kept { epoch, parameters })
        });
        Ok((Self { metrics: there.metrics, kept: kept.transpose()?, computed: there.computed }, states))
    }
}

/// What stands before a tensor's name: for the first network, which is often the only one, its kind alone.
fn prefix(network: usize, kind: &str) -> String {
    if network == 0 { kind.to_owned() } else { format!("network{}.{kind}", network + 1) }
}
