//! Named `f32` tensors with one JSON description: the form of every safetensors file here.
//!
//! The description is a single entry of the file's metadata, since several would be written in random order.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _, Result};
use crate::place::write_file;

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

/// Writes `tensors` with `description` under `key` in the metadata; returns the digest of the file.
///
/// # Errors
/// When the file cannot be written.
///
/// # Panics
/// When a tensor's shape does not fit its values, or `description` does not serialise.
pub fn write<T: Serialize>(path: &Path, key: &str, description: &T, tensors: &Tensors) -> Result<Digest> {
    let bytes: BTreeMap<_, Vec<u8>> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(&name, bytes)| {
        let view = TensorView::new(Dtype::F32, tensors[name].shape.clone(), bytes);
        (name, view.expect("a tensor has as many values as its shape says"))
    });
    let description = serde_json::to_string(description).expect("a description serialises");
    let metadata = HashMap::from([(key.to_owned(), description)]);
    let file = safetensors::serialize(views, Some(metadata)).expect("the views are valid");
    write_file(path, |writer| writer.write_all(&file))
}

/// Reads what [`write`] wrote, and the digest of the file.
///
/// # Errors
/// When the file cannot be read, is no safetensors file, holds another type than `f32`, or has no valid `key`.
pub fn read<T: DeserializeOwned>(path: &Path, key: &str, kind: &'static str) -> Result<(T, Tensors, Digest)> {
    let bytes = fs::read(path).context("read", path)?;
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), kind, reason };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| malformed(error.to_string()))?;
    let description = header
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(key))
        .ok_or_else(|| malformed(format!("its metadata has no entry `{key}`")))?;
    let description = serde_json::from_str(description)
        .map_err(|error| malformed(format!("the entry `{key}` of its metadata: {error}")))?;

    let file = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(malformed(format!("tensor `{name}` is {:?}, not F32", view.dtype())));
        }
        let (values, _) = view.data().as_chunks();
        let values = values.iter().map(|&value| f32::from_le_bytes(value)).collect();
        tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
    }
    Ok((description, tensors, Digest::of(&bytes)))
}
