//! What a training leaves in its run's folder once it is over: the checkpoint, the reference logits and the record.

use std::path::PathBuf;

use artifacts::{Checkpoint, EpochMetrics, Provenance, RunDirectory, TrainingRecord, logits, read_metrics};
use ndarray::s;

use crate::data::Data;
use crate::engine::Validation;
use crate::ensemble::{Ensemble, Joined};
use crate::error::Error;
use crate::journal::{Journal, StagedJournal};
use crate::options::Hyperparameters;
use crate::provenance;
use crate::state::Progress;

/// Removes what an earlier training left as its result, and begins the journal after the epochs before this training's next
/// one: until it is over, the folder has no `training.json`.
pub fn clear_with_cross_validation(
    run: &RunDirectory,
    before: &[EpochMetrics],
    tensorboard: bool,
) -> Result<Journal, Error> {
    clear(run, before, tensorboard, &[run.cross_validation(), run.out_of_sample_logits()])
}

/// Removes the results, the record first, and what is named `besides`: a cross-validation belongs to the training that is
/// resumed. Nothing goes before the journal is on the disk.
pub fn clear(
    run: &RunDirectory,
    over: &[EpochMetrics],
    tensorboard: bool,
    besides: &[PathBuf],
) -> Result<Journal, Error> {
    let journal = StagedJournal::after(over, run, tensorboard)?;
    let results = [run.training_record(), run.checkpoint(), run.reference_logits()];
    results.iter().chain(besides).try_for_each(|path| files::remove_file(path))?;
    journal.begin(run)
}

/// The network with the weights that are kept.
pub fn kept(progress: &Progress, mut ensemble: Ensemble) -> Result<Joined, Error> {
    let (weights, ..) = progress.kept_metrics().best();
    let kept: Vec<Vec<f32>> = match &progress.kept {
        Some(kept) => kept.parameters.clone(),
        None => ensemble.states()?.iter().map(|state| state.weights(weights).to_vec()).collect(),
    };
    Ok(ensemble.join(&kept))
}

/// The record of the results in the run's folder, where they are whole and of this network, whatever has judged it.
pub fn find(
    run: &RunDirectory,
    progress: &Progress,
    network: &Joined,
    provenance: &Provenance,
) -> Option<TrainingRecord> {
    let (record, _) = artifacts::read_json::<TrainingRecord>(&run.training_record()).ok()?;
    let (checkpoint, checkpoint_digest) = Checkpoint::read(&run.checkpoint()).ok()?;
    let (_, logits_digest) = logits::read(&run.reference_logits()).ok()?;
    let metrics_digest = files::sha256_file(&run.metrics()).ok()?;
    let is_whole = [record.checkpoint, record.reference_logits, record.metrics]
        == [checkpoint_digest, logits_digest, metrics_digest]
        && read_metrics(&run.metrics()).ok()? == progress.metrics;
    let is_of_it = provenance::is_same_but_for_judge(&record.provenance, provenance);
    (is_whole && is_of_it && checkpoint.layers == network.layers).then_some(record)
}

/// Writes the checkpoint, the reference logits and, last of all, the record that says that the training is over.
pub fn write(
    run: &RunDirectory,
    progress: &Progress,
    mut network: Joined,
    data: &Data,
    hyperparameters: &Hyperparameters,
    provenance: Provenance,
) -> Result<TrainingRecord, Error> {
    let metrics = progress.kept_metrics();
    let (kept_weights, ..) = metrics.best();
    let logits = network.validation_logits(0..data.valid.len())?;
    let Validation { loss: valid_loss, accuracy: valid_accuracy } =
        Validation::of(data, |rows| Ok(logits.slice(s![rows, ..]).to_owned()))?;
    let reference_logits = logits.slice_move(s![..data.valid.len().min(logits::REFERENCE_ROWS), ..]);
    let provenance = provenance::with_judge(provenance, network.engine().decides(), &progress.computed);
    let description = data.describe_joined(hyperparameters);
    let checkpoint = Checkpoint { model: description.clone(), provenance: provenance.clone(), layers: network.layers };
    let record = TrainingRecord {
        provenance,
        model: description,
        epochs: progress.epochs(),
        kept_epoch: metrics.epoch,
        kept_weights,
        valid_loss,
        valid_accuracy,
        checkpoint: checkpoint.write(&run.checkpoint())?,
        metrics: files::sha256_file(&run.metrics())?,
        reference_logits: logits::write(&run.reference_logits(), &reference_logits)?,
    };
    artifacts::write_json(&run.training_record(), &record)?;
    Ok(record)
}
