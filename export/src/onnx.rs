//! The graph in ONNX's form.

use artifacts::ModelMetadata;
use onnx_rs::ast::{
    Attribute, AttributeType, DataType, Dimension, Graph as OnnxGraph, Model, Node, OpType, OperatorSetId,
    StringStringEntry, TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue,
    ValueInfo,
};

use crate::graph::{Graph, Groups, Operation, Step};

/// ONNX's file form 8 and operator set 17 are of 2022: onnxruntime reads them from 1.12 on, and nothing here needs newer.
pub(crate) const IR_VERSION: i64 = 8;
/// See [`IR_VERSION`].
pub(crate) const OPSET: i64 = 17;
/// Readers of protocol buffers refuse more.
pub(crate) const MOST_BYTES: usize = i32::MAX as usize;

/// The name of the batch axis.
const BATCH: &str = "N";

/// The bytes of `model.onnx`.
pub(crate) fn encode(graph: &Graph, metadata: &ModelMetadata) -> Vec<u8> {
    let [height, width] = graph.image;
    let classes = metadata.model.classes.join(", ");
    let described = [
        format!("Grey images of {height}x{width} pixels, one byte a pixel, 0 to 255; N of them."),
        format!("One score a class, before softmax. Classes, in order: {classes}."),
        format!("The softmax of the logits: each row sums to 1. Classes, in order: {classes}."),
    ];
    let entries = metadata.to_entries();
    let model = Model {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetId { domain: "", version: OPSET }],
        producer_name: &metadata.export.tool,
        producer_version: &metadata.export.version,
        doc_string: "A classifier of grey images; standardisation of the pixels is part of the graph.",
        metadata_props: entries.iter().map(|(key, value)| StringStringEntry { key, value }).collect(),
        graph: Some(OnnxGraph {
            name: "classifier",
            node: nodes(graph),
            initializer: initializers(graph),
            input: vec![value(ModelMetadata::IMAGES, DataType::Uint8, &graph.image, &described[0])],
            output: vec![
                value(ModelMetadata::LOGITS, DataType::Float, &[graph.classes], &described[1]),
                value(ModelMetadata::PROBABILITIES, DataType::Float, &[graph.classes], &described[2]),
            ],
            value_info: intermediate_values(graph),
            ..OnnxGraph::default()
        }),
        ..Model::default()
    };
    onnx_rs::encode(&model)
}

fn nodes(graph: &Graph) -> Vec<Node<'_>> {
    let mut previous = ModelMetadata::IMAGES;
    let mut nodes = Vec::new();
    for step in &graph.steps {
        let constants: Vec<&str> = step.constants.iter().map(|constant| constant.name.as_str()).collect();
        match &step.groups {
            None => nodes.push(operation(step.operation, &step.name, previous, &constants, &step.output)),
            Some(Groups { split, each, .. }) => {
                let parts = each.iter().map(|group| group.input.as_str()).collect();
                nodes.push(along_the_width(OpType::Split, split, vec![previous], parts));
                let constants = constants.chunks_exact(constants.len() / each.len());
                nodes.extend(each.iter().zip(constants).map(|(group, constants)| {
                    operation(step.operation, &group.name, &group.input, constants, &group.output)
                }));
                let parts = each.iter().map(|group| group.output.as_str()).collect();
                nodes.push(along_the_width(OpType::Concat, &step.name, parts, vec![&step.output]));
            }
        }
        previous = &step.output;
    }
    nodes
}

fn operation<'a>(
    operation: Operation,
    name: &'a str,
    input: &'a str,
    constants: &[&'a str],
    output: &'a str,
) -> Node<'a> {
    Node {
        name,
        op_type: op_type(operation),
        input: [input].into_iter().chain(constants.iter().copied()).collect(),
        output: vec![output],
        attribute: attributes(operation),
        ..Node::default()
    }
}

fn along_the_width<'a>(op_type: OpType<'a>, name: &'a str, input: Vec<&'a str>, output: Vec<&'a str>) -> Node<'a> {
    Node { name, op_type, input, output, attribute: vec![integer("axis", 1)], ..Node::default() }
}

fn op_type(operation: Operation) -> OpType<'static> {
    match operation {
        Operation::Flatten => OpType::Flatten,
        Operation::Cast => OpType::Cast,
        Operation::Multiply => OpType::Mul,
        Operation::Add => OpType::Add,
        Operation::Linear => OpType::Gemm,
        Operation::Relu => OpType::Relu,
        Operation::Softmax => OpType::Softmax,
    }
}

fn attributes(operation: Operation) -> Vec<Attribute<'static>> {
    match operation {
        Operation::Flatten => vec![integer("axis", 1)],
        Operation::Cast => vec![integer("to", DataType::Float as i64)],
        Operation::Linear => vec![integer("transB", 1)],
        Operation::Softmax => vec![integer("axis", -1)],
        Operation::Multiply | Operation::Add | Operation::Relu => vec![],
    }
}

fn integer(name: &str, i: i64) -> Attribute<'_> {
    Attribute { name, r#type: AttributeType::Int, i, ..Attribute::default() }
}

fn initializers(graph: &Graph) -> Vec<TensorProto<'_>> {
    let constants = graph.steps.iter().flat_map(|step| &step.constants);
    constants.map(|c| TensorProto::from_raw(&c.name, signed(&c.shape), DataType::Float, &c.bytes)).collect()
}

/// The tensors between the operations, so that a viewer shows their shapes.
fn intermediate_values(graph: &Graph) -> Vec<ValueInfo<'_>> {
    let inner = graph
        .steps
        .iter()
        .filter(|step| ![ModelMetadata::LOGITS, ModelMetadata::PROBABILITIES].contains(&step.output.as_str()));
    let of_groups = graph.steps.iter().filter_map(|step| step.groups.as_ref()).flat_map(|groups| {
        let [input, output] = groups.widths.map(|width| move |name| value(name, DataType::Float, &[width], ""));
        groups.each.iter().flat_map(move |group| [input(&group.input), output(&group.output)])
    });
    inner.map(|step| value(&step.output, element_type(step), &step.shape, "")).chain(of_groups).collect()
}

fn element_type(step: &Step) -> DataType {
    if step.operation == Operation::Flatten { DataType::Uint8 } else { DataType::Float }
}

/// A tensor of the given shape behind the batch axis.
fn value<'a>(name: &'a str, elem_type: DataType, shape: &[usize], doc_string: &'a str) -> ValueInfo<'a> {
    let axes = [Dimension::Param(BATCH)].into_iter().chain(signed(shape).into_iter().map(Dimension::Value));
    let dim = axes.map(|value| TensorShapeDimension { value, denotation: "" }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShape { dim }) };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: "" });
    ValueInfo { name, r#type, doc_string, ..ValueInfo::default() }
}

fn signed(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).expect("an array in memory has fewer than 2^63 rows")).collect()
}
