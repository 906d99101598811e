//! How frequent the classes are said to be: `--prior`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs, io};

use artifacts::SplitName;
use files::{Digest, IoContext as _};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::Error;
use crate::measures::confusion::ConfusionMatrix;
use crate::measures::prior;

/// A prior that a person asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PriorName {
    /// Every class as frequent as any other.
    Uniform,
    /// As in the split that is judged, whose name it has.
    Split,
    /// As letters are in English text.
    English,
    /// As a file says: JSON, an object of one weight a class.
    File(PathBuf),
}

impl FromStr for PriorName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_split = SplitName::ALL.iter().any(|split| split.as_str() == text);
        if is_split && !Path::new(text).exists() {
            return Err("the frequencies of the split that is judged are those of `split`".to_owned());
        }
        Ok(match text {
            "uniform" => Self::Uniform,
            "split" => Self::Split,
            "english" => Self::English,
            path => Self::File(path.into()),
        })
    }
}

/// A weight a class. Of two for one class, neither is taken.
struct Weights(BTreeMap<String, f64>);

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WeightsVisitor).map(Self)
    }
}

struct WeightsVisitor;

impl<'de> Visitor<'de> for WeightsVisitor {
    type Value = BTreeMap<String, f64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut weights = BTreeMap::new();
        while let Some((class, weight)) = entries.next_entry::<String, f64>()? {
            if let Some(other) = weights.insert(class.clone(), weight) {
                return Err(A::Error::custom(format!("class `{class}` has two weights, {other} and {weight}")));
            }
        }
        Ok(weights)
    }
}

/// A prior, opened.
#[derive(Debug, Clone)]
pub(crate) struct Prior {
    pub name: String,
    shares: Shares,
    /// SHA-256 of the file that it comes from.
    pub digest: Option<Digest>,
}

#[derive(Debug, Clone)]
enum Shares {
    Known(Vec<f64>),
    /// Counted in the split.
    OfTheSplit,
}

impl Prior {
    /// The priors that are asked for; if none is, those that need no file and fit the classes.
    pub(crate) fn open_all(asked: &[PriorName], classes: &[String], split: SplitName) -> Result<Vec<Self>, Error> {
        if !asked.is_empty() {
            let mut priors: Vec<Self> = Vec::new();
            for name in asked {
                let prior = Self::open(name, classes, split)?;
                if priors.iter().any(|other| other.name == prior.name) {
                    return Err(Error::SamePrior { name: prior.name });
                }
                priors.push(prior);
            }
            return Ok(priors);
        }
        let mut names = vec![PriorName::Split, PriorName::Uniform];
        names.extend(prior::english(classes).map(|_| PriorName::English));
        Self::open_all(&names, classes, split)
    }

    fn open(name: &PriorName, classes: &[String], split: SplitName) -> Result<Self, Error> {
        let built_in = |name: &str, shares| Ok(Self { name: name.to_owned(), shares, digest: None });
        match name {
            PriorName::Uniform => built_in("uniform", Shares::Known(vec![1.0 / classes.len() as f64; classes.len()])),
            PriorName::Split => built_in(split.as_str(), Shares::OfTheSplit),
            PriorName::English => {
                let shares = prior::english(classes).ok_or_else(|| Error::NoLetters { classes: classes.to_vec() })?;
                built_in("english", Shares::Known(shares))
            }
            PriorName::File(path) => Self::read(path, classes),
        }
    }

    fn read(path: &Path, classes: &[String]) -> Result<Self, Error> {
        let bytes = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoPrior { path: path.to_owned() });
            }
            read => read.context("read", path)?,
        };
        let malformed = |reason| artifacts::Error::Malformed { path: path.to_owned(), kind: "prior", reason };
        let Weights(weights) = serde_json::from_slice(&bytes)
            .map_err(|error| malformed(format!("an object of one weight a class was expected: {error}")))?;
        if let Some(surplus) = weights.keys().find(|name| !classes.contains(name)) {
            return Err(malformed(format!("`{surplus}` is none of the classes {}", classes.join(", "))).into());
        }
        let weight = |class: &String| {
            weights.get(class).copied().ok_or_else(|| malformed(format!("class `{class}` is missing")))
        };
        let weights = classes.iter().map(weight).collect::<Result<Vec<f64>, _>>()?;
        let shares = prior::normalised(weights)
            .ok_or_else(|| malformed("its weights may not be negative, and one must be above 0".to_owned()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, shares: Shares::Known(shares), digest: Some(Digest::of(&bytes)) })
    }

    /// The share of each class; they sum to 1.
    pub(crate) fn shares(&self, split: &ConfusionMatrix) -> Vec<f64> {
        match &self.shares {
            Shares::Known(shares) => shares.clone(),
            Shares::OfTheSplit => {
                (0..split.classes()).map(|class| split.support(class) as f64 / split.total() as f64).collect()
            }
        }
    }
}
