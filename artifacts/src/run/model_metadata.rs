use files::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::model::ModelDescription;
use crate::provenance::Provenance;

/// What `model.onnx` says of itself in its `metadata_props`: one entry a field, each value as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// The form of these entries.
    pub schema_version: u32,
    /// What the network is; `classes` are the names of the logits, in order.
    pub model: ModelDescription,
    /// SHA-256 of the checkpoint that was exported.
    pub checkpoint: Digest,
    /// How the checkpoint was trained.
    pub training: Provenance,
    /// How the model was exported.
    pub export: Provenance,
}

impl ModelMetadata {
    /// The version that this build writes and reads.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The model's input, `u8 [N, H, W]`.
    pub const IMAGES: &str = "images";
    /// Its first output, `f32 [N, C]`.
    pub const LOGITS: &str = "logits";
    /// Its second output, `f32 [N, C]`.
    pub const PROBABILITIES: &str = "probabilities";

    /// The argument of `export` that is the temperature in the graph; absent where there is none.
    pub const TEMPERATURE: &str = "temperature";

    /// What the logits are divided by before the softmax that gives the probabilities; 1 where nothing is.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.export.arguments.get(Self::TEMPERATURE).and_then(Value::as_f64).unwrap_or(1.0)
    }

    /// The keys of the entries.
    pub const KEYS: [&str; 5] = ["schema_version", "model", "checkpoint", "training", "export"];

    /// The entries, in the order of [`ModelMetadata::KEYS`].
    ///
    /// # Panics
    /// Never: the fields are plain data.
    #[must_use]
    pub fn to_entries(&self) -> Vec<(String, String)> {
        let value = serde_json::to_value(self).expect("plain data serialises");
        Self::KEYS.iter().map(|&key| (key.to_owned(), value[key].to_string())).collect()
    }

    /// Reads the entries, given a way to look one up.
    ///
    /// # Errors
    /// Says which entry is missing or wrong.
    pub fn from_entries(look_up: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut fields = Map::new();
        for key in Self::KEYS {
            let text = look_up(key).ok_or_else(|| format!("its metadata has no entry `{key}`"))?;
            let value: Value = serde_json::from_str(&text).map_err(|error| format!("its entry `{key}`: {error}"))?;
            fields.insert(key.to_owned(), value);
        }
        let found = &fields["schema_version"];
        if *found != Self::SCHEMA_VERSION {
            return Err(format!("its metadata has schema version {found}; this build reads {}", Self::SCHEMA_VERSION));
        }
        let metadata: Self =
            serde_json::from_value(Value::Object(fields)).map_err(|error| format!("its metadata: {error}"))?;
        metadata.model.check().map_err(|reason| format!("its metadata: {reason}"))?;
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn metadata_comes_back_as_it_was_and_what_is_missing_is_named() {
        let metadata = ModelMetadata {
            schema_version: ModelMetadata::SCHEMA_VERSION,
            model: ModelDescription {
                classes: vec!["A".into(), "\"é\"".into()],
                height: 28,
                width: 28,
                mean: 0.1,
                standard_deviation: 0.3,
                hidden: vec![],
                groups: NonZeroUsize::MIN,
            },
            checkpoint: Digest::of(b"checkpoint"),
            training: Provenance::new("train", "0.1.0").with_seed(u64::MAX),
            export: Provenance::new("export", "0.1.0"),
        };
        let mut entries: HashMap<_, _> = metadata.to_entries().into_iter().collect();
        assert_eq!(ModelMetadata::from_entries(|key| entries.get(key).cloned()), Ok(metadata));
        entries.remove("training");
        let error = ModelMetadata::from_entries(|key| entries.get(key).cloned()).unwrap_err();
        assert_eq!(error, "its metadata has no entry `training`");
    }
}
