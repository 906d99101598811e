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

use super::grid::even_parts;
use super::kernel::list::{CHUNK, CHUNK_PANELS, List, MOST_TOGETHER};
use super::kernel::{Family, Phase, Processor};
use super::panels::{Block, GAP, LANES, Line, Matrix, Shared};
use super::pool::Pool;
use super::product::Blocks;

const _: () = assert!(GAP + LANES >= CHUNK, "a chunk that begins in a panel ends before the next one");

/// The fewest terms, and panels of the other factor, with which a product without zeros is worth their search.
pub const FEWEST_TERMS: usize = CHUNK;
const FEWEST_PANELS: usize = 3;
/// The largest share of elements other than zero with which such a product is faster.
const MOST_NONZERO: f64 = 0.65;

/// The elements other than zero of a matrix's rows.
#[derive(Debug)]
pub struct Nonzeros {
    /// For every chunk, a list of each block of rows.
    lists: Vec<List>,
    /// How many blocks of rows there is room for.
    row_blocks: usize,
    /// What was searched last, where a product with what was found is faster than one with the zeros.
    found: Option<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    terms: usize,
    /// The blocks of rows that were searched.
    row_blocks: Range<usize>,
}

impl Nonzeros {
    /// Room for a search of so many rows and terms at most.
    pub fn new(rows: usize, terms: usize) -> Self {
        let row_blocks = rows.div_ceil(LANES);
        Self { lists: vec![List::EMPTY; row_blocks * terms.div_ceil(CHUNK)], row_blocks, found: None }
    }

    /// Whether a product of so many terms, with so many panels of the other factor, may be faster without zeros.
    pub const fn may_pay(terms: usize, other_panels: usize) -> bool {
        terms >= FEWEST_TERMS && other_panels >= FEWEST_PANELS
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
        row_blocks: Range<usize>,
        terms: usize,
        other_panels: usize,
    ) {
        let (processor, pool) = on;
        let chunks = terms.div_ceil(CHUNK);
        let has_room = row_blocks.len() <= self.row_blocks && chunks * self.row_blocks <= self.lists.len();
        assert!(has_room, "room for what is found");
        assert!(terms.is_multiple_of(LANES), "whole blocks");
        self.found = None;
        if !Self::may_pay(terms, other_panels) {
            return;
        }
        let mut search = Search {
            matrix,
            row_blocks: row_blocks.clone(),
            term_panels: terms / LANES,
            room: self.row_blocks,
            lists: Shared::new(&mut self.lists),
        };
        processor.run(pool, &mut search);
        let lists = self.lists.chunks(self.row_blocks).take(chunks).flat_map(|lists| &lists[..row_blocks.len()]);
        let found: usize = lists.map(List::count).sum();
        let is_worth_it = found as f64 <= MOST_NONZERO * (row_blocks.len() * LANES * terms) as f64;
        self.found = is_worth_it.then_some(Found { terms, row_blocks });
    }

    /// The product of `a` and what was searched last; none where one with the zeros is faster.
    ///
    /// # Panics
    /// Where `a` does not have the terms.
    pub fn product<'a>(&'a self, a: Matrix<'a>) -> Option<SparseProduct<'a>> {
        let found = self.found.as_ref()?;
        assert!(found.terms <= a.layout.blocks() * LANES, "{} terms", found.terms);
        Some(SparseProduct { a, b: self, found })
    }
}

/// Lists the elements other than zero.
#[derive(Debug)]
struct Search<'a> {
    matrix: Matrix<'a>,
    /// Those of its lines that are searched.
    row_blocks: Range<usize>,
    /// How many of its panels have the terms as lanes.
    term_panels: usize,
    /// Lists of a chunk.
    room: usize,
    lists: Shared<'a, List>,
}

/// Blocks of rows in a task of the search, in one chunk.
const SEARCHED_BLOCKS: usize = 4;

impl Phase for Search<'_> {
    fn tasks(&self) -> usize {
        self.term_panels.div_ceil(CHUNK_PANELS) * self.row_blocks.len().div_ceil(SEARCHED_BLOCKS)
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let parts = self.row_blocks.len().div_ceil(SEARCHED_BLOCKS);
        let (chunk, start) = (task / parts, self.row_blocks.start + task % parts * SEARCHED_BLOCKS);
        let panels = chunk * CHUNK_PANELS..self.term_panels.min((chunk + 1) * CHUNK_PANELS);
        for block in start..self.row_blocks.end.min(start + SEARCHED_BLOCKS) {
            // SAFETY: each block of a chunk is in one task.
            let [list] = unsafe { self.lists.part(chunk * self.room + block - self.row_blocks.start) };
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
    found: &'a Found,
}

thread_local! {
    /// Room for a task's sums.
    static SUMS: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
}

impl Blocks for SparseProduct<'_> {
    fn unfinished_panels(&self) -> Option<usize> {
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
        let searched = &self.found.row_blocks;
        assert!(searched.start <= panels.start && panels.end <= searched.end, "panels whose rows were searched");
        let mut room = SUMS.take();
        for together in even_parts(blocks.len(), F::TOGETHER) {
            let together = blocks.start + together.start..blocks.start + together.end;
            room.resize(together.len() * panels.len(), [Line::ZERO; LANES]);
            for chunk in 0..self.found.terms.div_ceil(CHUNK) {
                let lines = &self.a.lines[together.start * stride + chunk * CHUNK..];
                let lists = &self.b.lists[chunk * self.b.row_blocks + panels.start - searched.start..][..panels.len()];
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
