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

/// The elements of a block of rows in one chunk, row by row.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct List {
    /// What they are.
    pub(super) values: [f32; LANES * CHUNK],
    /// The place of each among the terms of the chunk, below [`CHUNK`].
    pub(super) terms: [u8; LANES * CHUNK],
    /// How many each row has.
    pub(super) counts: [u8; LANES],
}

impl List {
    const EMPTY: Self = Self { values: [0.0; _], terms: [0; _], counts: [0; _] };

    /// How many elements there are.
    fn len(&self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }

    /// The elements of each row, with their terms.
    #[inline(always)]
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[f32], &[u8])> {
        self.counts.iter().scan(0, |end, &count| {
            let row = *end..*end + usize::from(count);
            *end = row.end;
            Some((&self.values[row.clone()], &self.terms[row]))
        })
    }
}

/// The elements other than zero of a matrix's rows.
#[derive(Debug)]
pub struct Nonzeros {
    /// For every chunk, a list of each block of rows.
    lists: Vec<List>,
    /// How many blocks of rows there is room for.
    blocks: usize,
    /// What was searched last, where a product with what was found is faster than one with the zeros.
    found: Option<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    terms: usize,
    /// The blocks of rows that were searched.
    blocks: Range<usize>,
}

impl Nonzeros {
    /// Room for a search of so many rows and terms at most.
    pub fn new(rows: usize, terms: usize) -> Self {
        let blocks = rows.div_ceil(LANES);
        Self { lists: vec![List::EMPTY; blocks * terms.div_ceil(CHUNK)], blocks, found: None }
    }

    /// Whether a product of so many terms, with so many panels of the other factor, may be faster without zeros.
    pub const fn may_pay(terms: usize, panels: usize) -> bool {
        terms >= FEWEST_TERMS && panels >= FEWEST_PANELS
    }

    /// Searches these blocks of lines of a matrix, whose lanes are the terms of a product with so many panels of the other
    /// factor.
    ///
    /// # Panics
    /// Where there is no room for what may be found, or terms are not whole blocks.
    pub fn search(
        &mut self,
        on: (Processor, &mut Pool),
        matrix: Matrix<'_>,
        blocks: Range<usize>,
        terms: usize,
        panels: usize,
    ) {
        let (processor, pool) = on;
        let chunks = terms.div_ceil(CHUNK);
        assert!(blocks.len() <= self.blocks && chunks * self.blocks <= self.lists.len(), "room for what is found");
        assert!(terms.is_multiple_of(LANES), "whole blocks");
        self.found = None;
        if !Self::may_pay(terms, panels) {
            return;
        }
        let mut search = Search {
            matrix,
            blocks: blocks.clone(),
            panels: 0..terms / LANES,
            room: self.blocks,
            lists: Shared::new(&mut self.lists),
        };
        processor.run(pool, &mut search);
        let lists = self.lists.chunks(self.blocks).take(chunks).flat_map(|lists| &lists[..blocks.len()]);
        let found: usize = lists.map(List::len).sum();
        let is_worth_it = found as f64 <= MOST_NONZERO * (blocks.len() * LANES * terms) as f64;
        self.found = is_worth_it.then_some(Found { terms, blocks });
    }

    /// The product of `a` and what was searched last; none where one with the zeros is faster.
    ///
    /// # Panics
    /// Where `a` does not have the terms.
    pub fn product<'a>(&'a self, a: Matrix<'a>) -> Option<SparseProduct<'a>> {
        let Found { terms, blocks } = self.found.as_ref()?;
        assert!(*terms <= a.layout.blocks() * LANES, "{terms} terms");
        let searched = [blocks.start, blocks.end];
        Some(SparseProduct { a, b: self, searched, chunks: terms.div_ceil(CHUNK) })
    }
}

/// Lists the elements other than zero.
#[derive(Debug)]
struct Search<'a> {
    matrix: Matrix<'a>,
    /// Those of its lines that are searched.
    blocks: Range<usize>,
    /// Those of its panels whose lanes are the terms.
    panels: Range<usize>,
    /// Lists of a chunk.
    room: usize,
    lists: Shared<'a, List>,
}

/// Blocks in a task of the search, in one chunk.
const SEARCHED_BLOCKS: usize = 4;

impl Phase for Search<'_> {
    fn tasks(&self) -> usize {
        self.panels.len().div_ceil(CHUNK_PANELS) * self.blocks.len().div_ceil(SEARCHED_BLOCKS)
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let parts = self.blocks.len().div_ceil(SEARCHED_BLOCKS);
        let (chunk, start) = (task / parts, self.blocks.start + task % parts * SEARCHED_BLOCKS);
        let panels = chunk * CHUNK_PANELS..self.panels.end.min((chunk + 1) * CHUNK_PANELS);
        for block in start..self.blocks.end.min(start + SEARCHED_BLOCKS) {
            // SAFETY: each block of a chunk is in one task.
            let [list] = unsafe { self.lists.part(chunk * self.room + block - self.blocks.start) };
            let mut found = 0;
            for row in 0..LANES {
                let before = found;
                for (index, panel) in panels.clone().enumerate() {
                    let values = &self.matrix.lines[panel * self.matrix.layout.stride() + block * LANES + row];
                    // SAFETY: the processor is of the family.
                    found = unsafe { F::list_nonzeros(values, index * LANES, list, found) };
                }
                list.counts[row] = (found - before) as u8;
            }
        }
    }
}

/// A product with the listed elements of `b`, whose rows are the lanes of the result.
#[derive(Debug, Clone, Copy)]
pub struct SparseProduct<'a> {
    /// In panels of what is the product's depth.
    a: Matrix<'a>,
    b: &'a Nonzeros,
    /// The first of the product's panels that there are lists for, and the one behind the last.
    searched: [usize; 2],
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
        let [first, end] = self.searched;
        assert!(first <= panels.start && panels.end <= end, "panels whose rows were searched");
        let mut room = SUMS.take();
        for together in even_parts(blocks.len(), F::TOGETHER) {
            let together = blocks.start + together.start..blocks.start + together.end;
            room.resize(together.len() * panels.len(), [Line::ZERO; LANES]);
            for chunk in 0..self.chunks {
                let lines = &self.a.lines[together.start * stride + chunk * CHUNK..];
                let lists = &self.b.lists[chunk * self.b.blocks + panels.start - first..][..panels.len()];
                for (sums, list) in room.chunks_exact_mut(together.len()).zip(lists) {
                    // SAFETY: the processor is of the family.
                    unsafe { F::multiply_nonzeros(lines, stride, list, sums, chunk > 0) };
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
