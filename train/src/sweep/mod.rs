//! Trains variants of a recipe, each once a seed, and compares them on validation.
//!
//! The test split is never opened: what is chosen here may be judged on it afterwards, once.

mod file;
mod outcome;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use artifacts::{Dataset, Provenance, RunDirectory, TrainingRecord};
use files::Digest;
use serde_json::Value;
use terminal::Console;

use self::file::Sweep;
use self::outcome::Outcome;
use crate::engine::{ENGINE, ENGINES, PRECISION};
use crate::error::Error;
use crate::options::{EngineName, EngineOptions, Options};
use crate::{cross_validate, is_of, provenance};

/// What `train sweep` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct SweepOptions {
    /// The sweep: dataset, runs, seeds, flags, and [[variant]] tables or a [grid]
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
    let expected = provenance(&training.hyperparameters, dataset);
    let there = artifacts::read_json::<TrainingRecord>(&run.training_record()).ok().map(|(record, _)| record);
    let (finished, other) = match there {
        Some(record) if is_of(&record.provenance, &expected) => (Some(record), None),
        other => (None, other),
    };
    let is_as_asked = |record: &TrainingRecord| is_computed_as_asked(&record.provenance.arguments, &training.engine);
    if let Some(record) =
        finished.as_ref().filter(|record| is_as_asked(record) && has_extras(&run, training, record, &expected))
    {
        show_training(&folder, record, "done before", console);
        return Ok(record.clone());
    }
    console.say(which);
    // What was computed by other means, even in part, is not gone on with.
    let by_other_means = "by another engine or in another precision".to_owned();
    let why_not_resumed = if finished.is_some_and(|record| !is_as_asked(&record)) {
        by_other_means
    } else if other.is_some() && !run.training_state().exists() {
        "with other arguments, of other data or by another version".to_owned()
    } else {
        training.resume = true;
        match crate::run(training, &Console::silent()) {
            Err(Error::OtherTraining { differences, .. }) => {
                format!("with other arguments ({})", differences.join("; "))
            }
            Err(error @ Error::Artifact(artifacts::Error::SchemaVersion { .. })) => {
                format!("by another version: {error}")
            }
            trained => {
                trained?;
                let record = record_of(training, &run, &expected)?;
                if is_computed_as_asked(&record.provenance.arguments, &training.engine) {
                    show_training(&folder, &record, "trained", console);
                    return Ok(record);
                }
                by_other_means
            }
        }
    };
    console.say(format!("begun anew, as what is there was trained {why_not_resumed}: `{}`", folder.display()));
    training.resume = false;
    crate::run(training, &Console::silent())?;
    let record = record_of(training, &run, &expected)?;
    show_training(&folder, &record, "trained", console);
    Ok(record)
}

/// The record that a training has just left.
fn record_of(training: &Options, run: &RunDirectory, expected: &Provenance) -> Result<TrainingRecord, Error> {
    let (record, _) = artifacts::read_json::<TrainingRecord>(&run.training_record())?;
    if is_of(&record.provenance, expected) {
        Ok(record)
    } else {
        Err(files::Error::Changed { path: training.dataset.join(Dataset::FILE_NAME) }.into())
    }
}

/// Whether all of a training was computed as its flags ask, where they do: which GPU is a number, which no record has.
fn is_computed_as_asked(arguments: &BTreeMap<String, Value>, asked: &EngineOptions) -> bool {
    let engine = match asked.engine() {
        EngineName::Auto => None,
        EngineName::Cpu => Some("cpu"),
        EngineName::Cuda => Some("cuda"),
    };
    let precision = asked.precision.map(|precision| precision.to_string());
    // The CPU engine in f32 names neither.
    let asked = [(ENGINE, engine, "cpu"), (PRECISION, precision.as_deref(), "f32")];
    let is_as_asked = |computed: &dyn Fn(&str) -> Option<String>| {
        let computed = |name, unnamed: &str| computed(name).unwrap_or_else(|| unnamed.to_owned());
        asked.iter().all(|&(name, asked, unnamed)| asked.is_none_or(|asked| computed(name, unnamed) == asked))
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    match arguments.get(ENGINES).and_then(Value::as_array) {
        Some(all) => all.iter().all(|computed| is_as_asked(&|name| text(computed.get(name)))),
        None => is_as_asked(&|name| text(arguments.get(name))),
    }
}

/// Whether a finished training has what its flags ask for besides: where its state is still there, a resume makes that alone.
fn has_extras(run: &RunDirectory, training: &Options, record: &TrainingRecord, expected: &Provenance) -> bool {
    let has_folds = |folds| cross_validate::finished(run, folds, record.kept_epoch, expected).is_some();
    training.cross_validate.is_none_or(has_folds) && (!training.tensorboard || run.events().exists())
}

fn show_training(folder: &Path, record: &TrainingRecord, how: &str, console: &Console) {
    let (accuracy, loss) = (record.valid_accuracy * 100.0, record.valid_loss);
    console.say(format!("{how}: valid accuracy {accuracy:.2} %, valid loss {loss:.4}: `{}`", folder.display()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Precision;

    #[test]
    fn a_training_is_as_asked_where_all_of_it_was_computed_by_what_the_flags_name() {
        let asked = |engine, precision| EngineOptions { engine, precision, ..EngineOptions::default() };
        let [any, f32, f16, cuda, device] = [
            asked(EngineName::Auto, None),
            asked(EngineName::Cpu, Some(Precision::F32)),
            asked(EngineName::Auto, Some(Precision::F16)),
            asked(EngineName::Cuda, None),
            EngineOptions { device: Some(0), ..asked(EngineName::Auto, None) },
        ];
        for (arguments, expected) in [
            (r#"{"hidden": [8]}"#, [true, true, false, false, false]),
            (r#"{"precision": "f16"}"#, [true, false, true, false, false]),
            (r#"{"engine": "cuda", "device": "x", "precision": "f32"}"#, [true, false, false, true, true]),
            (
                r#"{"precision": "f16", "engines": [
                    {"from_epoch": 1, "engine": "cpu", "precision": "f32"},
                    {"from_epoch": 3, "engine": "cpu", "precision": "f16"}]}"#,
                [true, false, false, false, false],
            ),
        ] {
            let arguments = serde_json::from_str(arguments).unwrap();
            assert_eq!(
                [&any, &f32, &f16, &cuda, &device].map(|asked| is_computed_as_asked(&arguments, asked)),
                expected
            );
        }
    }
}
