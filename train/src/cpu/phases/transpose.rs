//! Matrices with lanes and depths exchanged.

use super::delta::prefetch_block;
use crate::cpu::kernel::{Family, Phase};
use crate::cpu::panels::{LANES, Matrix, SharedMatrix};

/// Writes a matrix's panels as those of its other direction.
pub struct Transpose<'a> {
    pub from: Matrix<'a>,
    pub to: SharedMatrix<'a>,
}

impl Phase for Transpose<'_> {
    fn tasks(&self) -> usize {
        self.from.layout.panels()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, panel: usize) {
        for block in 0..self.from.layout.blocks() {
            let lines = self.from.lines[self.from.layout.block(panel, block)].first_chunk::<LANES>();
            let lines = lines.expect("a block has as many lines");
            if block + 1 < self.from.layout.blocks() {
                prefetch_block(&self.to, block + 1, panel);
            }
            // SAFETY: each panel is in one task; the processor is of the family.
            unsafe { F::transpose(lines, self.to.block(block, panel)) };
        }
    }
}
