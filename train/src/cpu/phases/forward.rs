//! Outputs of layers.

use std::hint::select_unpredictable;

use super::{add_bias, linear};
use crate::cpu::kernel::{Family, Phase};
use crate::cpu::panels::{Block, HalfLine, Line, Matrix, SharedMatrix};
use crate::cpu::product::{Grid, Operand, Operands};
use crate::dropout::Dropout;

/// Adds the biases of a block's outputs and puts the sums through a `ReLU`.
#[inline(always)]
fn add_bias_and_rectify(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        for value in &mut line.0 {
            let sum = *value + bias;
            *value = select_unpredictable(sum > 0.0, sum, 0.0);
        }
    }
}

/// The output of a hidden layer, or logits.
pub struct Forward<'a> {
    /// Input and weight.
    pub operands: Operands<'a>,
    pub biases: &'a [Line],
    pub output: SharedMatrix<'a>,
    /// The same for products in half precision.
    pub halves: Option<SharedMatrix<'a, HalfLine>>,
    pub grid: Grid,
    pub is_hidden: bool,
    pub dropout: Option<Dropout>,
}

impl Phase for Forward<'_> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        // SAFETY: the caller's.
        unsafe {
            match self.operands {
                Operands::Single(operands) => self.run_in::<F, _>(operands, task),
                Operands::Half(operands) => self.run_in::<F, _>(operands, task),
            }
        }
    }
}

impl Forward<'_> {
    /// Does a task.
    ///
    /// # Safety
    /// As [`Phase::run`].
    #[inline(always)]
    unsafe fn run_in<F: Family, L: Operand>(&self, operands: [Matrix<'_, L>; 2], task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.output.block(panel, block) }
        };
        let finish = |outputs: &mut Block, panel, block| {
            if self.is_hidden {
                add_bias_and_rectify(outputs, &self.biases[block]);
            } else {
                add_bias(outputs, &self.biases[block]);
            }
            if let Some(dropout) = self.dropout {
                dropout.apply(outputs, panel, block);
            }
            if let Some(halves) = &self.halves {
                // SAFETY: each block is in one task; the processor is of the family.
                unsafe { *halves.block(panel, block) = F::narrowed(outputs) };
            }
        };
        // SAFETY: the processor is of the family; the terms are whole blocks of both operands.
        unsafe { linear(operands).multiply::<F>(panels, blocks, place, |_, _| {}, finish) };
    }
}
