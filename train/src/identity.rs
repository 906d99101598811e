//! Which training something is of.

use std::collections::{BTreeMap, BTreeSet};

use files::Digest;
use serde_json::Value;

use crate::options::Hyperparameters;
use crate::schedule::Schedule;

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
