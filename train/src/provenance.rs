//! What a training's records say of how it came to be, and how that is compared with what is asked for.
//!
//! The arguments of a record are its hyperparameters, what computed it by the names of [`DECIDES`], and, where that was more
//! than one engine, [`ENGINES`] and [`JUDGED_BY`].

use std::collections::BTreeMap;

use artifacts::{Dataset, Provenance};
use files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{DECIDES, ENGINE, Engine, PRECISION};
use crate::options::{EngineName, EngineOptions, Hyperparameters};

/// Where several engines computed a training, the argument that says which epochs each of them did.
const ENGINES: &str = "engines";
/// Where another engine judged the network than computed its last epoch, the argument that says which.
const JUDGED_BY: &str = "judged_by";

/// An engine's settings that decide the bytes, by name: see [`Engine::decides`].
pub type Settings = BTreeMap<String, String>;

/// What computed from an epoch on, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    pub(crate) from_epoch: usize,
    #[serde(flatten)]
    pub(crate) by: Settings,
}

impl Computed {
    pub(crate) fn new(from_epoch: usize, decides: Vec<(&'static str, String)>) -> Self {
        Self { from_epoch, by: by_name(decides) }
    }
}

/// That of such a training, whatever computes it.
pub(crate) fn of_any_engine(hyperparameters: &Hyperparameters, dataset: Digest) -> Provenance {
    let provenance = Provenance::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .with_seed(hyperparameters.seed)
        .with_input(Dataset::FILE_NAME, dataset);
    let arguments = hyperparameters.by_name().into_iter().filter(|(name, _)| name != "seed");
    arguments.fold(provenance, |provenance, (name, value)| provenance.with_argument(&name, value))
}

/// That of what this engine computes.
pub(crate) fn of_engine(engine: &dyn Engine, hyperparameters: &Hyperparameters, dataset: Digest) -> Provenance {
    with_settings(of_any_engine(hyperparameters, dataset), &by_name(engine.decides()))
}

/// With what computed the last epoch and, where that is not all that computed, with all of it.
///
/// # Panics
/// Never: it is plain data.
#[must_use]
pub fn with_computed(of_any_engine: Provenance, all: &[Computed]) -> Provenance {
    let provenance = match all.last() {
        Some(last) => with_settings(of_any_engine, &last.by),
        None => of_any_engine,
    };
    if all.len() < 2 {
        return provenance;
    }
    let with_names = |computed: &Computed| Computed { by: named(computed.by.clone()), ..*computed };
    let all: Vec<Computed> = all.iter().map(with_names).collect();
    provenance.with_argument(ENGINES, serde_json::to_value(all).expect("plain data serialises"))
}

/// With what judges the network, where that is not what computed the last epoch. Whatever the precision, networks are judged
/// in `f32`.
pub(crate) fn with_judge(
    provenance: Provenance,
    decides: Vec<(&'static str, String)>,
    computed: &[Computed],
) -> Provenance {
    let in_f32 = |mut by: Settings| {
        by.insert(PRECISION.to_owned(), "f32".to_owned());
        named(by)
    };
    let (judge, last) = (in_f32(by_name(decides)), computed.last().map(|last| in_f32(last.by.clone())));
    if last.as_ref() == Some(&judge) {
        return provenance;
    }
    provenance.with_argument(JUDGED_BY, serde_json::to_value(judge).expect("plain data serialises"))
}

fn with_settings(provenance: Provenance, by: &Settings) -> Provenance {
    by.iter().fold(provenance, |provenance, (name, value)| provenance.with_argument(name, value.as_str()))
}

fn by_name(decides: Vec<(&'static str, String)>) -> Settings {
    decides.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// With the names of the engine whose bytes are the reference, which does not name itself.
fn named(mut by: Settings) -> Settings {
    if !by.contains_key(ENGINE) {
        by.insert(ENGINE.to_owned(), "cpu".to_owned());
        by.entry(PRECISION.to_owned()).or_insert_with(|| "f32".to_owned());
    }
    by
}

/// Whether it is the provenance of what is expected of any engine, and of what the flags ask for.
pub(crate) fn is_of_as_asked(found: &Provenance, of_any_engine: &Provenance, asked: &EngineOptions) -> bool {
    is_of(found, of_any_engine) && are_as_asked(&settings_of(found), asked)
}

/// Whether it is the provenance of what is expected of any engine, whichever has computed it.
pub(crate) fn is_of(found: &Provenance, of_any_engine: &Provenance) -> bool {
    let mut found = found.clone();
    remove_computed(&mut found.arguments);
    found == *of_any_engine
}

/// Whether they are the same, whatever judged the network that was found.
pub(crate) fn is_same_but_for_judge(found: &Provenance, expected: &Provenance) -> bool {
    let mut found = found.clone();
    found.arguments.remove(JUDGED_BY);
    found == *expected
}

/// Removes from a record's arguments what they say of what computed and judged it.
pub(crate) fn remove_computed(arguments: &mut BTreeMap<String, Value>) {
    arguments.retain(|name, _| !DECIDES.contains(&name.as_str()) && ![ENGINES, JUDGED_BY].contains(&name.as_str()));
}

/// The settings of each engine that computed what has this provenance.
pub(crate) fn settings_of(provenance: &Provenance) -> Vec<Settings> {
    let texts = |values: &mut dyn Iterator<Item = (&String, &Value)>| {
        values.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    };
    let arguments = &provenance.arguments;
    match arguments.get(ENGINES).and_then(Value::as_array) {
        Some(all) => all.iter().filter_map(Value::as_object).map(|by| texts(&mut by.iter())).collect(),
        None => vec![texts(&mut arguments.iter().filter(|(name, _)| DECIDES.contains(&name.as_str())))],
    }
}

/// Whether all settings are as the flags ask, where they do: which GPU is a number, which no record has.
pub(crate) fn are_as_asked(settings: &[Settings], asked: &EngineOptions) -> bool {
    let engine = match asked.engine() {
        EngineName::Auto => None,
        EngineName::Cpu => Some("cpu"),
        EngineName::Cuda => Some("cuda"),
    };
    let precision = asked.precision.map(|precision| precision.to_string());
    let asked = [(ENGINE, engine), (PRECISION, precision.as_deref())];
    settings.iter().cloned().map(named).all(|by| {
        asked.iter().all(|&(name, asked)| asked.is_none_or(|asked| by.get(name).is_some_and(|by| by == asked)))
    })
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
            let provenance =
                Provenance { arguments: serde_json::from_str(arguments).unwrap(), ..Provenance::new("train", "0") };
            let settings = settings_of(&provenance);
            assert_eq!([&any, &f32, &f16, &cuda, &device].map(|asked| are_as_asked(&settings, asked)), expected);
        }
    }
}
