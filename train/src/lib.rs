//! Trains a multilayer perceptron on the shards.
//!
//! [`run`] is the course of a training. What it trains on is in [`data`], the network in [`model`], what computes behind the [`Engine`]
//! trait ([`cpu`], [`cuda`]), how several networks become one in [`ensemble`], what a resumed training continues from in
//! [`state`], what is left of a finished one in `results`, and how it came to be in [`provenance`].

mod adam;
pub mod augment;
pub mod cpu;
mod cross_validate;
pub mod cuda;
pub mod data;
mod dropout;
pub mod engine;
pub mod ensemble;
mod error;
mod events;
mod existing;
mod identity;
mod journal;
mod loss_scale;
pub mod model;
mod options;
mod preview;
pub mod provenance;
pub mod random;
pub mod recipe;
mod results;
pub mod schedule;
mod show;
mod softmax;
pub mod state;
pub mod sweep;
mod validation;

use std::panic::resume_unwind;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use artifacts::{EpochMetrics, EpochTiming, ModelDescription, RunDirectory, Weights};
use files::{IoContext as _, Lock};
use terminal::{Console, counted};

use crate::cross_validate::Folds;
use crate::data::{Data, Order};
use crate::engine::{Engine, Validation};
use crate::ensemble::Ensemble;
pub use crate::error::Error;
use crate::existing::Existing;
use crate::journal::StagedJournal;
use crate::model::Mlp;
pub use crate::options::{EngineName, EngineOptions, HiddenSizes, Hyperparameters, LossName, Options, Precision};
use crate::state::Progress;

/// Trains on `options.dataset` and writes to `options.run`.
///
/// # Errors
/// See [`Error`]. A training that fails or is killed once the state of its first epoch is written leaves no `training.json`
/// and a state to resume from; before that, it leaves what an earlier one left.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let hyperparameters = &options.hyperparameters;
    let data = Data::open(&options.dataset)?;
    if let Some(path) = &options.preview_augmentation {
        if !options.no_verify {
            data.verify()?;
        }
        return preview::write(path, &data, hyperparameters, console);
    }
    let model = joined_description(&data, hyperparameters)?;
    let run = RunDirectory::new(options.run.as_deref().expect("a training has a folder"));
    if let Some(folder) = files_of_another_stage(run.path())? {
        return Err(Error::WithinDataset { folder });
    }
    let _lock = Lock::within(run.path())?;
    let data = Arc::new(data.with_label_noise(hyperparameters.plant_label_noise, hyperparameters.seed));
    let folds = options.cross_validate.map(|folds| Folds::deal(&data, folds, hyperparameters.seed)).transpose()?;
    let mut verification = Verification::begin(&data, !options.no_verify)?;
    let (mut ensemble, reason) = Ensemble::new(&options.engine, Arc::clone(&data), hyperparameters)?;
    reason.iter().for_each(|reason| console.say(format!("train: {reason}")));
    announce(options, &data, &model, ensemble.engine(), console);
    let mut progress = resumed_or_new(&run, options, &data, &mut ensemble, console)?;
    let mut orders = ensemble.orders(data.rows(), run.path())?;
    let mut journal = None;
    while !progress.is_over(hyperparameters) {
        progress.goes_on_by(ensemble.engine().decides());
        let trained = train_epoch(progress.epochs() + 1, &data, &mut orders, &mut ensemble, hyperparameters, console);
        verification.finish()?;
        let (metrics, timing) = trained?;
        data.check_unchanged()?;
        show::epoch(hyperparameters.epochs, &metrics, &timing, console);
        let states = ensemble.states()?;
        progress.add(metrics, &states, hyperparameters);
        let state = progress.stage(&run.training_state(), hyperparameters, data.digest, ensemble.model(), &states)?;
        let journal = match &mut journal {
            Some(journal) => journal,
            None => {
                let before = &progress.metrics[..progress.epochs() - 1];
                journal.insert(results::clear_with_cross_validation(&run, before, options.tensorboard)?)
            }
        };
        state.commit()?;
        journal.add(&metrics, &timing)?;
    }
    let network = results::kept(&progress, ensemble)?;
    let provenance =
        provenance::with_computed(provenance::of_any_engine(hyperparameters, data.digest), &progress.computed);
    let there = if journal.is_none() {
        verification.finish()?;
        results::find(&run, &progress, &network, &provenance)
    } else {
        None
    };
    let record = if let Some(record) = there {
        StagedJournal::after(&progress.metrics, &run, options.tensorboard)?.begin(&run)?.finish()?;
        // A cross-validation has an engine of its own.
        drop(network);
        record
    } else {
        let begun = journal.map_or_else(|| results::clear(&run, &progress.metrics, options.tensorboard, &[]), Ok)?;
        begun.finish()?;
        results::write(&run, &progress, network, &data, hyperparameters, provenance)?
    };
    show::result(&run, &progress, hyperparameters, &record, console);
    folds.map_or(Ok(()), |folds| cross_validate::run(&folds, &run, options, &data, &progress, console))
}

/// The network that the training will leave.
fn joined_description(data: &Data, hyperparameters: &Hyperparameters) -> Result<ModelDescription, Error> {
    let (height, width) = (data.dataset.height, data.dataset.width);
    if hyperparameters.test_time_shift as usize >= height.min(width) {
        return Err(Error::Shift { pixels: hyperparameters.test_time_shift, height, width });
    }
    let model = data.describe_joined(hyperparameters);
    if model.parameters() > Mlp::MOST_PARAMETERS {
        return Err(Error::TooLarge { parameters: model.parameters(), copies: hyperparameters.copies() });
    }
    Ok(model)
}

/// Says what is about to be trained, on what, by what.
fn announce(options: &Options, data: &Data, model: &ModelDescription, engine: &dyn Engine, console: &Console) {
    let hyperparameters = &options.hyperparameters;
    engine.warning().iter().for_each(|warning| console.warn(warning));
    show::configuration(options, data, engine, console);
    show::summary(model, hyperparameters, console);

    console.detail(format!("train: `{}` has SHA-256 {}", artifacts::Dataset::FILE_NAME, data.digest));
    for (network, seed) in (1..).zip(hyperparameters.seeds()).skip(1) {
        console.detail(format!("train: network {network} has the seed {seed}"));
    }
    for detail in engine.details() {
        console.detail(format!("train: {detail}"));
    }
    let steps = data.train.len().div_ceil(hyperparameters.batch_size);
    console.detail(format!("train: {steps} steps an epoch, {} in all", steps * hyperparameters.epochs));
}

/// Lists the engines of this machine; `cuda_libraries` is where CUDA's libraries may be.
pub fn engines(cuda_libraries: Option<&Path>, console: &Console) {
    show::engines(&cuda::Offer::find(cuda_libraries), console);
}

/// The comparison of the shards with their digests, beside the first epoch: hundreds of megabytes are not waited for.
/// Until it has ended well, no file is written and nothing of an earlier training removed.
struct Verification(Option<JoinHandle<Result<(), Error>>>);

impl Verification {
    fn begin(data: &Arc<Data>, is_wanted: bool) -> Result<Self, Error> {
        let data = Arc::clone(data);
        let thread = || thread::Builder::new().name("verification".to_owned()).spawn(move || data.verify());
        let thread = is_wanted.then(thread).transpose();
        Ok(Self(thread.map_err(|source| Error::Threads { threads: 1, source })?))
    }

    /// Waits for the result, the first time.
    fn finish(&mut self) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// The progress of the state in the run's folder where it is to be resumed and there is one, else none.
fn resumed_or_new(
    run: &RunDirectory,
    options: &Options,
    data: &Data,
    ensemble: &mut Ensemble,
    console: &Console,
) -> Result<Progress, Error> {
    let path = run.training_state();
    if options.resume && path.exists() {
        let (progress, states) = Progress::read(&path, &options.hyperparameters, data.digest, ensemble.model())?;
        console.say(format!("train: resuming after epoch {}", progress.epochs()));
        ensemble.set_states(states)?;
        return Ok(progress);
    }
    match Existing::find(run, &options.hyperparameters, data.digest) {
        Some(Existing { differences, .. }) if options.resume && !differences.is_empty() => {
            return Err(Error::OtherTraining { path: run.training_record(), differences });
        }
        Some(existing) => console.warn(what_goes(run, &existing)),
        None => {}
    }
    if options.resume {
        console.say(format!("train: no state to resume in `{}`: starting from the first epoch", run.path().display()));
    }
    Ok(Progress::default())
}

/// Says that a training begins where there is another one.
fn what_goes(run: &RunDirectory, existing: &Existing) -> String {
    let Existing { epochs, differences, has_state, .. } = existing;
    let folder = run.path().display();
    let epochs = epochs.map_or_else(|| "the state".to_owned(), |epochs| counted(epochs as u64, "epoch"));
    if !differences.is_empty() {
        format!("`{folder}` holds {epochs} of another training, which this one replaces ({})", differences.join("; "))
    } else if *has_state {
        format!(
            "`{folder}` holds {epochs} of this very training, which begins anew: --resume (make: RESUME=1) goes on with them"
        )
    } else {
        format!(
            "`{folder}` holds what came of {epochs} of this very training, but no state to go on from: it begins anew"
        )
    }
}

/// The folder around `run`, or itself, that another stage writes and replaces as a whole.
fn files_of_another_stage(run: &Path) -> Result<Option<PathBuf>, Error> {
    let absolute = path::absolute(run).context("find", run)?;
    let is_one = |folder: &&Path| {
        [artifacts::Dataset::FILE_NAME, artifacts::Source::FILE_NAME].iter().any(|record| folder.join(record).exists())
    };
    Ok(absolute.ancestors().find(is_one).map(Path::to_owned))
}

/// Trains an epoch, counted from 1, and validates.
fn train_epoch(
    epoch: usize,
    data: &Data,
    orders: &mut [Order<impl Iterator<Item = u32> + Clone>],
    ensemble: &mut Ensemble,
    hyperparameters: &Hyperparameters,
    console: &Console,
) -> Result<(EpochMetrics, EpochTiming), Error> {
    let start = Instant::now();
    let images = ensemble.images(data.train.len());
    let (train_loss, last_learning_rate) = ensemble.train_epoch(epoch, orders, console)?;
    let train_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let Validation { loss: valid_loss, accuracy: valid_accuracy } = ensemble.validate(Weights::Trained)?;
    let averaged = hyperparameters.ema_decay.map(|_| ensemble.validate(Weights::Averaged)).transpose()?;
    let valid_seconds = start.elapsed().as_secs_f64();
    if let Some(&loss) = [train_loss, valid_loss].iter().find(|loss| !loss.is_finite()) {
        return Err(ensemble.diverged(epoch, loss));
    }
    let metrics = EpochMetrics {
        epoch,
        learning_rate: last_learning_rate,
        train_loss,
        valid_loss,
        valid_accuracy,
        averaged_valid_loss: averaged.map(|averaged| averaged.loss),
        averaged_valid_accuracy: averaged.map(|averaged| averaged.accuracy),
    };
    Ok((metrics, EpochTiming { epoch, train_seconds, valid_seconds, images_per_second: images as f64 / train_seconds }))
}
