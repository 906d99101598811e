use std::fs;
use std::path::Path;

use files::{Digest, IoContext as _};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::model::{LinearLayer, ModelDescription, sequential_place};
use crate::error::{Error, Result};
use crate::provenance::Provenance;
use crate::tensors::{self, Form, Tensor, Tensors};

/// `checkpoint.safetensors`: a trained network.
///
/// The tensors are named and shaped as `torch.nn.Sequential(Linear, ReLU, Linear, ...)` names them (`0.weight`
/// `[out, in]`, `0.bias`, `2.weight`, ...), so `load_state_dict` takes the file as it is, unless it has groups: such a layer
/// is what `torch.nn.Conv1d(in, out, kernel_size=1, groups=groups)` computes, and its weight lacks the kernel's axis of 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What the network is.
    pub model: ModelDescription,
    /// How it was trained.
    pub provenance: Provenance,
    /// Its layers, first to last.
    pub layers: Vec<LinearLayer>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    model: ModelDescription,
    provenance: Provenance,
}

const FORM: Form = Form { kind: Checkpoint::KIND, key: Checkpoint::KIND, schema_version: 2 };

impl Checkpoint {
    /// As messages call it.
    pub(crate) const KIND: &str = "checkpoint";

    /// Writes the file; returns its digest.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> files::Result<Digest> {
        let mut tensors = Tensors::new();
        for (index, LinearLayer { weight, bias, .. }) in self.layers.iter().enumerate() {
            let (weight_name, bias_name) = Self::tensor_names(index);
            tensors.insert(
                weight_name,
                Tensor { shape: weight.shape().to_vec(), values: weight.iter().copied().collect() },
            );
            tensors.insert(bias_name, Tensor { shape: vec![bias.len()], values: bias.to_vec() });
        }
        let (model, provenance) = (self.model.clone(), self.provenance.clone());
        tensors::write(path, &FORM, &Description { model, provenance }, &tensors)
    }

    /// Reads the file, and its digest.
    ///
    /// # Errors
    /// When the file cannot be read, or its tensors are not those of the network that it describes.
    pub fn read(path: &Path) -> Result<(Self, Digest)> {
        let bytes = fs::read(path).context("read", path)?;
        Ok((Self::parse(&bytes, path)?, Digest::of(&bytes)))
    }

    /// The network in `bytes`, which are those of the file `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let (description, mut tensors) = tensors::parse::<Description>(bytes, path, &FORM)?;
        let Description { model, provenance } = description;
        let malformed = |reason| Error::Malformed { path: path.to_owned(), kind: Self::KIND, reason };

        let mut take = |name: &str, shape: &[usize]| {
            let tensor = tensors.remove(name).ok_or_else(|| malformed(format!("tensor `{name}` is missing")))?;
            if tensor.shape != shape {
                let found = &tensor.shape;
                return Err(malformed(format!("tensor `{name}` has shape {found:?}; its description says {shape:?}")));
            }
            match tensor.values.iter().find(|value| !value.is_finite()) {
                Some(value) => Err(malformed(format!("tensor `{name}` holds {value}"))),
                None => Ok(tensor.values),
            }
        };
        model.check().map_err(malformed)?;
        let mut layers = Vec::new();
        for (index, shape) in model.layers().iter().enumerate() {
            let (weight_name, bias_name) = Self::tensor_names(index);
            let weight = Array2::from_shape_vec(shape.weight(), take(&weight_name, &shape.weight())?);
            let bias = Array1::from_vec(take(&bias_name, &[shape.outputs])?);
            layers.push(LinearLayer { weight: weight.expect("the shape was compared"), bias, groups: shape.groups });
        }
        match tensors.keys().next() {
            Some(name) => Err(malformed(format!("tensor `{name}` is not part of the network that it describes"))),
            None => Ok(Self { model, provenance, layers }),
        }
    }

    /// The names of the weight and the bias of a layer, counted from 0.
    #[must_use]
    pub fn tensor_names(layer: usize) -> (String, String) {
        let place = sequential_place(layer);
        (format!("{place}.weight"), format!("{place}.bias"))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::run::model;

    fn example() -> Checkpoint {
        let model = model::tests::example();
        let layer = |outputs: usize, inputs: usize, groups| LinearLayer {
            weight: Array2::from_shape_fn((outputs, inputs), |(o, i)| o as f32 - i as f32 / 8.0),
            bias: Array1::from_shape_fn(outputs, |o| o as f32),
            groups,
        };
        let layers = vec![layer(4, 6, NonZeroUsize::MIN), layer(6, 2, model.groups), layer(2, 6, NonZeroUsize::MIN)];
        Checkpoint { model, provenance: Provenance::new("train", "0.1.0"), layers }
    }

    #[test]
    fn a_checkpoint_comes_back_as_it_was_and_is_written_to_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        let digest = example().write(&first).unwrap();
        assert_eq!(Checkpoint::read(&first).unwrap(), (example(), digest));
        assert_eq!(example().write(&second).unwrap(), digest);
    }

    #[test]
    fn tensors_that_are_not_the_described_network_s_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint.safetensors");
        let mut wrong_shape = example();
        wrong_shape.model.hidden = vec![8, 6];
        let mut no_groups = example();
        no_groups.model.groups = NonZeroUsize::MIN;
        let mut uneven = example();
        uneven.model.groups = NonZeroUsize::new(3).unwrap();
        let mut missing = example();
        missing.layers.pop();
        let mut surplus = example();
        surplus.layers.push(surplus.layers[2].clone());
        let mut not_finite = example();
        not_finite.layers[1].bias[0] = f32::NAN;
        for (checkpoint, expected) in [
            (wrong_shape, "tensor `0.weight` has shape [4, 6]; its description says [8, 6]"),
            (no_groups, "tensor `2.weight` has shape [6, 2]; its description says [6, 4]"),
            (uneven, "its hidden layer of 4 units has no 3 equal groups"),
            (missing, "tensor `4.weight` is missing"),
            (surplus, "tensor `6.bias` is not part of the network that it describes"),
            (not_finite, "tensor `2.bias` holds NaN"),
        ] {
            checkpoint.write(&path).unwrap();
            let message = Checkpoint::read(&path).unwrap_err().to_string();
            assert!(message.ends_with(expected), "{message}");
        }
    }
}
