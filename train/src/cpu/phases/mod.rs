//! The phases of a training step.
//!
//! Each is a list of tasks for the threads; one begins when the one before it is over. What a layer's output goes through
//! (bias, `ReLU`, dropout, the loss, their gradients, the update of the weights) happens to each block of a product as
//! soon as it is complete (of one without zeros, as soon as the task's blocks are), while it is in the caches.

mod backward;
mod delta;
mod forward;
mod gather;
mod judge;
mod learn;
mod transpose;
mod update;

use super::panels::{Block, Line};
pub use backward::Backward;
pub use delta::{Delta, DeltaCopies};
pub use forward::Forward;
pub use gather::{Gather, Images};
pub use judge::Judge;
pub use learn::{Hidden, Layers, Learn, Learning};
pub use transpose::Transpose;
pub use update::{SquareSums, Update};

/// Adds the biases of a block's outputs.
#[inline(always)]
fn add_bias(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        line.0.iter_mut().for_each(|value| *value += bias);
    }
}
