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
//! Nothing is packed: the transposed `δ` is written beside `δ` by what computes it.

use std::ops::Range;

use super::kernel::{Along, Family, Phase, Rows};
use super::panels::{Block, LANES, Matrix, SharedMatrix};

/// The largest tasks of a product, in blocks of its rows and panels: the elements of so many blocks stay in the second
/// cache while all panels pass by.
pub const MOST_A_TASK: [usize; 2] = [4, 64];
/// Of the gradient by the weights, in panels and blocks.
pub const MOST_A_GRADIENT_TASK: [usize; 2] = [4, 8];

/// The most terms that are added up before the next panel's turn: a panel's lines for them, and the elements for a part of
/// a block, fit the first cache together.
const TERMS: usize = 256;

/// The operands of a product.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// Whose lanes are the product's.
    pub a: Matrix<'a>,
    /// Whose other direction than that of the sum is the product's depth.
    pub b: Matrix<'a>,
    /// The direction of the sum in `b`.
    pub along: Along,
    /// Terms of the sum: a multiple of [`LANES`], those past the end being zero in `a` and finite in `b`, or the reverse.
    pub terms: usize,
}

impl<'a> Product<'a> {
    /// How often a block is added to before it is complete.
    pub fn passes(&self) -> usize {
        self.terms.div_ceil(TERMS)
    }

    /// Computes blocks of the product: `place` gives the place of each, and `finish` gets it once it is complete.
    #[inline(always)]
    pub fn multiply<'b, F: Family>(
        &self,
        panels: Range<usize>,
        blocks: Range<usize>,
        mut place: impl FnMut(usize, usize) -> &'b mut Block,
        mut prepare: impl FnMut(usize, usize),
        mut finish: impl FnMut(&mut Block, usize, usize),
    ) {
        let terms = self.terms.div_ceil(self.passes()).next_multiple_of(LANES);
        for start in (0..self.terms).step_by(terms) {
            let end = self.terms.min(start + terms);
            for panel in panels.clone() {
                let lines = &self.a.lines[panel * self.a.layout.stride()..][start..end];
                for block in blocks.clone() {
                    if end == self.terms {
                        prepare(panel, block);
                    }
                    let sums = place(panel, block);
                    // SAFETY: a phase runs with the family of the processor that it is on, and `terms` are whole blocks.
                    unsafe { F::multiply(lines, self.rows(block, start), sums, start > 0) };
                    if end == self.terms {
                        finish(sums, panel, block);
                    }
                }
            }
        }
    }

    /// The elements of `b` for a block, from a term on.
    #[inline(always)]
    fn rows(&self, block: usize, term: usize) -> Rows<'a> {
        let stride = self.b.layout.stride();
        let (first, stride) = match self.along {
            Along::Depth => (block * stride + term, LANES),
            Along::Lanes => (term / LANES * stride + block * LANES, stride),
        };
        Rows { lines: &self.b.lines[first..], stride, along: self.along }
    }
}

/// How a product's blocks, in two directions, are divided into tasks. The result does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in the direction in which one task follows the other last, and in the other.
    sizes: [usize; 2],
    /// Of a task.
    parts: [usize; 2],
}

impl Grid {
    /// Tasks of at most so many blocks in each direction, and of fewer where there would be less than sixteen for a thread,
    /// so that the last ones do not keep the others waiting.
    pub fn new(sizes: [usize; 2], most: [usize; 2], threads: usize) -> Self {
        let parts = [0, 1].map(|direction| most[direction].min(sizes[direction]).max(1));
        let mut grid = Self { sizes, parts };
        while grid.tasks() < 16 * threads && grid.parts != [1, 1] {
            let longer = usize::from(grid.parts[1] >= grid.parts[0]);
            grid.parts[longer] = grid.parts[longer].div_ceil(2);
        }
        grid
    }

    /// How many tasks there are.
    pub fn tasks(self) -> usize {
        self.sizes[0].div_ceil(self.parts[0]) * self.sizes[1].div_ceil(self.parts[1])
    }

    /// The blocks of a task in each direction.
    #[inline(always)]
    pub fn task(self, task: usize) -> [Range<usize>; 2] {
        let row = self.sizes[1].div_ceil(self.parts[1]);
        let part = |direction: usize, index: usize| {
            let start = index * self.parts[direction];
            start..self.sizes[direction].min(start + self.parts[direction])
        };
        [part(0, task / row), part(1, task % row)]
    }
}

/// A product alone: its blocks go where they belong, and nothing happens to them.
#[derive(Debug)]
pub struct Multiply<'a> {
    /// The operands.
    pub product: Product<'a>,
    /// The tasks, in blocks and panels.
    pub grid: Grid,
    /// The product's place.
    pub out: SharedMatrix<'a>,
}

impl Phase for Multiply<'_> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let place = |panel, block| {
            // SAFETY: every block is in one task.
            unsafe { self.out.block(panel, block) }
        };
        self.product.multiply::<F>(panels, blocks, place, |_, _| {}, |_, _, _| {});
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::Processor;
    use super::super::panels::{Buffer, Layout, Line};
    use super::super::pool::Pool;
    use super::*;

    /// The product row by row: lanes of `a`, rows of `b`.
    fn multiply(processor: Processor, sizes: [usize; 3], along: Along, threads: usize) -> (Vec<f32>, Vec<f32>) {
        let [lanes, terms, rows] = sizes;
        let value = |index: usize| ((index * 7919) % 1013) as f32 / 1013.0 - 0.5;
        let a: Vec<f32> = (0..lanes * terms).map(value).collect();
        let b: Vec<f32> = (0..rows * terms).map(|index| value(index + 5)).collect();
        let (a_layout, b_layout) = (
            Layout { lanes, depth: terms },
            match along {
                Along::Depth => Layout { lanes: rows, depth: terms },
                Along::Lanes => Layout { lanes: terms, depth: rows },
            },
        );
        let of_b = |row: usize, term: usize| match along {
            Along::Depth => b[row * terms + term],
            Along::Lanes => b[term * rows + row],
        };
        let mut lines = [vec![Line::ZERO; a_layout.lines()], vec![Line::ZERO; b_layout.lines()]];
        a_layout.fill(&a, &mut lines[0]);
        b_layout.fill(&b, &mut lines[1]);
        let layout = Layout { lanes, depth: rows };
        let mut out = Buffer { lines: vec![Line([f32::NAN; LANES]); layout.lines()], layout };
        let phase = Multiply {
            product: Product {
                a: Matrix { lines: &lines[0], layout: a_layout },
                b: Matrix { lines: &lines[1], layout: b_layout },
                along,
                terms: terms.next_multiple_of(LANES),
            },
            grid: Grid::new([layout.blocks(), layout.panels()], [2, 3], threads),
            out: out.shared(),
        };
        processor.run(&mut Pool::new(threads).unwrap(), &phase);
        let mut found = vec![0.0; lanes * rows];
        layout.extract(&out.lines, &mut found);
        let expected = (0..lanes * rows).map(|index| {
            let (lane, row) = (index / rows, index % rows);
            (0..terms).fold(0.0_f32, |sum, term| of_b(row, term).mul_add(a[lane * terms + term], sum))
        });
        (found, expected.collect())
    }

    #[test]
    fn every_processor_s_product_is_the_chain_of_multiply_adds_to_the_bit() {
        for processor in Processor::available() {
            for sizes in [[1, 1, 1], [16, 16, 16], [17, 3, 33], [40, 300, 50], [5, 784, 10]] {
                for along in [Along::Depth, Along::Lanes] {
                    for threads in [1, 3] {
                        let (found, expected) = multiply(processor, sizes, along, threads);
                        assert_eq!(found, expected, "{sizes:?} {along:?} on {}", processor.name());
                    }
                }
            }
        }
    }

    #[test]
    fn a_grid_s_tasks_are_all_blocks_each_once() {
        for sizes in [[1, 1], [8, 64], [5, 7], [64, 1]] {
            for threads in [1, 2, 16] {
                let grid = Grid::new(sizes, [32, 4], threads);
                let mut counts = vec![0; sizes[0] * sizes[1]];
                for task in 0..grid.tasks() {
                    let [some, others] = grid.task(task);
                    for index in some {
                        others.clone().for_each(|other| counts[index * sizes[1] + other] += 1);
                    }
                }
                assert!(counts.iter().all(|&count| count == 1));
            }
        }
    }
}
