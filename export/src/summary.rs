//! What was exported, for the person who watches.

use terminal::{Align, Table};

use crate::graph::{Graph, Operation, Step};
use crate::onnx::{IR_VERSION, OPSET};

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
        table.row([step.name.clone(), operations(step), step.output.clone(), shape(step), parameters, bytes]);
    }
    table
}

/// The whole in a line.
pub(crate) fn line(graph: &Graph, bytes: usize) -> String {
    let (nodes, parameters) = (graph.nodes(), graph.parameters());
    format!("export: {nodes} nodes, {parameters} parameters, {bytes} bytes; ONNX IR {IR_VERSION}, opset {OPSET}")
}

fn operations(step: &Step) -> String {
    match &step.groups {
        None => operation(step.operation).to_owned(),
        Some(groups) => format!("Split, {} {}, Concat", groups.each.len(), operation(step.operation)),
    }
}

fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Flatten => "Flatten",
        Operation::Cast => "Cast to f32",
        Operation::Multiply => "Mul",
        Operation::Add => "Add",
        Operation::Linear => "Gemm",
        Operation::Relu => "Relu",
        Operation::Softmax => "Softmax",
    }
}

fn shape(step: &Step) -> String {
    let sizes = step.shape.iter().map(|size| format!(", {size}"));
    format!("[N{}]", sizes.collect::<String>())
}
