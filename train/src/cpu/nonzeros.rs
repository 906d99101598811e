//! Products without the zeros of a factor.
//!
//! A `ReLU` makes half of a layer's outputs zero, and more of them the longer it is trained, and where they are zero, so is the
//! loss's gradient before the activation. A multiply-add with zero leaves its sum as it is: of finite factors, a product
//! without them has the bytes of one with them, but for the sign of a zero, which nothing that follows depends on. Whether
//! they are left out depends on the data alone, so that bytes depend on neither threads nor processor with any factors.
//!
//! Of `out[l, r] = Σ_t a[l, t] · b[r, t]` it is `b` that has them. Each of its rows is searched once: the other elements are
//! listed, in chunks of terms. The product then goes through the lists for some panels of `a` at a time, and multiplies each
//! element with these panels' lines for its term. With activations `x`, gradients `δ` and weights `w`, a layer has:
//!
//! - forward: `a = w` in panels of outputs, `b = x` by images;
//! - the gradient by the input: `a = w` in panels of inputs, `b = δ` by images;
//! - the gradient by the weight: `a = x` in panels of inputs, `b = δ` by outputs.

use std::cell::Cell;
use std::ops::Range;

use super::kernel::{Family, Phase, Processor};
use super::panels::{Block, LANES, Line, Matrix, Shared};
use super::pool::Pool;
use super::product::{Blocks, even_parts};

/// Panels whose lanes are the terms of a chunk.
const CHUNK_PANELS: usize = 4;
/// The most terms of a list: the lines for them of the panels that are multiplied together fit the first cache.
pub const CHUNK: usize = CHUNK_PANELS * LANES;
/// The panels that are multiplied together at most.
pub const MOST_TOGETHER: usize = 8;
/// The most blocks of rows in a task of such a product; of `a`'s panels it has those that are multiplied together.
pub const MOST_ROW_BLOCKS: usize = 16;
/// The fewest terms, and panels of the other factor, with which a product without zeros is worth their search.
pub const FEWEST_TERMS: usize = CHUNK;
const FEWEST_PANELS: usize = 3;
/// The largest share of elements other than zero with which such a product is faster.
const MOST_NONZERO: f64 = 0.65;

/// An element of a row.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Nonzero {
    /// Its place among the terms of its chunk, below [`CHUNK`].
    pub(super) term: u32,
    /// What it is.
    pub(super) value: f32,
}

/// Room for the elements of a chunk; as many as were found are there.
pub type List = [Nonzero; CHUNK];

/// The lists of a block of rows in one chunk.
#[derive(Debug, Clone, Copy)]
pub struct Lists<'a> {
    /// Those of each row.
    pub elements: &'a [List; LANES],
    /// How many elements each has.
    pub counts: &'a [u8; LANES],
}

impl<'a> Lists<'a> {
    /// The elements of a row.
    #[inline(always)]
    pub fn row(self, row: usize) -> &'a [Nonzero] {
        &self.elements[row][..usize::from(self.counts[row])]
    }
}

/// The elements other than zero of a matrix's rows.
#[derive(Debug)]
pub struct Nonzeros {
    /// The rows of every chunk, which are whole blocks.
    rows: usize,
    elements: Vec<List>,
    counts: Vec<u8>,
    /// The terms of the last search, where a product with what was found is faster than one with the zeros.
    terms: Option<usize>,
}

impl Nonzeros {
    /// Room for matrices of so many rows and terms at most.
    pub fn new(rows: usize, terms: usize) -> Self {
        let rows = rows.next_multiple_of(LANES);
        let lists = rows * terms.div_ceil(CHUNK);
        Self { rows, elements: vec![[Nonzero::default(); CHUNK]; lists], counts: vec![0; lists], terms: None }
    }

    /// Whether a product of so many terms, with so many panels of the other factor, may be faster without zeros.
    pub const fn may_pay(terms: usize, panels: usize) -> bool {
        terms >= FEWEST_TERMS && panels >= FEWEST_PANELS
    }

    /// Searches these lines of a matrix, whose lanes are the terms of a product with so many panels of the other factor.
    ///
    /// # Panics
    /// Where there is no room for what may be found, or lines or terms are not whole blocks.
    pub fn search(
        &mut self,
        on: (Processor, &mut Pool),
        matrix: Matrix<'_>,
        lines: Range<usize>,
        terms: usize,
        panels: usize,
    ) {
        let (processor, pool) = on;
        let chunks = terms.div_ceil(CHUNK);
        assert!(lines.end <= self.rows && chunks * self.rows <= self.counts.len(), "room for what is found");
        assert!([lines.start, lines.end, terms].iter().all(|end| end.is_multiple_of(LANES)), "whole blocks");
        self.terms = None;
        if !Self::may_pay(terms, panels) {
            return;
        }
        let mut search = Search {
            matrix,
            lines: lines.clone(),
            panels: 0..terms / LANES,
            rows: self.rows,
            elements: Shared::new(&mut self.elements),
            counts: Shared::new(&mut self.counts),
        };
        processor.run(pool, &mut search);
        let found = |chunk: usize| -> usize {
            self.counts[chunk * self.rows..][lines.clone()].iter().map(|&count| usize::from(count)).sum()
        };
        let found: usize = (0..chunks).map(found).sum();
        self.terms = (found as f64 <= MOST_NONZERO * (lines.len() * terms) as f64).then_some(terms);
    }

    /// The product of `a` and what was searched last; none where one with the zeros is faster.
    ///
    /// # Panics
    /// Where `a` does not have the terms.
    pub fn product<'a>(&'a self, a: Matrix<'a>) -> Option<SparseProduct<'a>> {
        let terms = self.terms?;
        assert!(terms <= a.layout.blocks() * LANES, "{terms} terms");
        Some(SparseProduct { a, b: self, chunks: terms.div_ceil(CHUNK) })
    }

    /// The lists of a block of rows.
    #[inline(always)]
    fn lists(&self, chunk: usize, block: usize) -> Lists<'_> {
        let first = chunk * self.rows + block * LANES;
        let elements = self.elements[first..].first_chunk().expect("rows are whole blocks");
        let counts = self.counts[first..].first_chunk().expect("rows are whole blocks");
        Lists { elements, counts }
    }
}

/// Lists the elements other than zero.
#[derive(Debug)]
struct Search<'a> {
    matrix: Matrix<'a>,
    lines: Range<usize>,
    /// Those of its panels whose lanes are the terms.
    panels: Range<usize>,
    rows: usize,
    elements: Shared<'a, List>,
    counts: Shared<'a, u8>,
}

/// Lines in a task of the search, in one chunk.
const SEARCHED_LINES: usize = 4 * LANES;

impl Phase for Search<'_> {
    fn tasks(&self) -> usize {
        self.panels.len().div_ceil(CHUNK_PANELS) * self.lines.len().div_ceil(SEARCHED_LINES)
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let parts = self.lines.len().div_ceil(SEARCHED_LINES);
        let (chunk, start) = (task / parts, self.lines.start + task % parts * SEARCHED_LINES);
        let panels = chunk * CHUNK_PANELS..self.panels.end.min((chunk + 1) * CHUNK_PANELS);
        for line in start..self.lines.end.min(start + SEARCHED_LINES) {
            let row = chunk * self.rows + line;
            // SAFETY: each row of a chunk is in one task.
            let ([list], [count]) = unsafe { (self.elements.part(row), self.counts.part(row)) };
            let mut found = 0;
            for (index, panel) in panels.clone().enumerate() {
                let values = &self.matrix.lines[panel * self.matrix.layout.stride() + line];
                // SAFETY: the processor is of the family.
                found = unsafe { F::list_nonzeros(values, index * LANES, list, found) };
            }
            *count = found as u8;
        }
    }
}

/// A product with the listed elements of `b`, whose rows are the lanes of the result.
#[derive(Debug, Clone, Copy)]
pub struct SparseProduct<'a> {
    /// In panels of what is the product's depth.
    a: Matrix<'a>,
    b: &'a Nonzeros,
    chunks: usize,
}

thread_local! {
    /// Room for a task's sums.
    static SUMS: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
}

impl Blocks for SparseProduct<'_> {
    fn rooms(&self) -> Option<usize> {
        Some(1)
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
        const { assert!(F::TOGETHER <= MOST_TOGETHER, "panels that can be multiplied together") };
        let stride = self.a.layout.stride();
        let mut room = SUMS.take();
        for together in even_parts(blocks.len(), F::TOGETHER) {
            let together = blocks.start + together.start..blocks.start + together.end;
            room.resize(together.len() * panels.len(), [Line::ZERO; LANES]);
            for chunk in 0..self.chunks {
                let lines = &self.a.lines[together.start * stride + chunk * CHUNK..];
                for (sums, panel) in room.chunks_exact_mut(together.len()).zip(panels.clone()) {
                    // SAFETY: the processor is of the family.
                    unsafe { F::multiply_nonzeros(lines, stride, self.b.lists(chunk, panel), sums, chunk > 0) };
                }
            }
            let width = together.len();
            let at = |index: usize| (panels.start + index / width, together.start + index % width);
            prepare(panels.start, together.start);
            for (index, sums) in room.iter().enumerate() {
                if index + 1 < room.len() {
                    let (panel, block) = at(index + 1);
                    prepare(panel, block);
                }
                let (panel, block) = at(index);
                let out = place(panel, block);
                // SAFETY: the processor is of the family.
                unsafe { F::transpose(sums, out) };
                finish(out, panel, block);
            }
        }
        SUMS.set(room);
    }
}
