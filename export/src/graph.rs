//! The network as a graph of named operations over named tensors, before it takes ONNX's form.
//!
//! ```text
//! images u8 [N, H, W] ─ Flatten ─ Cast ─ Mul ─ Add ─ Gemm ─ Relu ─ ... ─ Gemm ─┬─ logits        f32 [N, C]
//!                                └ (pixel / 255 − mean) / deviation ┘          └ Softmax ─ probabilities
//! ```
//!
//! With a temperature T, `Mul` by 1/T stands before `Softmax`. A layer of G groups is, in place of its `Gemm`, a product of
//! matrices a group:
//!
//! ```text
//! [N, in] ─ Reshape ─ [N, G, in / G] ─ Transpose ─ [G, N, in / G] ─┐
//!   ┌─────────────────────────────────────────────────────── MatMul ─┘
//!   └ [G, N, out / G] ─ Transpose ─ [N, G, out / G] ─ Reshape ─ Add ─ [N, out]
//! ```

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
    /// The axes of `output`.
    pub shape: Vec<Axis>,
}

/// The length of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// As many as there are images.
    Batch,
    /// So many.
    Of(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// `[N, ...]` to `[N, product of the rest]`.
    Flatten,
    /// To `f32`.
    Cast,
    /// By a scalar.
    Multiply,
    /// A scalar, or a row to each row.
    Add,
    /// `x · weightᵀ + bias`.
    Linear,
    /// To the shape that its constant says; the batch axis stays.
    Reshape,
    /// The first two axes change places.
    Transpose,
    /// `x · weight`, a product a group: `[G, N, in] · [G, in, out]`.
    MatMul,
    /// `max(x, 0)`.
    Relu,
    /// Along the last axis.
    Softmax,
}

/// A tensor that is part of the model.
#[derive(Debug)]
pub(crate) struct Constant {
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    /// Row-major, little-endian, as ONNX's `raw_data`.
    pub bytes: Vec<u8>,
}

/// What a constant consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// The model's numbers.
    F32,
    /// The sizes of a shape.
    I64,
}

impl Graph {
    /// The graph of a trained network, whose probabilities are of the logits divided by `temperature`.
    pub(crate) fn of(checkpoint: &Checkpoint, temperature: Option<f64>) -> Self {
        let model = &checkpoint.model;
        let mut steps = standardisation(model);
        let last = checkpoint.layers.len() - 1;
        for (index, layer) in checkpoint.layers.iter().enumerate() {
            let output = if index == last { LOGITS.to_owned() } else { format!("{}.output", 2 * index) };
            match layer.groups.get() {
                1 => steps.push(linear(index, layer, &output)),
                groups => steps.extend(grouped(index, layer, groups, &output)),
            }
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
        let numbers = self.constants.iter().filter(|constant| constant.element == Element::F32);
        numbers.map(|constant| constant.shape.iter().product::<usize>()).sum()
    }

    /// How many bytes these numbers take.
    pub(crate) fn bytes(&self) -> usize {
        self.constants.iter().map(|constant| constant.bytes.len()).sum()
    }
}

impl Constant {
    fn new(name: &str, shape: &[usize], values: impl Iterator<Item = f32>) -> Self {
        let bytes = values.flat_map(f32::to_le_bytes).collect();
        Self { name: name.to_owned(), element: Element::F32, shape: shape.to_vec(), bytes }
    }

    /// What `Reshape` takes, where the first axis stays as it is.
    fn shape_behind_the_batch(name: &str, axes: &[usize]) -> Self {
        let sizes = [0].into_iter().chain(axes.iter().copied());
        let bytes = sizes.flat_map(|size| (size as i64).to_le_bytes()).collect();
        Self { name: name.to_owned(), element: Element::I64, shape: vec![1 + axes.len()], bytes }
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
fn linear(index: usize, layer: &LinearLayer, output: &str) -> Step {
    let (weight, bias) = Checkpoint::tensor_names(index);
    let constants = vec![
        Constant::new(&weight, layer.weight.shape(), layer.weight.iter().copied()),
        Constant::new(&bias, layer.bias.shape(), layer.bias.iter().copied()),
    ];
    step(&format!("{}.linear", 2 * index), Operation::Linear, constants, output, &[layer.bias.len()])
}

/// Layer `index` where it has several groups. Its weights stand as they are multiplied, `[G, in / G, out / G]`.
fn grouped(index: usize, layer: &LinearLayer, groups: usize, output: &str) -> [Step; 6] {
    let (weight, bias) = Checkpoint::tensor_names(index);
    let (inputs, outputs) = (layer.weight.ncols(), layer.weight.nrows() / groups);
    let places = (0..groups).flat_map(|group| (0..inputs).map(move |input| (group, input)));
    let transposed = places
        .flat_map(|(group, input)| (0..outputs).map(move |output| layer.weight[[group * outputs + output, input]]));
    let weight = Constant::new(&format!("{weight}.transposed"), &[groups, inputs, outputs], transposed);
    let bias = Constant::new(&bias, layer.bias.shape(), layer.bias.iter().copied());

    let named = |name: &str| format!("{}.{name}", 2 * index);
    let reshape = |name: &str, axes: &[usize], output: &str| {
        let shape = Constant::shape_behind_the_batch(&named(&format!("{name}.shape")), axes);
        step(&named(name), Operation::Reshape, vec![shape], &named(output), axes)
    };
    let of_groups_first = |name: &str, operation, constants, output: &str, width| Step {
        shape: vec![Axis::Of(groups), Axis::Batch, Axis::Of(width)],
        ..step(&named(name), operation, constants, &named(output), &[])
    };
    [
        reshape("group", &[groups, inputs], "grouped"),
        of_groups_first("transpose", Operation::Transpose, vec![], "transposed", inputs),
        of_groups_first("linear", Operation::MatMul, vec![weight], "products", outputs),
        step(&named("transpose_back"), Operation::Transpose, vec![], &named("products.grouped"), &[groups, outputs]),
        reshape("ungroup", &[layer.bias.len()], "ungrouped"),
        step(&named("add"), Operation::Add, vec![bias], output, &[layer.bias.len()]),
    ]
}

fn relu(index: usize, width: usize) -> Step {
    let place = 2 * index + 1;
    step(&format!("{place}.relu"), Operation::Relu, vec![], &format!("{place}.output"), &[width])
}

/// An operation whose output has these axes behind the batch axis.
fn step(name: &str, operation: Operation, constants: Vec<Constant>, output: &str, axes: &[usize]) -> Step {
    let shape = [Axis::Batch].into_iter().chain(axes.iter().copied().map(Axis::Of)).collect();
    Step { name: name.to_owned(), operation, constants, output: output.to_owned(), shape }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::num::NonZeroUsize;

    use artifacts::LayerShape;

    use super::*;

    fn network(hidden: Vec<usize>) -> Checkpoint {
        network_of_groups(hidden, NonZeroUsize::MIN)
    }

    fn network_of_groups(hidden: Vec<usize>, groups: NonZeroUsize) -> Checkpoint {
        let model = ModelDescription {
            classes: vec!["A".into(), "B".into(), "C".into()],
            height: 4,
            width: 5,
            mean: 0.4,
            standard_deviation: 0.45,
            hidden,
            groups,
        };
        let layer = |shape: LayerShape| LinearLayer {
            weight: ndarray::Array2::ones(shape.weight()),
            bias: ndarray::Array1::zeros(shape.outputs),
            groups: shape.groups,
        };
        let layers = model.layers().into_iter().map(layer).collect();
        Checkpoint { model, provenance: artifacts::Provenance::new("train", "0.1.0"), layers }
    }

    #[test]
    fn every_name_is_different_and_the_outputs_are_last() {
        let three = NonZeroUsize::new(3).unwrap();
        let of_groups = network_of_groups(vec![6, 3, 9], three);
        let networks = [network(vec![]), network(vec![7]), network(vec![7, 6, 5]), of_groups];
        for (network, temperature) in networks.iter().flat_map(|network| [(network, None), (network, Some(2.0))]) {
            let (graph, hidden) = (Graph::of(network, temperature), &network.model.hidden);
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
        let groups = network_of_groups(vec![6, 4], NonZeroUsize::new(2).unwrap());
        assert_eq!(Graph::of(&groups, None).parameters(), 20 * 6 + 6 + (3 * 2 + 3 * 2) + 4 + 4 * 3 + 3 + 2);
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
