//! The training that a run's folder holds already: what another one there would go on with, or replace.

use artifacts::{Dataset, Provenance, RunDirectory, TrainingRecord};
use files::Digest;

use crate::identity::Identity;
use crate::options::{EngineOptions, Hyperparameters};
use crate::provenance::{self, Settings};
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
    settings: Vec<Settings>,
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
                    settings: Vec::new(),
                });
            }
            Err(_) => (false, of_record(run)),
        };
        let (identity, settings) = found?;
        let differences = identity.differences(hyperparameters, dataset);
        Some(Self { epochs: Some(identity.epochs), differences, has_state, settings })
    }

    /// Whether all of it was computed as `asked`.
    pub fn is_computed_as(&self, asked: &EngineOptions) -> bool {
        provenance::are_as_asked(&self.settings, asked)
    }
}

/// The training of the record in the run's folder, with what computed it.
fn of_record(run: &RunDirectory) -> Option<(Identity, Vec<Settings>)> {
    let (record, _) = artifacts::read_json::<TrainingRecord>(&run.training_record()).ok()?;
    let settings = provenance::settings_of(&record.provenance);
    let Provenance { version, seed, inputs, arguments: mut hyperparameters, .. } = record.provenance;
    provenance::remove_computed(&mut hyperparameters);
    hyperparameters.insert("seed".to_owned(), seed.into());
    let dataset = *inputs.get(Dataset::FILE_NAME)?;
    Some((Identity { version, hyperparameters, dataset, epochs: record.epochs }, settings))
}
