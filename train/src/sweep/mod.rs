//! Trains variants of a recipe, each once a seed, and compares them on validation.
//!
//! The test split is never opened: what is chosen here may be judged on it afterwards, once.

mod file;
mod outcome;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::{Dataset, Provenance, RunDirectory, TrainingRecord};
use files::Digest;
use terminal::Console;

use self::file::Sweep;
use self::outcome::Outcome;
use crate::error::Error;
use crate::existing::Existing;
use crate::options::Options;
use crate::{cross_validate, provenance};

/// What `train sweep` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct SweepOptions {
    /// The sweep: dataset, runs, seeds, flags, and `[[variant]]` tables or a `[grid]`
    #[arg(value_name = "FILE.toml")]
    pub file: PathBuf,

    /// Threads of the CPU engine; the result does not depend on it [default: one a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Trains what is not trained yet, in the order of the file, and shows the comparison.
///
/// A training that was cut short goes on; one that is finished with the same flags and data is taken as it is. One of other
/// flags, data, means or another version in its place is begun anew, and what there was is lost: a line says why. Where one
/// diverges, the others are still trained.
///
/// # Errors
/// When the file is not a valid sweep, a variant's flags are refused, a data set changes meanwhile, or a training fails.
pub fn run(options: &SweepOptions, console: &Console) -> Result<(), Error> {
    let sweep = Sweep::read(&options.file)?;
    let datasets: BTreeMap<PathBuf, Digest> = sweep
        .seeds
        .iter()
        .map(|&seed| {
            let dataset = sweep.dataset_of(seed);
            let (_, digest) = Dataset::read(&dataset)?;
            Ok((dataset, digest))
        })
        .collect::<Result<_, Error>>()?;
    let variants = sweep.all_variants();
    let trainings: Vec<_> = variants.iter().map(|variant| sweep.trainings(variant)).collect::<Result<_, _>>()?;

    let (mut outcomes, mut diverged, mut diverged_in_half) = (Vec::new(), Vec::new(), false);
    let (mut number, count) = (0, variants.len() * sweep.seeds.len());
    for (variant, trainings) in variants.iter().zip(trainings) {
        let (mut seeds, mut records) = (Vec::new(), Vec::new());
        for mut training in trainings {
            number += 1;
            training.engine.threads = options.threads.or(training.engine.threads);
            let (dataset, seed) = (datasets[&training.dataset], training.hyperparameters.seed);
            let which = format!("{number}/{count} {}, seed {seed}", variant.name);
            match finished_or_trained(&mut training, dataset, &which, console) {
                Err(error @ Error::Diverged { in_half, .. }) => {
                    diverged_in_half |= in_half;
                    let which = format!("variant `{}`, seed {seed}: {error}", variant.name);
                    console.warn(&which);
                    diverged.push(which);
                }
                trained => {
                    records.push(trained?);
                    seeds.push(seed);
                }
            }
        }
        if !records.is_empty() {
            let outcome = Outcome::of(&variant.name, seeds, &records, outcomes.first());
            outcomes.push(outcome);
        }
    }
    outcome::show(&outcomes, console);
    if diverged.is_empty() {
        Ok(())
    } else {
        Err(Error::SomeDiverged { trainings: diverged, in_half: diverged_in_half })
    }
}

/// The record of a training; `which` it is, is said where it is trained.
fn finished_or_trained(
    training: &mut Options,
    dataset: Digest,
    which: &str,
    console: &Console,
) -> Result<TrainingRecord, Error> {
    let folder = training.run.clone().expect("a sweep gives each training a folder");
    let run = RunDirectory::new(&folder);
    let expected = provenance::of_any_engine(&training.hyperparameters, dataset);
    let there = artifacts::read_json::<TrainingRecord>(&run.training_record()).ok().map(|(record, _)| record);
    let is_done = |record: &TrainingRecord| {
        provenance::is_of_as_asked(&record.provenance, &expected, &training.engine)
            && has_extras(&run, training, record, &expected)
    };
    if let Some(record) = there.filter(is_done) {
        show_training(&folder, &record, "done before", console);
        return Ok(record);
    }
    console.say(which);
    // What was computed by other means, even in part, is not gone on with.
    let why_anew = match Existing::find(&run, &training.hyperparameters, dataset) {
        Some(Existing { differences, .. }) if !differences.is_empty() => Some(differences.join("; ")),
        Some(existing) if !existing.is_computed_as(&training.engine) => {
            Some("by another engine or in another precision".to_owned())
        }
        _ => None,
    };
    if let Some(why) = &why_anew {
        console.say(format!("begun anew, as what is there was trained otherwise ({why}): `{}`", folder.display()));
    }
    training.resume = why_anew.is_none();
    crate::run(training, &Console::silent())?;
    let record = record_of(training, &run, &expected)?;
    show_training(&folder, &record, "trained", console);
    Ok(record)
}

/// The record that a training has just left.
fn record_of(training: &Options, run: &RunDirectory, expected: &Provenance) -> Result<TrainingRecord, Error> {
    let (record, _) = artifacts::read_json::<TrainingRecord>(&run.training_record())?;
    if provenance::is_of(&record.provenance, expected) {
        Ok(record)
    } else {
        Err(files::Error::Changed { path: training.dataset.join(Dataset::FILE_NAME) }.into())
    }
}

/// Whether a finished training has what its flags ask for besides: where its state is still there, a resume makes that alone.
fn has_extras(run: &RunDirectory, training: &Options, record: &TrainingRecord, expected: &Provenance) -> bool {
    let has_folds =
        |folds| cross_validate::finished(run, folds, record.kept_epoch, expected, &training.engine).is_some();
    training.cross_validate.is_none_or(has_folds) && (!training.tensorboard || run.events().exists())
}

fn show_training(folder: &Path, record: &TrainingRecord, how: &str, console: &Console) {
    let (accuracy, loss) = (record.valid_accuracy * 100.0, record.valid_loss);
    console.say(format!("{how}: valid accuracy {accuracy:.2} %, valid loss {loss:.4}: `{}`", folder.display()));
}
