//! Outputs of layers.

use std::hint::select_unpredictable;

use super::add_bias;
use super::delta::prefetch_block;
use crate::cpu::grid::{Grid, Task};
use crate::cpu::kernel::{Family, Phase};
use crate::cpu::panels::{Block, HalfLine, Line, SharedMatrix};
use crate::cpu::product::{AnyProduct, Blocks};
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
    /// Of input and weight.
    pub product: AnyProduct<'a>,
    pub biases: &'a [Line],
    pub output: SharedMatrix<'a>,
    /// The same in panels of outputs.
    pub transposed: Option<SharedMatrix<'a>>,
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
            match self.product {
                AnyProduct::Single(product) => self.run_in::<F>(product, task),
                AnyProduct::Sparse(product) => self.run_in::<F>(product, task),
                AnyProduct::Half(product) => self.run_in::<F>(product, task),
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
    unsafe fn run_in<F: Family>(&self, product: impl Blocks, task: usize) {
        let Task { panels, blocks } = self.grid.task(task);
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
            // SAFETY: each block is in one task; the processor is of the family.
            unsafe {
                if let Some(transposed) = &self.transposed {
                    F::transpose(outputs, transposed.block(block, panel));
                }
                if let Some(halves) = &self.halves {
                    *halves.block(panel, block) = F::narrowed(outputs);
                }
            }
        };
        let prepare = |panel, block| {
            if let Some(transposed) = &self.transposed {
                prefetch_block(transposed, block, panel);
            }
        };
        // SAFETY: the processor is of the family; the terms are whole blocks of both operands.
        unsafe { product.multiply::<F>(panels, blocks, place, prepare, finish) };
    }
}
