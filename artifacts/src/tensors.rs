//! Named `f32` tensors with one JSON description: the form of every safetensors file here.
//!
//! The description is a single entry of the file's metadata, since several would be written in random order. Its field
//! `sha256` vouches for all that the file says: a bit that flips is found on reading.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;

use files::{Digest, HashingWriter, IoContext as _, StagedFile};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// A tensor of `f32`, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The sizes of its axes.
    pub shape: Vec<usize>,
    /// As many values as `shape`'s product.
    pub values: Vec<f32>,
}

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// What a file of tensors is.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// As messages call it.
    pub kind: &'static str,
    /// The entry of the metadata that is its description.
    pub key: &'static str,
    /// What the description must have as its `schema_version`.
    pub schema_version: u32,
}

impl Form {
    /// Refuses the description of another form in the file `path`.
    fn check(&self, description: &Value, path: &Path) -> Result<()> {
        match description.get(SCHEMA_VERSION).and_then(Value::as_u64) {
            None => {
                let reason = format!("the entry `{}` of its metadata has no `{SCHEMA_VERSION}`", self.key);
                Err(Error::Malformed { path: path.to_owned(), kind: self.kind, reason })
            }
            Some(found) if found != u64::from(self.schema_version) => {
                Err(Error::SchemaVersion { path: path.to_owned(), found, expected: self.schema_version })
            }
            Some(_) => Ok(()),
        }
    }
}

/// As the format has it.
const MOST_HEADER_BYTES: u64 = 100_000_000;
const SCHEMA_VERSION: &str = "schema_version";
/// The field of the description that holds the digest of the rest.
const DIGEST: &str = "sha256";

/// Writes `tensors` with `description`, which becomes the form's entry of the metadata; returns the digest of the file.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When a tensor's shape does not fit its values, or `description` does not serialise as an object.
pub fn write<T: Serialize>(path: &Path, form: &Form, description: &T, tensors: &Tensors) -> files::Result<Digest> {
    stage(path, form, description, tensors)?.commit()
}

/// The file that [`write()`] writes, before it takes its place.
///
/// # Errors
/// As [`write()`].
///
/// # Panics
/// As [`write()`].
pub fn stage<T: Serialize>(path: &Path, form: &Form, description: &T, tensors: &Tensors) -> files::Result<StagedFile> {
    let bytes: BTreeMap<_, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views: BTreeMap<_, _> = bytes
        .iter()
        .map(|(&name, bytes)| {
            let view = TensorView::new(Dtype::F32, tensors[name].shape.clone(), bytes);
            (name.as_str(), view.expect("a tensor has as many values as its shape says"))
        })
        .collect();
    let mut description = serde_json::to_value(description).expect("a description serialises");
    description[SCHEMA_VERSION] = form.schema_version.into();
    let digest = digest_of(&description, &views);
    description[DIGEST] = digest.to_string().into();
    let metadata = HashMap::from([(form.key.to_owned(), description.to_string())]);
    let file = safetensors::serialize(views, Some(metadata)).expect("the views are valid");
    StagedFile::write(path, |writer| writer.write_all(&file))
}

/// The description and the tensors in `bytes`, which are those of the file `path` that [`write()`] wrote.
///
/// # Errors
/// When they are no safetensors file, are of another form, hold another type than `f32`, or are not what was written.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, form: &Form) -> Result<(T, Tensors)> {
    let Form { kind, key, .. } = *form;
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), kind, reason };
    let file = SafeTensors::deserialize(bytes).map_err(|error| malformed(error.to_string()))?;
    let views = file.iter().collect();
    let mut description = description(bytes, key).map_err(malformed)?;
    form.check(&description, path)?;
    let recorded = description.as_object_mut().and_then(|fields| fields.remove(DIGEST)).unwrap_or_default();
    let found = digest_of(&description, &views).to_string();
    if recorded != found {
        return Err(malformed(format!("what it says has SHA-256 \"{found}\", but it was written with {recorded}")));
    }
    let tensors = copied(views).map_err(malformed)?;
    Ok((described(description, key).map_err(malformed)?, tensors))
}

/// The description in the file `path`, of which no more than the header is read: nothing vouches for it.
///
/// # Errors
/// When the file cannot be read, or has no description of this form.
pub fn peek<T: DeserializeOwned>(path: &Path, form: &Form) -> Result<T> {
    let mut file = File::open(path).context("read", path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).context("read", path)?;
    let header = file.take(u64::from_le_bytes(length).min(MOST_HEADER_BYTES));
    let malformed = |reason| Error::Malformed { path: path.to_owned(), kind: form.kind, reason };
    let header: Header =
        serde_json::from_reader(BufReader::new(header)).map_err(|error| malformed(error.to_string()))?;
    let text = header.metadata.get(form.key).map_or("", String::as_str);
    let description: Value = serde_json::from_str(text)
        .map_err(|error| malformed(format!("the entry `{}` of its metadata: {error}", form.key)))?;
    form.check(&description, path)?;
    described(description, form.key).map_err(malformed)
}

/// Of a safetensors file, without its tensors: their sizes would have to be the file's.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<String, String>,
}

type Views<'a> = BTreeMap<&'a str, TensorView<'a>>;

/// The entry `key` of the metadata, as JSON.
fn description(bytes: &[u8], key: &str) -> Result<Value, String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let entry = header.metadata().as_ref().and_then(|entries| entries.get(key));
    let text = entry.ok_or_else(|| format!("its metadata has no entry `{key}`"))?;
    serde_json::from_str(text).map_err(|error| format!("the entry `{key}` of its metadata: {error}"))
}

fn described<T: DeserializeOwned>(description: Value, key: &str) -> Result<T, String> {
    serde_json::from_value(description).map_err(|error| format!("the entry `{key}` of its metadata: {error}"))
}

fn copied(views: Views<'_>) -> Result<Tensors, String> {
    let tensor = |(name, view): (&str, TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("tensor `{name}` is {:?}, not F32", view.dtype()));
        }
        let (values, _) = view.data().as_chunks();
        let values = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
        Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), values }))
    };
    views.into_iter().map(tensor).collect()
}

/// Of the description's text, and of the type, shape, name and bytes of each tensor, in the order of their names.
fn digest_of(description: &Value, tensors: &Views<'_>) -> Digest {
    let mut writer = HashingWriter::new(io::sink());
    let mut add = |bytes: &[u8]| writer.write_all(bytes).expect("a sink takes everything");
    add(description.to_string().as_bytes());
    for (name, view) in tensors {
        add(format!("\n{:?} {:?} {name}\n", view.dtype(), view.shape()).as_bytes());
        add(view.data());
    }
    writer.finish()
}
