//! The network as a graph of named operations over named tensors, before it takes ONNX's form.
//!
//! ```text
//! images u8 [N, H, W] ─ Flatten ─ Cast ─ Mul ─ Add ─ Gemm ─ Relu ─ ... ─ Gemm ─┬─ logits        f32 [N, C]
//!                                └ (pixel / 255 − mean) / deviation ┘          └ Softmax ─ probabilities
//! ```
//!
//! With a temperature T, `Mul` by 1/T stands before `Softmax`. A layer of G groups is a `Split`, a `Gemm` a group and a
//! `Concat`. A product of stacked matrices would be one node, but onnxruntime does not pack its weights: the number of
//! threads then decides the last bits, and onnxruntime up to 1.31 crashes on an empty batch.

use artifacts::{Checkpoint, LinearLayer, ModelDescription, ModelMetadata, Standardisation, sequential_place};

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
    /// What the operation falls into, where it is done group by group.
    pub groups: Option<Groups>,
}

/// An operation that is done on each of some equal parts of a tensor. Its constants are those of the first, the second, ...
#[derive(Debug)]
pub(crate) struct Groups {
    /// The name of the node that parts what the operation takes.
    pub split: String,
    pub each: Vec<Group>,
    /// Widths of a group's input and output.
    pub widths: [usize; 2],
}

/// The names of a group's node, of the part that it takes, and of the one that it gives.
#[derive(Debug)]
pub(crate) struct Group {
    pub name: String,
    pub input: String,
    pub output: String,
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
            steps.push(match layer.groups.get() {
                1 => linear(index, layer, index == last),
                groups => grouped(index, layer, groups),
            });
            if index < last {
                steps.push(relu(index, layer.bias.len()));
            }
        }
        if let Some(temperature) = temperature {
            let factor = scalar("temperature.factor", (1.0 / temperature) as f32);
            steps.push(step("temperature.multiply", Operation::Multiply, factor, "tempered", &[model.classes.len()]));
        }
        steps.push(step("softmax", Operation::Softmax, vec![], ModelMetadata::PROBABILITIES, &[model.classes.len()]));
        Self { image: [model.height, model.width], classes: model.classes.len(), steps }
    }

    /// How many nodes the model has.
    pub(crate) fn nodes(&self) -> usize {
        let nodes = |step: &Step| step.groups.as_ref().map_or(1, |groups| groups.each.len() + 2);
        self.steps.iter().map(nodes).sum()
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

fn standardisation(model: &ModelDescription) -> Vec<Step> {
    let Standardisation { scale, offset } = model.standardisation();
    let pixels = [model.height * model.width];
    vec![
        step("standardise.flatten", Operation::Flatten, vec![], "pixels", &pixels),
        step("standardise.cast", Operation::Cast, vec![], "pixels.f32", &pixels),
        step("standardise.multiply", Operation::Multiply, scalar("standardise.factor", scale), "scaled", &pixels),
        step("standardise.add", Operation::Add, scalar("standardise.offset", offset), "standardised", &pixels),
    ]
}

fn scalar(name: &str, value: f32) -> Vec<Constant> {
    vec![Constant::new(name, &[], [value].into_iter())]
}

/// Layer `index`, whose constants are named as `torch.nn.Sequential` names its parameters: `0.weight`, `0.bias`.
fn linear(index: usize, layer: &LinearLayer, is_last: bool) -> Step {
    let (weight, bias) = Checkpoint::tensor_names(index);
    let place = sequential_place(index);
    let output = if is_last { ModelMetadata::LOGITS.to_owned() } else { format!("{place}.output") };
    let constants = vec![
        Constant::new(&weight, layer.weight.shape(), layer.weight.iter().copied()),
        Constant::new(&bias, layer.bias.shape(), layer.bias.iter().copied()),
    ];
    step(&format!("{place}.linear"), Operation::Linear, constants, &output, &[layer.bias.len()])
}

/// Layer `index` where it has several groups; it is not the last one.
fn grouped(index: usize, layer: &LinearLayer, groups: usize) -> Step {
    let (weight, bias) = Checkpoint::tensor_names(index);
    let place = sequential_place(index);
    let [inputs, outputs] = [layer.weight.ncols(), layer.bias.len() / groups];
    let constants = (0..groups).flat_map(|group| {
        let rows = group * outputs..(group + 1) * outputs;
        let weights = rows.clone().flat_map(|row| layer.weight.row(row).into_iter().copied());
        [
            Constant::new(&format!("{weight}.{group}"), &[outputs, inputs], weights),
            Constant::new(&format!("{bias}.{group}"), &[outputs], rows.clone().map(|row| layer.bias[row])),
        ]
    });
    let group = |group: usize| Group {
        name: format!("{place}.linear.{group}"),
        input: format!("{place}.input.{group}"),
        output: format!("{place}.output.{group}"),
    };
    let (output, constants) = (format!("{place}.output"), constants.collect());
    let each = (0..groups).map(group).collect();
    Step {
        groups: Some(Groups { split: format!("{place}.split"), each, widths: [inputs, outputs] }),
        ..step(&format!("{place}.linear"), Operation::Linear, constants, &output, &[layer.bias.len()])
    }
}

fn relu(index: usize, width: usize) -> Step {
    let place = sequential_place(index) + 1;
    step(&format!("{place}.relu"), Operation::Relu, vec![], &format!("{place}.output"), &[width])
}

fn step(name: &str, operation: Operation, constants: Vec<Constant>, output: &str, shape: &[usize]) -> Step {
    let (name, output, shape) = (name.to_owned(), output.to_owned(), shape.to_vec());
    Step { name, operation, constants, output, shape, groups: None }
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
                    let constants = step.constants.iter().map(|constant| constant.name.clone());
                    let names = |group: &Group| [&group.name, &group.input, &group.output].map(String::clone);
                    let of_groups = step.groups.iter().flat_map(|groups| groups.each.iter().flat_map(names));
                    let split = step.groups.iter().map(|groups| groups.split.clone());
                    let names = [step.name.clone(), step.output.clone()];
                    constants.chain(names).chain(of_groups).chain(split).collect::<Vec<String>>()
                })
                .chain([ModelMetadata::IMAGES.to_owned()])
                .collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{hidden:?}: {names:?}");
            let outputs: Vec<_> = graph.steps.iter().map(|step| step.output.as_str()).collect();
            let expected: &[_] = match temperature {
                None => &[ModelMetadata::LOGITS, ModelMetadata::PROBABILITIES],
                Some(_) => &[ModelMetadata::LOGITS, "tempered", ModelMetadata::PROBABILITIES],
            };
            assert!(outputs.ends_with(expected), "{hidden:?}: {outputs:?}");
        }
    }

    #[test]
    fn the_pixels_are_standardised_by_the_very_numbers_of_the_trainer() {
        let checkpoint = network(vec![7]);
        let scalar = |step: &Step| f32::from_le_bytes(step.constants[0].bytes[..].try_into().unwrap());
        let steps = standardisation(&checkpoint.model);
        let found = Standardisation { scale: scalar(&steps[2]), offset: scalar(&steps[3]) };
        assert_eq!(found, checkpoint.model.standardisation());
    }

    #[test]
    fn parameters_are_the_network_s_and_the_two_of_the_standardisation() {
        assert_eq!(Graph::of(&network(vec![7]), None).parameters(), 20 * 7 + 7 + 7 * 3 + 3 + 2);
        let groups = network_of_groups(vec![6, 4], NonZeroUsize::new(2).unwrap());
        assert_eq!(Graph::of(&groups, None).parameters(), 20 * 6 + 6 + (3 * 2 + 3 * 2) + 4 + 4 * 3 + 3 + 2);
    }
}
