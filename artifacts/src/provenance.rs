use std::collections::BTreeMap;

use files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How an artifact came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The stage that wrote it.
    pub tool: String,
    /// The stage's version.
    pub version: String,
    /// The seed of everything random in it, where anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The arguments that decide its bytes: no paths, no thread counts.
    pub arguments: BTreeMap<String, Value>,
    /// The inputs, by file name.
    pub inputs: BTreeMap<String, Digest>,
}

impl Provenance {
    /// Of a tool without inputs yet; see the `with_` methods.
    #[must_use]
    pub fn new(tool: &str, version: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            version: version.to_owned(),
            seed: None,
            arguments: BTreeMap::new(),
            inputs: BTreeMap::new(),
        }
    }

    /// With the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// With an argument that decides the artifact's bytes.
    #[must_use]
    pub fn with_argument(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }

    /// With an input file.
    #[must_use]
    pub fn with_input(mut self, name: &str, digest: Digest) -> Self {
        self.inputs.insert(name.to_owned(), digest);
        self
    }
}
