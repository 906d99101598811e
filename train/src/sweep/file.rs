//! The file that says what is swept.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::Parser;
use files::IoContext as _;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::options::Options;
use crate::recipe;

/// The file that says what is swept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sweep {
    /// Folder of the shards; `{seed}` in it stands for the seed, so that each has a split of its own.
    dataset: String,
    /// Folder of the runs: each goes to `VARIANT/seed-SEED`.
    runs: PathBuf,
    pub seeds: Vec<u64>,
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
pub(super) struct Variant {
    pub name: String,
    #[serde(default)]
    flags: Vec<String>,
}

impl Sweep {
    pub fn read(path: &Path) -> Result<Self, Error> {
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

    pub fn dataset_of(&self, seed: u64) -> PathBuf {
        self.dataset.replace("{seed}", &seed.to_string()).into()
    }

    pub fn all_variants(&self) -> Vec<Variant> {
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
    pub fn trainings(&self, variant: &Variant) -> Result<Vec<Options>, Error> {
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

/// The first that has been there before.
fn twice<T: Ord + Clone>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    all.into_iter().find(|one| !seen.insert(one.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
