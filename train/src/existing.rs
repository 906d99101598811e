//! The training that a run's folder holds already: what another one there would go on with, or replace.

use std::collections::{BTreeMap, BTreeSet};

use artifacts::{Dataset, Provenance, RunDirectory, TrainingRecord};
use files::Digest;
use serde_json::Value;

use crate::options::{EngineOptions, Hyperparameters};
use crate::provenance::{self, Settings};
use crate::schedule::Schedule;
use crate::state::Progress;

/// A training that a run's folder holds, by its state or, where there is none that can be read, by its record.
#[derive(Debug)]
pub(crate) struct Existing {
    /// How many epochs are over; unknown where another version of the tool wrote the state.
    pub epochs: Option<usize>,
    /// How it differs from the one that is asked for, whatever computes: each as `name: there, here`.
    pub differences: Vec<String>,
    /// Whether there is a state to go on from.
    pub has_state: bool,
    /// For each engine that computed, the settings that decide the bytes.
    computed: Vec<Settings>,
}

/// Which training it is, and how far it has come.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of this tool: another one may compute otherwise.
    pub version: String,
    /// By name: another version may have others.
    pub hyperparameters: BTreeMap<String, Value>,
    /// The digest of `dataset.json`.
    pub dataset: Digest,
    /// How many epochs are over.
    pub epochs: usize,
}

impl Existing {
    /// What there is in `run`, against the training that `hyperparameters` and `dataset` describe.
    pub fn find(run: &RunDirectory, hyperparameters: &Hyperparameters, dataset: Digest) -> Option<Self> {
        let (has_state, found) = match Progress::peek(&run.training_state()) {
            Ok(found) => (true, Some(found)),
            Err(error @ artifacts::Error::SchemaVersion { .. }) => {
                return Some(Self {
                    epochs: None,
                    differences: vec![error.to_string()],
                    has_state: true,
                    computed: Vec::new(),
                });
            }
            Err(_) => (false, of_record(run)),
        };
        let (identity, computed) = found?;
        let differences = identity.differences(hyperparameters, dataset);
        Some(Self { epochs: Some(identity.epochs), differences, has_state, computed })
    }

    /// Whether all of it was computed as `asked`.
    pub fn is_computed_as(&self, asked: &EngineOptions) -> bool {
        provenance::is_computed_as(&self.computed, asked)
    }
}

/// The training of the record in the run's folder, with what computed it.
fn of_record(run: &RunDirectory) -> Option<(Identity, Vec<Settings>)> {
    let (record, _) = artifacts::read_json::<TrainingRecord>(&run.training_record()).ok()?;
    let computed = provenance::computed(&record.provenance);
    let Provenance { version, seed, inputs, arguments: mut hyperparameters, .. } = record.provenance;
    provenance::remove_computed(&mut hyperparameters);
    hyperparameters.insert("seed".to_owned(), seed.into());
    let dataset = *inputs.get(Dataset::FILE_NAME)?;
    Some((Identity { version, hyperparameters, dataset, epochs: record.epochs }, computed))
}

impl Identity {
    /// What keeps the training that `here` and `dataset` describe from going on with this one. Another number of epochs is no
    /// difference where it changes no learning rate, and they are not over already.
    pub fn differences(&self, here: &Hyperparameters, dataset: Digest) -> Vec<String> {
        let mut differences = Vec::new();
        if self.version != env!("CARGO_PKG_VERSION") {
            differences.push(format!("version: {} there, {} here", self.version, env!("CARGO_PKG_VERSION")));
        }
        if self.dataset != dataset {
            differences.push(format!("dataset.json: {} there, {dataset} here", self.dataset));
        }
        let is_constant = here.schedule == Schedule::Constant && here.warmup.unwrap_or_default() == 0.0;
        let may_go_on = is_constant && here.epochs >= self.epochs;
        let (there, here) = (&self.hyperparameters, here.by_name());
        let names: BTreeSet<&String> = there.keys().chain(here.keys()).collect();
        let said = |value: Option<&Value>| value.map_or_else(|| "unknown".to_owned(), ToString::to_string);
        for name in names {
            let (there, here) = (there.get(name), here.get(name));
            if there != here && !(name == "epochs" && may_go_on) {
                differences.push(format!("{name}: {} there, {} here", said(there), said(here)));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        hyperparameters: Hyperparameters,
    }

    #[test]
    fn a_training_of_another_version_is_another_one() {
        let here = Arguments::parse_from(["train"]).hyperparameters;
        let dataset = Digest::of(b"");
        let mut hyperparameters = here.by_name();
        hyperparameters.remove("clip_norm");
        hyperparameters.insert("momentum".to_owned(), 0.9.into());
        let there = Identity { version: "0.0.9".to_owned(), hyperparameters, dataset, epochs: 0 };
        let found = there.differences(&here, dataset);
        assert_eq!(found[0], format!("version: 0.0.9 there, {} here", env!("CARGO_PKG_VERSION")));
        assert_eq!(found[1..], ["clip_norm: unknown there, null here", "momentum: 0.9 there, unknown here"]);
    }
}
