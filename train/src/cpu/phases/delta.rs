//! Where gradients by outputs are kept for the products that read them.

use crate::cpu::kernel::{Family, prefetch};
use crate::cpu::overflow::{HALF_LIMIT, Overflow};
use crate::cpu::panels::{Block, HalfLine, LANES, Line, SharedMatrix};

/// A place for the loss's gradient by the output of a layer before its activation.
pub struct Delta<'a> {
    /// In panels of images.
    pub by_image: SharedMatrix<'a>,
    /// For the products.
    pub copies: DeltaCopies<'a>,
}

/// What products read of a [`Delta`].
pub enum DeltaCopies<'a> {
    /// The gradient in panels of images itself, and in panels of outputs.
    Single(SharedMatrix<'a>),
    /// In panels of images and of outputs, in half precision.
    Half { by_image: SharedMatrix<'a, HalfLine>, by_output: SharedMatrix<'a, HalfLine>, overflow: &'a Overflow },
}

impl Delta<'_> {
    /// Puts a block, which lies in its place in panels of images, to where products read it.
    ///
    /// # Safety
    /// Nobody else uses these places, and the processor is of the family.
    #[inline(always)]
    pub(super) unsafe fn store<F: Family>(&self, gradients: &Block, panel: usize, block: usize) {
        // SAFETY: the caller's.
        unsafe {
            match &self.copies {
                DeltaCopies::Single(by_output) => F::transpose(gradients, by_output.block(block, panel)),
                DeltaCopies::Half { by_image, by_output, overflow } => {
                    overflow.find(gradients, HALF_LIMIT);
                    *by_image.block(panel, block) = F::narrowed(gradients);
                    let mut transposed = [Line::ZERO; LANES];
                    F::transpose(gradients, &mut transposed);
                    *by_output.block(block, panel) = F::narrowed(&transposed);
                }
            }
        }
    }

    /// Asks for the lines that storing a block overwrites, which were last used long ago.
    #[inline(always)]
    pub(super) fn prefetch(&self, panel: usize, block: usize) {
        match &self.copies {
            DeltaCopies::Single(by_output) => prefetch_block(by_output, block, panel),
            DeltaCopies::Half { by_image, by_output, .. } => {
                prefetch_block(by_image, panel, block);
                prefetch_block(by_output, block, panel);
            }
        }
    }
}

#[inline(always)]
pub(super) fn prefetch_block<L>(matrix: &SharedMatrix<'_, L>, panel: usize, block: usize) {
    for line in matrix.layout.block(panel, block) {
        prefetch(matrix.lines.place(line));
    }
}
