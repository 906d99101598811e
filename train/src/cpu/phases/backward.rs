//! Gradients by the outputs of hidden layers.

use std::hint::select_unpredictable;

use super::Delta;
use crate::cpu::grid::{Grid, Task};
use crate::cpu::kernel::{Family, Phase, prefetch};
use crate::cpu::panels::{Block, Line};
use crate::cpu::product::{AnyProduct, Blocks};

/// The loss's gradient by the output of a hidden layer before its activation, from that of the next layer.
pub struct Backward<'a> {
    /// Of the next layer's gradient and weight.
    pub product: AnyProduct<'a>,
    /// The hidden layer's output, after activation and dropout.
    pub output: &'a [Line],
    pub previous: Delta<'a>,
    pub grid: Grid,
    /// What dropout scales the outputs by that it keeps.
    pub scale: f32,
}

impl Phase for Backward<'_> {
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

impl Backward<'_> {
    /// Does a task.
    ///
    /// # Safety
    /// As [`Phase::run`].
    #[inline(always)]
    unsafe fn run_in<F: Family>(&self, product: impl Blocks, task: usize) {
        let Task { panels, blocks } = self.grid.task(task);
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.previous.by_image.block(panel, block) }
        };
        let finish = |gradients: &mut Block, panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            for (gradients, &Line(outputs)) in gradients.iter_mut().zip(outputs) {
                for (gradient, &output) in gradients.0.iter_mut().zip(&outputs) {
                    // A ReLU passes the gradient where its output is above 0; what was dropped is 0.
                    *gradient = select_unpredictable(output > 0.0, *gradient * self.scale, 0.0);
                }
            }
            // SAFETY: each block is in one task; the processor is of the family.
            unsafe { self.previous.store::<F>(gradients, panel, block) };
        };
        // What `finish` reads was last used long ago, too.
        let prepare = |panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            for line in outputs {
                prefetch(line);
            }
            self.previous.prefetch(panel, block);
        };
        // SAFETY: the processor is of the family; the terms are whole blocks of both operands.
        unsafe { product.multiply::<F>(panels, blocks, place, prepare, finish) };
    }
}
