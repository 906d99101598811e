//! The network as a graph of named operations over named tensors, before it takes ONNX's form.
//!
//! ```text
//! images u8 [N, H, W] ─ Flatten ─ Cast ─ Mul ─ Add ─ Gemm ─ Relu ─ ... ─ Gemm ─┬─ logits        f32 [N, C]
//!                                └ (pixel / 255 − mean) / deviation ┘          └ Softmax ─ probabilities
//! ```
//!
//! With a temperature T, `Mul` by 1/T stands before `Softmax`.

use artifacts::{Checkpoint, LinearLayer, ModelDescription};

/// The name of the input.
pub(crate) const IMAGES: &str = "images";
/// The name of the first output.
pub(crate) const LOGITS: &str = "logits";
/// The name of the second output.
pub(crate) const PROBABILITIES: &str = "probabilities";

/// A straight line of operations, each of which takes the output of the one before.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Height and width of an image.
    pub image: [usize; 2],
    /// How many classes.
    pub classes: usize,
    /// First to last.
    pub steps: Vec<Step>,
}

/// An operation, with the constants that only it uses.
#[derive(Debug)]
pub(crate) struct Step {
    pub name: String,
    pub operation: Operation,
    pub constants: Vec<Constant>,
    /// The name of the tensor that it gives.
    pub output: String,
    /// The axes of `output` behind the batch axis.
    pub shape: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `[N, ...]` to `[N, product of the rest]`.
    Flatten,
    /// To `f32`.
    Cast,
    /// By a scalar.
    Multiply,
    /// A scalar.
    Add,
    /// `x · weightᵀ + bias`.
    Linear,
    /// `max(x, 0)`.
    Relu,
    /// Along the last axis.
    Softmax,
}

/// A tensor of `f32` that is part of the model.
#[derive(Debug)]
pub(crate) struct Constant {
    pub name: String,
    pub shape: Vec<usize>,
    /// Row-major, little-endian, as ONNX's `raw_data`.
    pub bytes: Vec<u8>,
}

impl Graph {
    /// The graph of a trained network, whose probabilities are of the logits divided by `temperature`.
    pub(crate) fn of(checkpoint: &Checkpoint, temperature: Option<f64>) -> Self {
        let model = &checkpoint.model;
        let mut steps = standardisation(model);
        let last = checkpoint.layers.len() - 1;
        for (index, layer) in checkpoint.layers.iter().enumerate() {
            steps.push(linear(index, layer, index == last));
            if index < last {
                steps.push(relu(index, layer.bias.len()));
            }
        }
        if let Some(temperature) = temperature {
            let factor = scalar("temperature.factor", 1.0 / temperature);
            steps.push(step("temperature.multiply", Operation::Multiply, factor, "tempered", &[model.classes.len()]));
        }
        steps.push(step("softmax", Operation::Softmax, vec![], PROBABILITIES, &[model.classes.len()]));
        Self { image: [model.height, model.width], classes: model.classes.len(), steps }
    }

    /// How many numbers the model holds.
    pub(crate) fn parameters(&self) -> usize {
        self.steps.iter().map(Step::parameters).sum()
    }
}

impl Step {
    /// How many numbers the operation holds.
    pub(crate) fn parameters(&self) -> usize {
        self.constants.iter().map(Constant::len).sum()
    }

    /// How many bytes these numbers take.
    pub(crate) fn bytes(&self) -> usize {
        self.constants.iter().map(|constant| constant.bytes.len()).sum()
    }
}

impl Constant {
    fn new(name: &str, shape: &[usize], values: impl Iterator<Item = f32>) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), bytes: values.flat_map(f32::to_le_bytes).collect() }
    }

    fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// `(p / 255 − mean) / deviation` as one product and one sum, `p · factor + offset`.
///
/// The trainer computes the former in `f64` and rounds the result to `f32`; here the two constants are rounded, and the
/// product and the sum once more each. The two differ by at most a few units in the last place of the largest input.
fn standardisation(model: &ModelDescription) -> Vec<Step> {
    let factor = 1.0 / (255.0 * model.standard_deviation);
    let offset = -model.mean / model.standard_deviation;
    let pixels = [model.height * model.width];
    vec![
        step("standardise.flatten", Operation::Flatten, vec![], "pixels", &pixels),
        step("standardise.cast", Operation::Cast, vec![], "pixels.f32", &pixels),
        step("standardise.multiply", Operation::Multiply, scalar("standardise.factor", factor), "scaled", &pixels),
        step("standardise.add", Operation::Add, scalar("standardise.offset", offset), "standardised", &pixels),
    ]
}

fn scalar(name: &str, value: f64) -> Vec<Constant> {
    vec![Constant::new(name, &[], [value as f32].into_iter())]
}

/// Layer `index`, whose constants are named as `torch.nn.Sequential` names its parameters: `0.weight`, `0.bias`.
fn linear(index: usize, layer: &LinearLayer, is_last: bool) -> Step {
    let (weight, bias) = Checkpoint::tensor_names(index);
    let place = 2 * index;
    let output = if is_last { LOGITS.to_owned() } else { format!("{place}.output") };
    let constants = vec![
        Constant::new(&weight, layer.weight.shape(), layer.weight.iter().copied()),
        Constant::new(&bias, layer.bias.shape(), layer.bias.iter().copied()),
    ];
    step(&format!("{place}.linear"), Operation::Linear, constants, &output, &[layer.bias.len()])
}

fn relu(index: usize, width: usize) -> Step {
    let place = 2 * index + 1;
    step(&format!("{place}.relu"), Operation::Relu, vec![], &format!("{place}.output"), &[width])
}

fn step(name: &str, operation: Operation, constants: Vec<Constant>, output: &str, shape: &[usize]) -> Step {
    Step { name: name.to_owned(), operation, constants, output: output.to_owned(), shape: shape.to_vec() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn network(hidden: Vec<usize>) -> Checkpoint {
        let model = ModelDescription {
            classes: vec!["A".into(), "B".into(), "C".into()],
            height: 4,
            width: 5,
            mean: 0.4,
            standard_deviation: 0.45,
            hidden,
        };
        let sizes = model.sizes();
        let layers = sizes
            .windows(2)
            .map(|ends| LinearLayer {
                weight: ndarray::Array2::ones((ends[1], ends[0])),
                bias: ndarray::Array1::zeros(ends[1]),
            })
            .collect();
        Checkpoint { model, provenance: artifacts::Provenance::new("train", "0.1.0"), layers }
    }

    #[test]
    fn every_name_is_different_and_the_outputs_are_last() {
        let networks = [vec![], vec![7], vec![7, 6, 5]];
        for (hidden, temperature) in networks.iter().flat_map(|hidden| [(hidden, None), (hidden, Some(2.0))]) {
            let graph = Graph::of(&network(hidden.clone()), temperature);
            let names: Vec<_> = graph
                .steps
                .iter()
                .flat_map(|step| {
                    let constants = step.constants.iter().map(|constant| constant.name.as_str());
                    constants.chain([step.name.as_str(), step.output.as_str()])
                })
                .chain([IMAGES])
                .collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{hidden:?}: {names:?}");
            let outputs: Vec<_> = graph.steps.iter().map(|step| step.output.as_str()).collect();
            let expected: &[_] = match temperature {
                None => &[LOGITS, PROBABILITIES],
                Some(_) => &[LOGITS, "tempered", PROBABILITIES],
            };
            assert!(outputs.ends_with(expected), "{hidden:?}: {outputs:?}");
        }
    }

    #[test]
    fn parameters_are_the_network_s_and_the_two_of_the_standardisation() {
        assert_eq!(Graph::of(&network(vec![7]), None).parameters(), 20 * 7 + 7 + 7 * 3 + 3 + 2);
    }

    #[test]
    fn each_pixel_value_is_standardised_as_the_trainer_standardises_it() {
        // Means and deviations of: notMNIST, a dark set, a bright one, MNIST.
        for (mean, standard_deviation) in [(0.4, 0.45), (0.001, 0.01), (0.99, 0.02), (0.1307, 0.3081)] {
            let mut checkpoint = network(vec![]);
            (checkpoint.model.mean, checkpoint.model.standard_deviation) = (mean, standard_deviation);
            let steps = standardisation(&checkpoint.model);
            let scalar = |step: &Step| f32::from_le_bytes(step.constants[0].bytes[..].try_into().unwrap());
            let (factor, offset) = (scalar(&steps[2]), scalar(&steps[3]));
            let largest = (1.0 - mean).max(mean) / standard_deviation;
            for pixel in 0..=255_u8 {
                let expected = (f64::from(pixel) / 255.0 - mean) / standard_deviation;
                let found = f64::from(f32::from(pixel) * factor + offset);
                assert!((found - expected).abs() <= 3e-7 * largest, "{mean} {standard_deviation} {pixel}");
            }
        }
    }
}
