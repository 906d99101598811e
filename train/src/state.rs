//! What a training resumes from: `training-state.safetensors`, written after every epoch.

use std::path::Path;

use artifacts::tensors::{self, Form, Tensors};
use artifacts::{Digest, EpochMetrics};
use serde::{Deserialize, Serialize};

use crate::engine::{LossScale, State};
use crate::error::Error;
use crate::model::Mlp;
use crate::options::Hyperparameters;
use crate::schedule::Schedule;

/// How far a training has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Of the epochs that are over.
    pub metrics: Vec<EpochMetrics>,
    /// The best weights, where early stopping keeps them.
    pub kept: Option<Kept>,
}

/// The weights of an earlier epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// From 1.
    pub epoch: usize,
    /// The better ones of its weights, laid out as [`Mlp`] says.
    pub parameters: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    hyperparameters: Hyperparameters,
    dataset: Digest,
    metrics: Vec<EpochMetrics>,
    kept_epoch: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    loss_scale: Option<LossScale>,
}

const KIND: &str = "training state";
const FORM: Form = Form { kind: KIND, key: "training_state", schema_version: 3 };
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

    /// Adds an epoch with the state after it.
    pub fn add(&mut self, metrics: EpochMetrics, state: &State, hyperparameters: &Hyperparameters) {
        let (weights, loss, _) = metrics.best();
        let lowest = self.kept.as_ref().map_or(f64::INFINITY, |kept| self.metrics[kept.epoch - 1].best().1);
        if hyperparameters.patience.is_some() && loss < lowest {
            self.kept = Some(Kept { epoch: metrics.epoch, parameters: state.weights(weights).to_vec() });
        }
        self.metrics.push(metrics);
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

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(
        &self,
        path: &Path,
        hyperparameters: &Hyperparameters,
        dataset: Digest,
        model: &Mlp,
        state: &State,
    ) -> Result<(), Error> {
        let mut tensors: Tensors = model
            .tensors("", &state.parameters)
            .chain(model.tensors(EXP_AVG, &state.exp_avg))
            .chain(model.tensors(EXP_AVG_SQ, &state.exp_avg_sq))
            .collect();
        if let Some(averaged) = &state.averaged {
            tensors.extend(model.tensors(AVERAGED, averaged));
        }
        if let Some(kept) = &self.kept {
            tensors.extend(model.tensors(KEPT, &kept.parameters));
        }
        let description = Description {
            hyperparameters: hyperparameters.clone(),
            dataset,
            metrics: self.metrics.clone(),
            kept_epoch: self.kept.as_ref().map(|kept| kept.epoch),
            loss_scale: state.loss_scale,
        };
        tensors::write(path, &FORM, &description, &tensors)?;
        Ok(())
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
    ) -> Result<(Self, State), Error> {
        let (there, tensors, _) = tensors::read_written::<Description>(path, &FORM)?;
        let differences = differences(&there, hyperparameters, dataset);
        if !differences.is_empty() {
            return Err(Error::OtherTraining { path: path.to_owned(), differences });
        }
        let malformed = |reason| artifacts::Error::Malformed { path: path.to_owned(), kind: KIND, reason };
        let epochs = there.metrics.len();
        if epochs == 0 || there.kept_epoch.is_some_and(|kept| kept == 0 || kept > epochs) {
            let kept = there.kept_epoch;
            return Err(malformed(format!("it has {epochs} epochs and keeps the weights of number {kept:?}")).into());
        }
        let buffer = |prefix| {
            let buffer = model.buffer(prefix, &tensors).map_err(malformed)?;
            match buffer.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(malformed(format!("a tensor `{prefix}*` holds {value}"))),
                None => Ok(buffer),
            }
        };
        let averaged = hyperparameters.ema_decay.map(|_| buffer(AVERAGED)).transpose()?;
        let state = State {
            parameters: buffer("")?,
            exp_avg: buffer(EXP_AVG)?,
            exp_avg_sq: buffer(EXP_AVG_SQ)?,
            averaged,
            loss_scale: there.loss_scale,
        };
        let kept =
            there.kept_epoch.map(|epoch| Ok::<_, Error>(Kept { epoch, parameters: buffer(KEPT)? })).transpose()?;
        Ok((Self { metrics: there.metrics, kept }, state))
    }
}

/// What keeps a training from continuing `there`. More epochs are no difference where they change no learning rate.
fn differences(there: &Description, here: &Hyperparameters, dataset: Digest) -> Vec<String> {
    let mut differences = Vec::new();
    if there.dataset != dataset {
        differences.push(format!("dataset.json: {} there, {dataset} here", there.dataset));
    }
    let may_go_on = here.schedule == Schedule::Constant && here.warmup.unwrap_or_default() == 0.0;
    let here = here.by_name();
    for (name, there) in there.hyperparameters.by_name() {
        if there != here[&name] && !(name == "epochs" && may_go_on) {
            differences.push(format!("{name}: {there} there, {} here", here[&name]));
        }
    }
    differences
}
