//! The multilayer perceptron: its sizes, its first weights, and where each parameter lies in one flat buffer.

use std::num::NonZeroUsize;
use std::ops::Range;

use artifacts::tensors::{Tensor, Tensors};
use artifacts::{Checkpoint, LinearLayer};
use ndarray::{Array, ArrayView, ArrayView1, ArrayView2, Axis, Dimension, RemoveAxis, concatenate};
use rand_distr::{Distribution as _, Normal};

use crate::random::{Purpose, generator};

/// Linear layers with a `ReLU` between any two.
///
/// All parameters lie in one buffer, layer by layer: the weight `[out, in]` row by row, then the bias `[out]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mlp {
    layers: Vec<Layer>,
}

/// A linear layer and its places in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
    /// The weight's place.
    pub weight: Range<usize>,
    /// The bias's place.
    pub bias: Range<usize>,
}

impl Layer {
    /// The weight and the bias in a buffer.
    fn of<'a>(&self, buffer: &'a [f32]) -> (ArrayView2<'a, f32>, ArrayView1<'a, f32>) {
        let weight = ArrayView2::from_shape((self.outputs, self.inputs), &buffer[self.weight.clone()]);
        (weight.expect("the place has the weight's size"), ArrayView1::from(&buffer[self.bias.clone()]))
    }
}

fn stack<D: RemoveAxis>(axis: Axis, parts: &[ArrayView<'_, f32, D>]) -> Array<f32, D> {
    concatenate(axis, parts).expect("the networks are of the same sizes")
}

/// The sum of shares of `parts`, of which there is one at least.
fn mean<D: Dimension>(parts: &[ArrayView<'_, f32, D>], share: f32) -> Array<f32, D> {
    let (first, others) = parts.split_first().expect("there is a network");
    others.iter().fold(first * share, |sum, part| sum + part * share)
}

impl Mlp {
    /// The most parameters that a training takes: an ONNX file has at most 2 GiB, and not only they are in it.
    pub const MOST_PARAMETERS: usize = (1 << 29) - (1 << 16);

    /// A perceptron of the given widths: input, hidden layers, output.
    ///
    /// # Panics
    /// With fewer than two widths.
    #[must_use]
    pub fn new(sizes: &[usize]) -> Self {
        assert!(sizes.len() >= 2, "a perceptron has an input and an output");
        let mut end = 0;
        let mut take = |count| {
            let start = end;
            end += count;
            start..end
        };
        let layers = sizes.windows(2).map(|ends| Layer {
            inputs: ends[0],
            outputs: ends[1],
            weight: take(ends[0] * ends[1]),
            bias: take(ends[1]),
        });
        Self { layers: layers.collect() }
    }

    /// The layers, first to last; there is at least one.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The width of the input.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// The number of classes.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// How many parameters there are in all: the length of the buffer.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers[self.layers.len() - 1].bias.end
    }

    /// The first parameters: weights from a normal distribution of mean 0 and deviation √(2 / inputs), biases 0.
    ///
    /// He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015, section 2.2; PyTorch's `kaiming_normal_` with its
    /// `fan_in` and `relu`.
    #[must_use]
    pub fn kaiming_normal(&self, seed: u64) -> Vec<f32> {
        let mut parameters = vec![0.0; self.parameters()];
        for (layer, index) in self.layers.iter().zip(0..) {
            let mut generator = generator(seed, Purpose::Weights(index));
            let deviation = (2.0 / layer.inputs as f64).sqrt();
            let normal = Normal::new(0.0, deviation).expect("the deviation is finite");
            parameters[layer.weight.clone()].fill_with(|| normal.sample(&mut generator) as f32);
        }
        parameters
    }

    /// The layers of the perceptron whose logits are the mean of those of perceptrons of these sizes, one for each buffer of
    /// parameters. Its hidden layers are theirs side by side, a group each.
    ///
    /// # Panics
    /// Without a network.
    #[must_use]
    pub fn join(&self, networks: &[Vec<f32>]) -> Vec<LinearLayer> {
        let count = NonZeroUsize::new(networks.len()).expect("there is a network");
        let last = self.layers.len() - 1;
        let layers = self.layers.iter().enumerate().map(|(index, layer)| {
            let (weights, biases): (Vec<_>, Vec<_>) = networks.iter().map(|network| layer.of(network)).unzip();
            if index < last {
                // The first sees the image, of which there is one.
                let groups = if index == 0 { NonZeroUsize::MIN } else { count };
                return LinearLayer { weight: stack(Axis(0), &weights), bias: stack(Axis(0), &biases), groups };
            }
            let share = 1.0 / count.get() as f32;
            let weight = if last == 0 { mean(&weights, share) } else { stack(Axis(1), &weights) * share };
            LinearLayer::full(weight, mean(&biases, share))
        });
        layers.collect()
    }

    /// The parameters with which the perceptron sees an image of `[height, width]` as if it were shifted, down and to the
    /// right: where `outside` comes in, the value of a pixel beyond the image.
    #[must_use]
    pub fn shifted(&self, parameters: &[f32], [height, width]: [usize; 2], shift: [i64; 2], outside: f32) -> Vec<f32> {
        let layer = &self.layers[0];
        let mut shifted = parameters.to_vec();
        let moved = |place: usize, by: i64, size: usize| {
            let moved = place as i64 + by;
            usize::try_from(moved).ok().filter(|&moved| moved < size)
        };
        let [down, right] = shift;
        for unit in 0..layer.outputs {
            let start = layer.weight.start + unit * layer.inputs;
            let before = &parameters[start..start + layer.inputs];
            let after = &mut shifted[start..start + layer.inputs];
            after.fill(0.0);
            let mut from_outside = 0.0;
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let weight = before[y * width + x];
                match (moved(y, -down, height), moved(x, -right, width)) {
                    (Some(y), Some(x)) => after[y * width + x] = weight,
                    _ => from_outside += weight,
                }
            }
            shifted[layer.bias.start + unit] += from_outside * outside;
        }
        shifted
    }

    /// The buffer's tensors under their names in a checkpoint, each after `prefix`.
    pub fn tensors<'a>(&'a self, prefix: &'a str, buffer: &'a [f32]) -> impl Iterator<Item = (String, Tensor)> + 'a {
        self.named().map(move |(name, shape, place)| {
            (format!("{prefix}{name}"), Tensor { shape, values: buffer[place].to_vec() })
        })
    }

    /// The buffer whose tensors are named after `prefix`.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape.
    pub fn buffer(&self, prefix: &str, tensors: &Tensors) -> Result<Vec<f32>, String> {
        let mut buffer = vec![0.0; self.parameters()];
        for (name, shape, place) in self.named() {
            let name = format!("{prefix}{name}");
            match tensors.get(&name) {
                Some(tensor) if tensor.shape == shape => buffer[place].copy_from_slice(&tensor.values),
                Some(tensor) => return Err(format!("tensor `{name}` has shape {:?}, not {shape:?}", tensor.shape)),
                None => return Err(format!("tensor `{name}` is missing")),
            }
        }
        Ok(buffer)
    }

    fn named(&self) -> impl Iterator<Item = (String, Vec<usize>, Range<usize>)> {
        self.layers.iter().enumerate().flat_map(|(index, layer)| {
            let (weight, bias) = Checkpoint::tensor_names(index);
            [
                (weight, vec![layer.outputs, layer.inputs], layer.weight.clone()),
                (bias, vec![layer.outputs], layer.bias.clone()),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_holds_each_layer_s_weight_and_then_its_bias() {
        let mlp = Mlp::new(&[784, 256, 10]);
        assert_eq!(mlp.layers()[0].weight, 0..200_704);
        assert_eq!(mlp.layers()[0].bias, 200_704..200_960);
        assert_eq!(mlp.layers()[1].bias, 203_520..203_530);
        // torchinfo's "Total params" of Sequential(Linear(784, 256), ReLU(), Linear(256, 10)).
        assert_eq!(mlp.parameters(), 203_530);
    }

    #[test]
    fn the_first_weights_have_the_deviation_of_kaiming_normal_and_the_biases_are_zero() {
        let mlp = Mlp::new(&[784, 256, 10]);
        let parameters = mlp.kaiming_normal(1);
        for layer in mlp.layers() {
            let weights = &parameters[layer.weight.clone()];
            let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / weights.len() as f64;
            let square = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / weights.len() as f64;
            let expected = 2.0 / layer.inputs as f64;
            // The mean of n squares has a relative deviation of √(2 / n); five of them are not exceeded by chance.
            let tolerance = 5.0 * (2.0 / weights.len() as f64).sqrt();
            assert!((square / expected - 1.0).abs() < tolerance, "{square} for {expected}");
            assert!(mean.abs() < 5.0 * (expected / weights.len() as f64).sqrt(), "{mean}");
            assert!(parameters[layer.bias.clone()].iter().all(|&bias| bias == 0.0));
        }
        assert_ne!(parameters, mlp.kaiming_normal(2));
    }

    /// The logits for an image, in `f64`.
    fn logits(layers: &[LinearLayer], image: &[f64]) -> Vec<f64> {
        let mut values = image.to_vec();
        for (index, LinearLayer { weight, bias, groups }) in layers.iter().enumerate() {
            let outputs_a_group = bias.len() / groups.get();
            let outputs = weight.rows().into_iter().zip(bias).enumerate().map(|(unit, (row, &bias))| {
                let group = &values[unit / outputs_a_group * row.len()..][..row.len()];
                let sum: f64 = row.iter().zip(group).map(|(&weight, value)| f64::from(weight) * value).sum();
                let output = sum + f64::from(bias);
                if index + 1 < layers.len() { output.max(0.0) } else { output }
            });
            values = outputs.collect();
        }
        values
    }

    fn networks(mlp: &Mlp, count: u64) -> Vec<Vec<f32>> {
        let with_biases = |seed| {
            let mut parameters = mlp.kaiming_normal(seed);
            for layer in mlp.layers() {
                parameters[layer.bias.clone()].iter_mut().zip(1..).for_each(|(bias, index)| *bias = 0.1 * index as f32);
            }
            parameters
        };
        (0..count).map(with_biases).collect()
    }

    #[test]
    fn a_joined_network_gives_the_mean_of_the_logits() {
        let image: Vec<f64> = (0..6).map(|pixel| f64::from(pixel * 5 % 7) - 3.0).collect();
        for sizes in [&[6, 3][..], &[6, 5, 3], &[6, 5, 4, 3]] {
            for count in [1, 3] {
                let mlp = Mlp::new(sizes);
                let networks = networks(&mlp, count);
                let joined = mlp.join(&networks);
                let found = logits(&joined, &image);
                for (class, found) in found.into_iter().enumerate() {
                    let alone = networks.chunks(1).map(|network| logits(&mlp.join(network), &image)[class]);
                    assert!((found - alone.sum::<f64>() / count as f64).abs() < 1e-6, "{sizes:?} of {count}");
                }
                let groups = joined.iter().map(|layer| layer.groups.get() as u64).collect::<Vec<_>>();
                let expected =
                    (0..groups.len()).map(|index| if (1..sizes.len() - 2).contains(&index) { count } else { 1 });
                assert_eq!(groups, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn one_network_joined_is_itself() {
        let mlp = Mlp::new(&[6, 5, 4, 3]);
        let only = networks(&mlp, 1);
        let joined = mlp.join(&only);
        let buffer: Vec<f32> =
            joined.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias).copied()).collect();
        assert_eq!([buffer], only[..]);
        let shapes: Vec<_> = joined.iter().map(|layer| layer.weight.dim()).collect();
        assert_eq!(shapes, [(5, 6), (4, 5), (3, 4)]);
    }

    #[test]
    fn with_shifted_weights_an_image_is_seen_as_if_it_were_shifted() {
        let (height, width, outside) = (3, 4, -0.75_f32);
        let image = |y: i64, x: i64| {
            let is_inside = (0..height).contains(&y) && (0..width).contains(&x);
            if is_inside { (y * width + x) as f64 * 0.3 - 1.0 } else { f64::from(outside) }
        };
        let shifted_image = |[down, right]: [i64; 2]| -> Vec<f64> {
            (0..height).flat_map(|y| (0..width).map(move |x| image(y - down, x - right))).collect()
        };
        let mlp = Mlp::new(&[12, 5, 3]);
        let [network] = &networks(&mlp, 1)[..] else { unreachable!() };
        for shift in [[0, 0], [0, 1], [0, -1], [2, 0], [-2, 0], [1, -3], [5, 0]] {
            let shifted = mlp.shifted(network, [3, 4], shift, outside);
            let found = logits(&mlp.join(&[shifted]), &shifted_image([0, 0]));
            let expected = logits(&mlp.join(std::slice::from_ref(network)), &shifted_image(shift));
            let is_near = found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5);
            assert!(is_near, "{shift:?}: {found:?} for {expected:?}");
        }
    }

    #[test]
    fn a_buffer_comes_back_from_its_tensors_and_what_does_not_fit_is_named() {
        let mlp = Mlp::new(&[3, 4, 2]);
        let buffer = mlp.kaiming_normal(0);
        let mut tensors: Tensors = mlp.tensors("exp_avg.", &buffer).collect();
        assert_eq!(mlp.buffer("exp_avg.", &tensors), Ok(buffer));
        assert_eq!(mlp.buffer("", &tensors), Err("tensor `0.weight` is missing".to_owned()));
        tensors.get_mut("exp_avg.2.bias").unwrap().shape = vec![3];
        assert_eq!(mlp.buffer("exp_avg.", &tensors), Err("tensor `exp_avg.2.bias` has shape [3], not [2]".to_owned()));
    }
}
