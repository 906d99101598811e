//! The graph in ONNX's form.

use artifacts::ModelMetadata;
use onnx_rs::ast::{
    Attribute, AttributeType, DataType, Dimension, Graph as OnnxGraph, Model, Node, OpType, OperatorSetId,
    StringStringEntry, TensorProto, TensorShape, TensorShapeDimension, TensorTypeProto, TypeProto, TypeValue,
    ValueInfo,
};

use crate::graph::{Axis, Constant, Element, Graph, IMAGES, LOGITS, Operation, PROBABILITIES, Step};

/// ONNX's file form 8 and operator set 17 are of 2022: onnxruntime reads them from 1.12 on, and nothing here needs newer.
pub(crate) const IR_VERSION: i64 = 8;
/// See [`IR_VERSION`].
pub(crate) const OPSET: i64 = 17;
/// Readers of protocol buffers refuse more.
pub(crate) const MOST_BYTES: usize = i32::MAX as usize;

/// The name of the batch axis.
pub(crate) const BATCH: &str = "N";

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
            input: vec![value(
                IMAGES,
                DataType::Uint8,
                &[Axis::Batch, Axis::Of(height), Axis::Of(width)],
                &described[0],
            )],
            output: vec![
                value(LOGITS, DataType::Float, &[Axis::Batch, Axis::Of(graph.classes)], &described[1]),
                value(PROBABILITIES, DataType::Float, &[Axis::Batch, Axis::Of(graph.classes)], &described[2]),
            ],
            value_info: intermediate_values(graph),
            ..OnnxGraph::default()
        }),
        ..Model::default()
    };
    onnx_rs::encode(&model)
}

fn nodes(graph: &Graph) -> Vec<Node<'_>> {
    let mut previous = IMAGES;
    let mut nodes = Vec::new();
    for step in &graph.steps {
        let constants = step.constants.iter().map(|constant| constant.name.as_str());
        nodes.push(Node {
            name: &step.name,
            op_type: op_type(step.operation),
            input: [previous].into_iter().chain(constants).collect(),
            output: vec![&step.output],
            attribute: attributes(step.operation),
            ..Node::default()
        });
        previous = &step.output;
    }
    nodes
}

fn op_type(operation: Operation) -> OpType<'static> {
    match operation {
        Operation::Flatten => OpType::Flatten,
        Operation::Cast => OpType::Cast,
        Operation::Multiply => OpType::Mul,
        Operation::Add => OpType::Add,
        Operation::Linear => OpType::Gemm,
        Operation::Reshape => OpType::Reshape,
        Operation::Transpose => OpType::Transpose,
        Operation::MatMul => OpType::MatMul,
        Operation::Relu => OpType::Relu,
        Operation::Softmax => OpType::Softmax,
    }
}

fn attributes(operation: Operation) -> Vec<Attribute<'static>> {
    let integer = |name, i| vec![Attribute { name, r#type: AttributeType::Int, i, ..Attribute::default() }];
    match operation {
        Operation::Flatten => integer("axis", 1),
        Operation::Cast => integer("to", DataType::Float as i64),
        Operation::Linear => integer("transB", 1),
        Operation::Softmax => integer("axis", -1),
        Operation::Transpose => {
            vec![Attribute { name: "perm", r#type: AttributeType::Ints, ints: vec![1, 0, 2], ..Attribute::default() }]
        }
        Operation::Multiply | Operation::Add | Operation::Reshape | Operation::MatMul | Operation::Relu => vec![],
    }
}

fn initializers<'a>(graph: &'a Graph) -> Vec<TensorProto<'a>> {
    let constants = graph.steps.iter().flat_map(|step| &step.constants);
    let tensor = |constant: &'a Constant| {
        let element = match constant.element {
            Element::F32 => DataType::Float,
            Element::I64 => DataType::Int64,
        };
        let shape = constant.shape.iter().map(|&size| signed(size)).collect();
        TensorProto::from_raw(&constant.name, shape, element, &constant.bytes)
    };
    constants.map(tensor).collect()
}

/// The tensors between the operations, so that a viewer shows their shapes.
fn intermediate_values(graph: &Graph) -> Vec<ValueInfo<'_>> {
    let inner = graph.steps.iter().filter(|step| ![LOGITS, PROBABILITIES].contains(&step.output.as_str()));
    inner.map(|step| value(&step.output, element_type(step), &step.shape, "")).collect()
}

fn element_type(step: &Step) -> DataType {
    if step.operation == Operation::Flatten { DataType::Uint8 } else { DataType::Float }
}

fn value<'a>(name: &'a str, elem_type: DataType, shape: &[Axis], doc_string: &'a str) -> ValueInfo<'a> {
    let dimension = |axis: &Axis| match axis {
        Axis::Batch => Dimension::Param(BATCH),
        Axis::Of(size) => Dimension::Value(signed(*size)),
    };
    let dim = shape.iter().map(|axis| TensorShapeDimension { value: dimension(axis), denotation: "" }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShape { dim }) };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: "" });
    ValueInfo { name, r#type, doc_string, ..ValueInfo::default() }
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).expect("an array in memory has fewer than 2^63 rows")
}
