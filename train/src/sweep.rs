//! Trains variants of a recipe, each once a seed, and compares them on validation.
//!
//! The test split is never opened: what is chosen here may be judged on it afterwards, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use artifacts::{Dataset, Provenance, RunDirectory, TrainingRecord};
use clap::Parser;
use files::{Digest, IoContext as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use statrs::distribution::{ContinuousCDF as _, StudentsT};
use statrs::statistics::Statistics as _;
use terminal::{Align, Console, Table};

use crate::engine::{ENGINE, ENGINES, PRECISION};
use crate::error::Error;
use crate::options::{EngineName, EngineOptions, Options};
use crate::{cross_validate, is_of, provenance, recipe};

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

/// The file that says what is swept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sweep {
    /// Folder of the shards; `{seed}` in it stands for the seed, so that each has a split of its own.
    dataset: String,
    /// Folder of the runs: each goes to `VARIANT/seed-SEED`.
    runs: PathBuf,
    seeds: Vec<u64>,
    /// The flags that all variants have.
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default, rename = "variant")]
    variants: Vec<Variant>,
    /// Every combination of these values of flags is a variant.
    #[serde(default)]
    grid: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    name: String,
    #[serde(default)]
    flags: Vec<String>,
}

/// What came of a variant: a line on stdout.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    variant: &'a str,
    /// Without those whose trainings diverged.
    seeds: Vec<u64>,
    /// One a seed, in their order.
    valid_accuracies: Vec<f64>,
    valid_accuracy: Spread,
    valid_loss: Spread,
    /// None of the first one itself, nor where the two have no seed in common.
    valid_accuracy_difference: Option<Difference<'a>>,
}

/// By how much the accuracy of a variant exceeds that of the first one that was trained, paired by seed: what a seed decides
/// for both of them cancels out.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    to: &'a str,
    seeds: usize,
    #[serde(flatten)]
    spread: Spread,
}

/// A figure over the seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Spread {
    mean: f64,
    /// The sample's; none where there is one seed.
    standard_deviation: Option<f64>,
    /// The 95 % interval of the mean by Student's t.
    interval_95: Option<[f64; 2]>,
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
        if records.is_empty() {
            continue;
        }
        let spread = |figure: fn(&TrainingRecord) -> f64| Spread::of(&records.iter().map(figure).collect::<Vec<_>>());
        let valid_accuracies: Vec<f64> = records.iter().map(|record| record.valid_accuracy).collect();
        let valid_accuracy_difference =
            outcomes.first().and_then(|first| Difference::between(first, &seeds, &valid_accuracies));
        outcomes.push(Outcome {
            variant: &variant.name,
            valid_accuracy: spread(|record| record.valid_accuracy),
            valid_loss: spread(|record| record.valid_loss),
            seeds,
            valid_accuracies,
            valid_accuracy_difference,
        });
    }
    show(&outcomes, console);
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

/// The first that has been there before.
fn twice<T: Ord + Clone>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().find(|one| !seen.insert(one.clone()))
}

impl Sweep {
    fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).context("read", path)?;
        let refused = |reason: String| Error::Sweep { path: path.to_owned(), reason };
        let sweep: Self = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        if sweep.seeds.is_empty() {
            return Err(refused("`seeds` is empty".to_owned()));
        }
        if let Some(seed) = twice(sweep.seeds.iter().copied()) {
            return Err(refused(format!("it has the seed {seed} twice")));
        }
        if sweep.variants.is_empty() == sweep.grid.is_empty() {
            return Err(refused("it needs either [[variant]] tables or a [grid]".to_owned()));
        }
        if let Some((flag, _)) = sweep.grid.iter().find(|(_, values)| values.is_empty()) {
            return Err(refused(format!("its [grid] has no value of `{flag}`")));
        }
        // Each has a folder of its name.
        let is_folder = |name: &str| {
            let mut parts = Path::new(name).components();
            matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name)
        };
        if let Some(variant) = sweep.all_variants().iter().find(|variant| !is_folder(&variant.name)) {
            return Err(refused(format!("its variant `{}` does not have the name of a folder", variant.name)));
        }
        // Some file systems do not tell capitals from small letters.
        if let Some(variant) = twice(sweep.all_variants().iter().map(|variant| variant.name.to_lowercase())) {
            return Err(refused(format!("it has two variants named `{variant}`")));
        }
        Ok(sweep)
    }

    fn dataset_of(&self, seed: u64) -> PathBuf {
        self.dataset.replace("{seed}", &seed.to_string()).into()
    }

    fn all_variants(&self) -> Vec<Variant> {
        if !self.variants.is_empty() {
            return self.variants.clone();
        }
        let mut variants = vec![Variant { name: String::new(), flags: Vec::new() }];
        for (flag, values) in &self.grid {
            variants = variants
                .iter()
                .flat_map(|variant| {
                    values.iter().map(|value| {
                        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        let separator = if variant.name.is_empty() { "" } else { " " };
                        let mut flags = variant.flags.clone();
                        flags.push(format!("--{flag}={value}"));
                        Variant { name: format!("{}{separator}{flag}={value}", variant.name), flags }
                    })
                })
                .collect();
        }
        variants
    }

    /// The trainings of a variant, one a seed.
    fn trainings(&self, variant: &Variant) -> Result<Vec<Options>, Error> {
        #[derive(Parser)]
        #[command(args_override_self = true, disable_help_flag = true)]
        struct Arguments {
            #[command(flatten)]
            options: Options,
        }
        let refused = |reason| Error::Flags { variant: variant.name.clone(), reason };
        let training = |&seed: &u64| {
            let (dataset, run) = (self.dataset_of(seed), self.runs.join(&variant.name).join(format!("seed-{seed}")));
            // They stand first: flags that say otherwise show.
            let place = [
                format!("--dataset={}", dataset.display()),
                format!("--run={}", run.display()),
                format!("--seed={seed}"),
            ];
            let flags = place.iter().chain(&self.flags).chain(&variant.flags);
            let arguments = ["train".into()].into_iter().chain(flags.map(Into::into));
            let Arguments { options } = Arguments::try_parse_from(recipe::expand(arguments))
                .map_err(|error| refused(without_usage(&error.to_string())))?;
            let decided = [
                ("--dataset", "by `dataset` of its file", options.dataset != dataset),
                ("--run", "by `runs` of its file", options.run.as_ref() != Some(&run)),
                ("--seed", "by `seeds` of its file", options.hyperparameters.seed != seed),
                ("--resume", "by what is there", options.resume),
            ];
            if let Some((flag, how, _)) = decided.iter().find(|(.., says_otherwise)| *says_otherwise) {
                return Err(refused(format!("the sweep decides {flag}, {how}")));
            }
            if options.preview_augmentation.is_some() {
                return Err(refused("--preview-augmentation trains nothing".to_owned()));
            }
            Ok(options)
        };
        self.seeds.iter().map(training).collect()
    }
}

/// What clap says of refused arguments, for a line of ours: neither how `train` is called nor a prefix of its own.
fn without_usage(message: &str) -> String {
    let paragraphs = message.strip_prefix("error: ").unwrap_or(message).trim_end().split("\n\n");
    paragraphs.take_while(|paragraph| !paragraph.starts_with("Usage:")).collect::<Vec<_>>().join("\n\n")
}

impl<'a> Difference<'a> {
    fn between(first: &Outcome<'a>, seeds: &[u64], accuracies: &[f64]) -> Option<Self> {
        let of_first: BTreeMap<u64, f64> =
            first.seeds.iter().copied().zip(first.valid_accuracies.iter().copied()).collect();
        let pairs = seeds.iter().zip(accuracies);
        let differences: Vec<f64> = pairs.filter_map(|(seed, accuracy)| Some(accuracy - of_first.get(seed)?)).collect();
        let to = first.variant;
        (!differences.is_empty()).then(|| Self { to, seeds: differences.len(), spread: Spread::of(&differences) })
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mean = values.mean();
        if values.len() < 2 {
            return Self { mean, standard_deviation: None, interval_95: None };
        }
        let (count, deviation) = (values.len() as f64, values.std_dev());
        let t = StudentsT::new(0.0, 1.0, count - 1.0).expect("a degree of freedom").inverse_cdf(0.975);
        let reach = t * deviation / count.sqrt();
        Self { mean, standard_deviation: Some(deviation), interval_95: Some([mean - reach, mean + reach]) }
    }

    fn cells(&self, scale: f64, digits: usize) -> [String; 3] {
        let number = |value: f64| format!("{:.digits$}", value * scale);
        [
            number(self.mean),
            self.standard_deviation.map_or_else(|| "–".to_owned(), number),
            self.interval_95
                .map_or_else(|| "–".to_owned(), |[low, high]| format!("{} to {}", number(low), number(high))),
        ]
    }
}

fn show_training(folder: &Path, record: &TrainingRecord, how: &str, console: &Console) {
    let (accuracy, loss) = (record.valid_accuracy * 100.0, record.valid_loss);
    console.say(format!("{how}: valid accuracy {accuracy:.2} %, valid loss {loss:.4}: `{}`", folder.display()));
}

fn show(outcomes: &[Outcome<'_>], console: &Console) {
    let mut columns = vec![
        ("variant", Align::Left),
        ("seeds", Align::Right),
        ("valid accuracy, %", Align::Right),
        ("deviation", Align::Right),
        ("95 % interval", Align::Right),
        ("valid loss", Align::Right),
        ("deviation", Align::Right),
        ("95 % interval", Align::Right),
    ];
    let to = outcomes.first().map(|first| format!("accuracy less that of {}, points", first.variant));
    if let [_, _, ..] = outcomes {
        columns.extend(to.iter().map(|to| (to.as_str(), Align::Right)));
        columns.push(("95 % interval", Align::Right));
    }
    let mut table = Table::new(&columns);
    for outcome in outcomes {
        let figures = outcome.valid_accuracy.cells(100.0, 2).into_iter().chain(outcome.valid_loss.cells(1.0, 4));
        let difference = outcome.valid_accuracy_difference.as_ref().map(|difference| difference.spread.cells(100.0, 2));
        let [difference, _, interval] = difference.unwrap_or_else(|| ["–"; 3].map(str::to_owned));
        let variant = [outcome.variant.to_owned(), outcome.seeds.len().to_string()];
        table.row(variant.into_iter().chain(figures).chain([difference, interval]));
    }
    console.table(&table);
    for outcome in outcomes {
        console.data(serde_json::to_string(outcome).expect("plain data serialises"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Precision;

    /// `scipy.stats.t.interval(0.95, 4, loc=mean, scale=scipy.stats.sem(values))` and `numpy.std(values, ddof=1)`.
    #[test]
    fn the_spread_over_seeds_is_scipy_s() {
        let spread = Spread::of(&[0.91, 0.92, 0.9, 0.93, 0.915]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        close(spread.mean, 0.915);
        close(spread.standard_deviation.unwrap(), 0.011_180_339_887_498_958);
        close(spread.interval_95.unwrap()[0], 0.901_117_774_474_011_1);
        close(spread.interval_95.unwrap()[1], 0.928_882_225_525_989);
        assert_eq!(Spread::of(&[0.5]), Spread { mean: 0.5, standard_deviation: None, interval_95: None });
    }

    /// `scipy.stats.ttest_rel([0.912, 0.934, 0.921], [0.9, 0.93, 0.91]).confidence_interval()`.
    #[test]
    fn variants_are_compared_by_their_common_seeds_as_scipy_s_paired_test_does() {
        let outcome = |variant, seeds: &[u64], accuracies: &[f64]| Outcome {
            variant,
            seeds: seeds.to_vec(),
            valid_accuracies: accuracies.to_vec(),
            valid_accuracy: Spread::of(accuracies),
            valid_loss: Spread::of(accuracies),
            valid_accuracy_difference: None,
        };
        let first = outcome("plain", &[1, 2, 3, 4], &[0.9, 0.93, 0.91, 0.5]);
        let found = Difference::between(&first, &[4, 9], &[0.25, 0.9]).unwrap();
        assert_eq!((found.seeds, found.spread), (1, Spread::of(&[-0.25])));
        assert_eq!(found.spread.interval_95, None);
        assert!(Difference::between(&first, &[9], &[0.9]).is_none());
        let Difference { to, seeds, spread } =
            Difference::between(&first, &[0, 1, 2, 3], &[0.1, 0.912, 0.934, 0.921]).unwrap();
        assert_eq!((to, seeds), ("plain", 3));
        let [low, high] = spread.interval_95.unwrap();
        for (found, expected) in [(spread.mean, 0.009), (low, -0.001_828_105_247_358), (high, 0.019_828_105_247_358)] {
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
    }

    #[test]
    fn a_grid_is_every_combination() {
        let sweep: Sweep = toml::from_str(
            "dataset = 'd'\nruns = 'r'\nseeds = [1]\n[grid]\ndropout = [0, 0.5]\nschedule = ['cosine', 'one-cycle']",
        )
        .unwrap();
        let names: Vec<String> = sweep.all_variants().into_iter().map(|variant| variant.name).collect();
        assert_eq!(
            names,
            [
                "dropout=0 schedule=cosine",
                "dropout=0 schedule=one-cycle",
                "dropout=0.5 schedule=cosine",
                "dropout=0.5 schedule=one-cycle"
            ]
        );
    }

    #[test]
    fn each_seed_may_have_a_split_of_its_own() {
        let sweep: Sweep =
            toml::from_str("dataset = 'real-{seed}'\nruns = 'r'\nseeds = [3, 17]\n[[variant]]\nname = 'a'").unwrap();
        let trainings = sweep.trainings(&sweep.variants[0]).unwrap();
        let datasets: Vec<&Path> = trainings.iter().map(|training| training.dataset.as_path()).collect();
        assert_eq!(datasets, [Path::new("real-3"), Path::new("real-17")]);
    }

    #[test]
    fn the_sweeps_of_the_documents_are_ones() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipe");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let sweeps: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml")).collect();
        assert!(sweeps.len() >= 5, "{sweeps:?}");
        for path in sweeps {
            let sweep = Sweep::read(&path).unwrap();
            for variant in sweep.all_variants() {
                assert_eq!(sweep.trainings(&variant).unwrap().len(), sweep.seeds.len(), "{}", variant.name);
            }
        }
    }

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
