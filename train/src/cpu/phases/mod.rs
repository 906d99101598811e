//! The phases of a training step.
//!
//! Each is a list of tasks for the threads; one begins when the one before it is over. What a layer's output goes through
//! (bias, `ReLU`, dropout, the loss, their gradients, the update of the weights) happens to each block of a product as
//! soon as it is complete, while it is in the first cache.

mod backward;
mod delta;
mod forward;
mod gather;
mod judge;
mod learn;
mod transpose;
mod update;

use super::kernel::Along;
use super::panels::{Block, LANES, Layout, Line, Matrix};
use super::product::{Operand, Product};
pub use backward::Backward;
pub use delta::{Delta, DeltaCopies};
pub use forward::Forward;
pub use gather::{Gather, Images};
pub use judge::Judge;
pub use learn::{Layers, Learn, Learning};
pub use transpose::Transpose;
pub use update::{SquareSums, Update};

/// Where a layer's parameters lie.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The weight's panels are of outputs.
    pub layout: Layout,
    pub weight: usize,
    /// The first line of the biases, one for each panel of the weight.
    pub bias: usize,
    pub end: usize,
}

impl Place {
    /// The weight among the parameters.
    pub fn weight<L>(self, parameters: &[L]) -> Matrix<'_, L> {
        Matrix { lines: &parameters[self.weight..self.bias], layout: self.layout }
    }

    /// The biases, a line for each panel of outputs.
    pub fn biases(self, parameters: &[Line]) -> &[Line] {
        &parameters[self.bias..self.end]
    }
}

/// A layer's output before its activation, from its input and weight.
pub fn linear<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Depth, terms: a.layout.blocks() * LANES }
}

/// Adds the biases of a block's outputs.
#[inline(always)]
fn add_bias(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        line.0.iter_mut().for_each(|value| *value += bias);
    }
}
