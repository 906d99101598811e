//! Matrix products on panels.
//!
//! `out[l, r] = Σ_t a[l, t] · b[r, t]`, where the lanes of `a` are the lanes of the product. The sum runs along the depth
//! of `a`, whose lines are read whole, and along the depth or the lanes of `b`, whose elements are read one by one. With
//! activations `x` and gradients `δ` in panels of images, and weights `w` in panels of outputs, a layer has:
//!
//! - forward, panels of images: `a = x`, `b = w` along its depth, the inputs;
//! - the gradient by the input, panels of images: `a = δ`, `b = w` along its lanes, the outputs;
//! - the gradient by the weight, panels of outputs: `a = δ` transposed, `b = x` along its lanes, the images.
//!
//! Nothing is packed: the transposed `δ` is written beside `δ` by what computes it. (What leaves out zeros is in
//! [`super::nonzeros`].)

use std::ops::Range;

use super::grid::{Extent, Grid};
use super::kernel::{Along, Family, HALF_RUN, Processor, Rows};
use super::nonzeros::SparseProduct;
use super::panels::{Block, HalfLine, LANES, Line, Matrix};

/// A line of a product's operands, whose products are computed and added up in `f32` blocks.
pub trait Operand: Copy + Sync {
    /// Panels whose blocks are computed together where there are as many.
    const PANELS: usize;
    /// The most terms that are added up before the next panel's turn: a panel's lines for them, and the elements for a part
    /// of a block, fit the first cache together.
    const TERMS: usize;
    /// Terms that cannot be divided.
    const RUN: usize;

    /// The line in `f32`.
    fn widened(self) -> [f32; LANES];

    /// Adds to the blocks of these panels, which are at most [`PANELS`](Self::PANELS), or overwrites them.
    ///
    /// # Safety
    /// The processor is of the family; every panel has a multiple of [`LANES`] lines, and `rows` as many terms.
    ///
    /// # Panics
    /// Where there are more panels.
    unsafe fn multiply<'a, 'b, F: Family>(
        panels: Range<usize>,
        lines: impl Fn(usize) -> &'a [Self],
        rows: Rows<'_, Self>,
        place: impl FnMut(usize) -> &'b mut Block,
        adds: bool,
    ) where
        Self: 'a;
}

impl Operand for Line {
    const PANELS: usize = 1;
    const TERMS: usize = 256;
    const RUN: usize = LANES;

    #[inline(always)]
    fn widened(self) -> [f32; LANES] {
        self.0
    }

    #[inline(always)]
    unsafe fn multiply<'a, 'b, F: Family>(
        panels: Range<usize>,
        lines: impl Fn(usize) -> &'a [Self],
        rows: Rows<'_, Self>,
        mut place: impl FnMut(usize) -> &'b mut Block,
        adds: bool,
    ) {
        assert!(panels.len() == 1, "panels that are computed together");
        let panel = panels.start;
        // SAFETY: the caller's.
        unsafe { F::multiply(lines(panel), rows, place(panel), adds) };
    }
}

impl Operand for HalfLine {
    const PANELS: usize = 2;
    const TERMS: usize = 512;
    const RUN: usize = HALF_RUN;

    #[inline(always)]
    fn widened(self) -> [f32; LANES] {
        let mut values = [0.0; LANES];
        values.iter_mut().zip(self.0).for_each(|(value, half)| *value = half.to_f32());
        values
    }

    #[inline(always)]
    unsafe fn multiply<'a, 'b, F: Family>(
        panels: Range<usize>,
        lines: impl Fn(usize) -> &'a [Self],
        rows: Rows<'_, Self>,
        mut place: impl FnMut(usize) -> &'b mut Block,
        adds: bool,
    ) {
        assert!((1..=2).contains(&panels.len()), "panels that are computed together");
        let (first, mut spare) = (panels.start, [Line::ZERO; LANES]);
        let (second, blocks) = if panels.len() == 2 {
            (first + 1, [place(first), place(first + 1)])
        } else {
            (first, [place(first), &mut spare])
        };
        // SAFETY: the caller's.
        unsafe { F::multiply_halves([lines(first), lines(second)], rows, blocks, adds) };
    }
}

/// The operands of a product.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a, L = Line> {
    /// Whose lanes are the product's.
    pub a: Matrix<'a, L>,
    /// Whose other direction than that of the sum is the product's depth.
    pub b: Matrix<'a, L>,
    /// The direction of the sum in `b`.
    pub along: Along,
    /// Terms of the sum: a multiple of [`LANES`], those past the end being zero in `a` and finite in `b`, or the reverse.
    pub terms: usize,
}

/// What computes a product block by block.
pub trait Blocks {
    /// How many panels have an unfinished block at the same time, one each; none where all blocks are unfinished together.
    fn unfinished_panels(&self) -> Option<usize>;

    /// Computes blocks of the product: `place` gives the place of each, and `finish` gets it once it is complete. Shortly
    /// before, `prepare` is called.
    ///
    /// # Safety
    /// The processor is of the family, and the operands have as many terms as the product.
    unsafe fn multiply<'b, F: Family>(
        &self,
        panels: Range<usize>,
        blocks: Range<usize>,
        place: impl FnMut(usize, usize) -> &'b mut Block,
        prepare: impl FnMut(usize, usize),
        finish: impl FnMut(&mut Block, usize, usize),
    );
}

impl<'a, L: Operand> Product<'a, L> {
    /// How often a block is added to before it is complete.
    fn passes(&self) -> usize {
        self.terms.div_ceil(L::TERMS)
    }

    /// The elements of `b` for a block, from a term on.
    #[inline(always)]
    fn rows(&self, block: usize, term: usize) -> Rows<'a, L> {
        let stride = self.b.layout.stride();
        let (first, stride) = match self.along {
            Along::Depth => (block * stride + term, LANES),
            Along::Lanes => (term / LANES * stride + block * LANES, stride),
        };
        Rows { lines: &self.b.lines[first..], stride, along: self.along }
    }
}

impl<L: Operand> Blocks for Product<'_, L> {
    fn unfinished_panels(&self) -> Option<usize> {
        (self.passes() == 1).then_some(L::PANELS)
    }

    #[inline(always)]
    unsafe fn multiply<'b, F: Family>(
        &self,
        panels: Range<usize>,
        blocks: Range<usize>,
        mut place: impl FnMut(usize, usize) -> &'b mut Block,
        mut prepare: impl FnMut(usize, usize),
        mut finish: impl FnMut(&mut Block, usize, usize),
    ) {
        let terms = self.terms.div_ceil(self.passes()).next_multiple_of(L::RUN);
        for start in (0..self.terms).step_by(terms) {
            let end = self.terms.min(start + terms);
            let lines = |panel| &self.a.lines[panel * self.a.layout.stride()..][start..end];
            for first in panels.clone().step_by(L::PANELS) {
                let together = first..panels.end.min(first + L::PANELS);
                for block in blocks.clone() {
                    if end == self.terms {
                        together.clone().for_each(|panel| prepare(panel, block));
                    }
                    let rows = self.rows(block, start);
                    // SAFETY: the caller's; a part of the terms is of whole blocks, too.
                    unsafe { L::multiply::<F>(together.clone(), lines, rows, |panel| place(panel, block), start > 0) };
                    if end == self.terms {
                        together.clone().for_each(|panel| finish(place(panel, block), panel, block));
                    }
                }
            }
        }
    }
}

/// A product of a phase. A phase has code of its own for each: a closure that they shared would not be inlined, and be compiled
/// for any processor.
#[derive(Debug, Clone, Copy)]
pub enum AnyProduct<'a> {
    /// In `f32`.
    Single(Product<'a>),
    /// Likewise, without the zeros of an operand.
    Sparse(SparseProduct<'a>),
    /// In half precision.
    Half(Product<'a, HalfLine>),
}

impl AnyProduct<'_> {
    /// The tasks that so much of it is divided into.
    pub fn grid(self, whole: Extent, processor: Processor, threads: usize) -> Grid {
        match self {
            Self::Single(_) | Self::Half(_) => Grid::new(whole, threads),
            Self::Sparse(_) => Grid::without_zeros(whole, processor.together(), threads),
        }
    }
}
