//! Recipes: sets of flags with a name.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum;

/// A set of flags; flags that are given beside it win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Recipe {
    /// The course's assignment: 784-256-10, Adam at 0.001, batches of 256, 10 epochs
    Course,
    /// The most accurate within a minute on two cores for some ten thousand images
    Fast,
    /// The most accurate
    Best,
}

impl Recipe {
    /// The flags that it stands for.
    #[must_use]
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Course => {
                &["--hidden=256", "--epochs=10", "--batch-size=256", "--learning-rate=0.001", "--schedule=constant"]
            }
            Self::Fast => &[
                "--hidden=256",
                "--ensemble=4",
                "--test-time-shift=1",
                "--epochs=60",
                "--batch-size=128",
                "--learning-rate=0.003",
                "--schedule=one-cycle",
                "--weight-decay=0.01",
                "--dropout=0.1",
                "--label-smoothing=0.1",
                "--augment=strong",
                "--ema-decay=0.998",
            ],
            Self::Best => &[
                "--hidden=256",
                "--ensemble=4",
                "--test-time-shift=1",
                "--epochs=200",
                "--batch-size=128",
                "--learning-rate=0.002",
                "--schedule=one-cycle",
                "--weight-decay=0.01",
                "--dropout=0.1",
                "--label-smoothing=0.1",
                "--augment=strong",
                "--ema-decay=0.999",
            ],
        }
    }
}

/// Puts the flags of the recipe that `arguments` name, if they do, after the program's name: before all others, so that
/// others win.
#[must_use]
pub fn expand(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let named = arguments.iter().enumerate().rev().find_map(|(index, argument)| {
        let argument = argument.to_str()?;
        match argument.strip_prefix("--recipe")? {
            "" => arguments.get(index + 1).map(OsString::as_os_str),
            value => value.strip_prefix('=').map(OsStr::new),
        }
    });
    let recipe = named.and_then(OsStr::to_str).and_then(|name| Recipe::from_str(name, false).ok());
    if let Some(recipe) = recipe {
        let flags = recipe.flags().iter().map(OsString::from);
        arguments.splice(1..1, flags);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: &[&str]) -> Vec<String> {
        expand(arguments.iter().map(OsString::from)).into_iter().map(|text| text.into_string().unwrap()).collect()
    }

    #[test]
    fn a_recipe_s_flags_stand_before_all_others() {
        for named in [&["--recipe", "course"][..], &["--recipe=course"]] {
            let found = expanded(&[&["train", "--epochs", "3"], named].concat());
            assert_eq!(found[1..6], Recipe::Course.flags().iter().map(ToString::to_string).collect::<Vec<_>>()[..]);
            assert_eq!(found[6..8], ["--epochs", "3"]);
        }
    }

    #[test]
    fn without_a_recipe_or_with_an_unknown_one_nothing_is_added() {
        for arguments in [&["train", "--epochs", "3"][..], &["train", "--recipe", "none"], &["train", "--recipe"]] {
            assert_eq!(expanded(arguments), arguments);
        }
    }
}
