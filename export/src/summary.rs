//! What was exported, for the person who watches.

use terminal::{Align, Table};

use crate::graph::{Axis, Graph, Operation, Step};
use crate::onnx::{BATCH, IR_VERSION, OPSET};

/// One row an operation.
pub(crate) fn table(graph: &Graph) -> Table {
    let mut table = Table::new(&[
        ("node", Align::Left),
        ("operation", Align::Left),
        ("output", Align::Left),
        ("shape", Align::Left),
        ("parameters", Align::Right),
        ("bytes", Align::Right),
    ]);
    for step in &graph.steps {
        let [parameters, bytes] = [step.parameters(), step.bytes()].map(|count| match count {
            0 => String::new(),
            count => count.to_string(),
        });
        table.row([step.name.clone(), operation(step.operation), step.output.clone(), shape(step), parameters, bytes]);
    }
    table
}

/// The whole in a line.
pub(crate) fn line(graph: &Graph, bytes: usize) -> String {
    let (nodes, parameters) = (graph.steps.len(), graph.parameters());
    format!("export: {nodes} nodes, {parameters} parameters, {bytes} bytes; ONNX IR {IR_VERSION}, opset {OPSET}")
}

fn operation(operation: Operation) -> String {
    match operation {
        Operation::Flatten => "Flatten",
        Operation::Cast => "Cast to f32",
        Operation::Multiply => "Mul",
        Operation::Add => "Add",
        Operation::Linear => "Gemm",
        Operation::Reshape => "Reshape",
        Operation::Transpose => "Transpose",
        Operation::MatMul => "MatMul",
        Operation::Relu => "Relu",
        Operation::Softmax => "Softmax",
    }
    .to_owned()
}

fn shape(step: &Step) -> String {
    let sizes = step.shape.iter().map(|axis| match axis {
        Axis::Batch => BATCH.to_owned(),
        Axis::Of(size) => size.to_string(),
    });
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}
