//! The loss with its gradient by the logits.

use std::ops::Range;

use artifacts::Dataset;

use super::{Delta, add_bias};
use crate::cpu::kernel::{Family, Phase};
use crate::cpu::panels::{Block, LANES, Line, Shared, SharedMatrix};
use crate::cpu::product::{AnyProduct, Blocks};
use crate::softmax::Loss;

/// The last layer with the loss of each image, and the loss's gradient by the logits in panels of images and of classes.
pub struct Judge<'a> {
    /// Of input and weight.
    pub product: AnyProduct<'a>,
    pub biases: &'a [Line],
    pub logits: SharedMatrix<'a>,
    pub delta: Delta<'a>,
    pub loss: Loss,
    pub labels: &'a [u8],
    pub losses: Shared<'a, f32>,
    /// Images in the batch.
    pub count: usize,
    /// Which panels of the batch.
    pub panels: Range<usize>,
}

impl Phase for Judge<'_> {
    fn tasks(&self) -> usize {
        self.panels.len()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let panel = self.panels.start + task;
        // SAFETY: the caller's.
        unsafe {
            match self.product {
                AnyProduct::Single(product) => self.run_in::<F>(product, panel),
                AnyProduct::Sparse(_) => unreachable!("the last layer's zeros are multiplied"),
                AnyProduct::Half(product) => self.run_in::<F>(product, panel),
            }
        }
    }
}

impl Judge<'_> {
    /// Does a task, that of a panel.
    ///
    /// # Safety
    /// As [`Phase::run`].
    #[inline(always)]
    unsafe fn run_in<F: Family>(&self, product: impl Blocks, panel: usize) {
        let layout = self.logits.layout;
        let place = |panel, block| {
            // SAFETY: each panel is in one task.
            unsafe { self.logits.block(panel, block) }
        };
        let finish = |logits: &mut Block, _, block| add_bias(logits, &self.biases[block]);
        // SAFETY: the processor is of the family; the terms are whole blocks of both operands.
        unsafe { product.multiply::<F>(panel..panel + 1, 0..layout.blocks(), place, |_, _| {}, finish) };

        let lanes = LANES.min(self.count - panel * LANES);
        let classes = layout.depth;
        let (mut logits, mut gradient) = ([0.0; Dataset::MOST_CLASSES], [0.0; Dataset::MOST_CLASSES]);
        let (logits, gradient) = (&mut logits[..classes], &mut gradient[..classes]);
        let mut losses = [0.0; LANES];
        for (lane, loss) in losses.iter_mut().enumerate() {
            for (class, logit) in logits.iter_mut().enumerate() {
                *logit = place(panel, class / LANES)[class % LANES].0[lane];
            }
            if lane < lanes {
                *loss = self.loss.loss_and_gradient(logits, self.labels[panel * LANES + lane], gradient);
            } else {
                gradient.fill(0.0);
            }
            for (class, &value) in gradient.iter().enumerate() {
                // SAFETY: each panel is in one task.
                let delta = unsafe { self.delta.by_image.block(panel, class / LANES) };
                delta[class % LANES].0[lane] = value;
            }
        }
        // SAFETY: each panel is in one task; the processor is of the family.
        unsafe {
            *self.losses.part(panel * LANES) = losses;
            for block in 0..layout.blocks() {
                self.delta.store::<F>(self.delta.by_image.block(panel, block), panel, block);
            }
        }
    }
}
