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

use super::kernel::{Along, Family, HALF_RUN, Phase, Processor, Rows};
use super::nonzeros::{MOST_ROW_BLOCKS, SparseProduct};
use super::panels::{Block, HalfLine, LANES, Line, Matrix, SharedMatrix};

/// The most panels of a batch that go through the network together: what one phase has written of them is in the caches when
/// the next one reads it. Only gradients by weights are of the whole batch at once. The result does not depend on it.
pub const MOST_A_PART: usize = 32;
/// The largest tasks of a product, in blocks of its rows and panels: the elements of so many blocks stay in the second
/// cache while all panels pass by.
pub const MOST_A_TASK: [usize; 2] = [4, MOST_A_PART];
/// The largest tasks of the gradient by the weights, in panels and blocks.
pub const MOST_A_GRADIENT_TASK: [usize; 2] = [16, 8];

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

    /// Adds to the blocks of these panels, or overwrites them.
    ///
    /// # Safety
    /// The processor is of the family; every panel has a multiple of [`LANES`] lines, and `rows` as many terms.
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
        for panel in panels {
            // SAFETY: the caller's.
            unsafe { F::multiply(lines(panel), rows, place(panel), adds) };
        }
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
    /// For how many panels, one after the other, the places of blocks must differ, where a block is complete before the next
    /// one of its panel begins.
    fn rooms(&self) -> Option<usize>;

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
    fn rooms(&self) -> Option<usize> {
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
    /// The tasks that so many of its blocks and panels are divided into.
    pub fn grid(self, sizes: [usize; 2], processor: Processor, threads: usize) -> Grid {
        match self {
            Self::Single(_) | Self::Half(_) => Grid::new(sizes, MOST_A_TASK, threads),
            Self::Sparse(_) => Grid::without_zeros(sizes, 0, processor.together(), threads),
        }
    }
}

/// How a product's blocks, in two directions, are divided into tasks. The result does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks in the outer direction, in which tasks advance last, and in the inner one.
    sizes: [usize; 2],
    /// Where they begin in the inner direction.
    first: usize,
    /// The most blocks of a task.
    parts: [usize; 2],
}

impl Grid {
    /// Tasks of at most so many blocks in each direction, and of fewer where there would be less than sixteen for a thread,
    /// so that the last ones do not keep the others waiting.
    pub fn new(sizes: [usize; 2], most: [usize; 2], threads: usize) -> Self {
        let parts = [0, 1].map(|direction| most[direction].min(sizes[direction]).max(1));
        let mut grid = Self { sizes, first: 0, parts };
        while grid.tasks() < 16 * threads && grid.parts != [1, 1] {
            let longer = usize::from(grid.parts[1] >= grid.parts[0]);
            grid.parts[longer] = grid.parts[longer].div_ceil(2);
        }
        grid
    }

    /// Tasks of a product without zeros, of which this direction is that of the panels that are multiplied together. Rows
    /// are divided before these are, and only until there are eight tasks for a thread: each task has its own way through
    /// the lines for a chunk of terms.
    pub fn without_zeros(sizes: [usize; 2], panels: usize, together: usize, threads: usize) -> Self {
        let mut parts = [MOST_ROW_BLOCKS; 2];
        parts[panels] = together;
        let mut grid = Self { sizes, first: 0, parts: [0, 1].map(|index| parts[index].min(sizes[index]).max(1)) };
        while grid.tasks() < 8 * threads && grid.parts != [1, 1] {
            let divided = if grid.parts[1 - panels] > 1 { 1 - panels } else { panels };
            grid.parts[divided] = grid.parts[divided].div_ceil(2);
        }
        grid
    }

    /// The same from a block on in the second direction.
    pub fn starting_at(self, first: usize) -> Self {
        Self { first, ..self }
    }

    /// How many tasks there are.
    pub fn tasks(self) -> usize {
        self.sizes[0].div_ceil(self.parts[0]) * self.sizes[1].div_ceil(self.parts[1])
    }

    /// The blocks of a task in each direction.
    #[inline(always)]
    pub fn task(self, task: usize) -> [Range<usize>; 2] {
        let [outer, inner] = [0, 1].map(|direction| self.sizes[direction].div_ceil(self.parts[direction]));
        let second = even_part(self.sizes[1], inner, task % inner);
        [even_part(self.sizes[0], outer, task / inner), self.first + second.start..self.first + second.end]
    }
}

/// The parts of so many, as few of at most so many as there can be, of which none is longer by more than one than another.
pub fn even_parts(length: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = length.div_ceil(most);
    (0..parts).map(move |part| even_part(length, parts, part))
}

#[inline(always)]
fn even_part(length: usize, parts: usize, part: usize) -> Range<usize> {
    part * length / parts..(part + 1) * length / parts
}

/// A product alone: its blocks go where they belong, and nothing happens to them.
#[derive(Debug)]
pub struct Multiply<'a, P> {
    product: P,
    /// In blocks and panels, or the other way round.
    grid: Grid,
    panels_first: bool,
    out: SharedMatrix<'a>,
}

impl<'a, L: Operand> Multiply<'a, Product<'a, L>> {
    /// These panels of the product to those of `out`, in tasks of at most so many blocks and panels.
    ///
    /// # Panics
    /// Where an operand does not have the terms, or they are not whole blocks.
    pub fn new(
        product: Product<'a, L>,
        out: SharedMatrix<'a>,
        panels: Range<usize>,
        most: [usize; 2],
        threads: usize,
    ) -> Self {
        let grid = Grid::new([out.layout.blocks(), panels.len()], most, threads);
        Self::divided(product, out, grid.starting_at(panels.start), false)
    }

    /// The whole product, as the engine divides a gradient by the weights: in tasks of panels and blocks.
    ///
    /// # Panics
    /// As [`Multiply::new`].
    pub fn gradient(product: Product<'a, L>, out: SharedMatrix<'a>, threads: usize) -> Self {
        let grid = Grid::new([out.layout.panels(), out.layout.blocks()], MOST_A_GRADIENT_TASK, threads);
        Self::divided(product, out, grid, true)
    }

    fn divided(product: Product<'a, L>, out: SharedMatrix<'a>, grid: Grid, panels_first: bool) -> Self {
        let Product { a, b, along, terms } = product;
        let terms_of_b = match along {
            Along::Depth => b.layout.blocks(),
            Along::Lanes => b.layout.panels(),
        };
        assert!(terms.is_multiple_of(LANES) && terms <= LANES * a.layout.blocks().min(terms_of_b), "{terms} terms");
        Self { product, grid, panels_first, out }
    }
}

impl<P: Blocks + Sync> Phase for Multiply<'_, P> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let [first, second] = self.grid.task(task);
        let (panels, blocks) = if self.panels_first { (first, second) } else { (second, first) };
        let place = |panel, block| {
            // SAFETY: every block is in one task.
            unsafe { self.out.block(panel, block) }
        };
        // SAFETY: the processor is of the family; the terms were looked at.
        unsafe { self.product.multiply::<F>(panels, blocks, place, |_, _| {}, |_, _, _| {}) };
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::nonzeros::Nonzeros;
    use super::super::panels::{Buffer, Layout, Line};
    use super::super::pool::Pool;
    use super::*;

    /// Numbers, rows of `a` and of `b`.
    fn factors([lanes, terms, rows]: [usize; 3]) -> [Vec<f32>; 2] {
        let value = |index: usize| ((index * 7919) % 1013) as f32 / 1013.0 - 0.5;
        [(0..lanes * terms).map(value).collect(), (0..rows * terms).map(|index| value(index + 5)).collect()]
    }

    /// The product row by row, lanes of `a`, rows of `b`: as it is found, and with each element from the rows of its factors.
    fn multiply<L: Operand>(
        (processor, threads): (Processor, usize),
        sizes: [usize; 3],
        along: Along,
        line: fn(&Line) -> L,
        expected: fn(&[f32], &[f32]) -> f32,
    ) -> [Vec<f32>; 2] {
        let [lanes, terms, rows] = sizes;
        let [a, b] = factors(sizes);
        let a_layout = Layout { lanes, depth: terms };
        let (b_layout, b_laid) = match along {
            Along::Depth => (Layout { lanes: rows, depth: terms }, b.clone()),
            Along::Lanes => {
                let transposed = (0..terms * rows).map(|index| b[index % rows * terms + index / rows]);
                (Layout { lanes: terms, depth: rows }, transposed.collect())
            }
        };
        let [a_lines, b_lines] = [(a_layout, &a), (b_layout, &b_laid)].map(|(layout, values)| {
            let mut lines = vec![Line::ZERO; layout.lines()];
            layout.fill(values, &mut lines);
            lines.iter().map(line).collect::<Vec<L>>()
        });
        let layout = Layout { lanes, depth: rows };
        let mut out = Buffer { lines: vec![Line([f32::NAN; LANES]); layout.lines()], layout };
        let product = Product {
            a: Matrix { lines: &a_lines, layout: a_layout },
            b: Matrix { lines: &b_lines, layout: b_layout },
            along,
            terms: terms.next_multiple_of(LANES),
        };
        let mut pool = Pool::new(threads).unwrap();
        for panels in even_parts(layout.panels(), 2) {
            processor.run(&mut pool, &mut Multiply::new(product, out.shared(), panels, [2, 3], threads));
        }
        let mut found = vec![0.0; lanes * rows];
        layout.extract(&out.lines, &mut found);
        out.lines.fill(Line([f32::NAN; LANES]));
        processor.run(&mut pool, &mut Multiply::gradient(product, out.shared(), threads));
        let mut as_gradient = vec![0.0; lanes * rows];
        layout.extract(&out.lines, &mut as_gradient);
        assert_eq!(as_gradient, found);
        let expected = (0..lanes * rows).map(|index| {
            let (lane, row) = (index / rows, index % rows);
            expected(&a[lane * terms..][..terms], &b[row * terms..][..terms])
        });
        [found, expected.collect()]
    }

    fn on_every_processor(check: impl Fn((Processor, usize), [usize; 3], Along) -> [Vec<f32>; 2]) {
        for processor in Processor::available() {
            for sizes in [[1, 1, 1], [16, 16, 16], [17, 3, 33], [40, 300, 50], [5, 784, 10], [33, 600, 17]] {
                for along in [Along::Depth, Along::Lanes] {
                    for threads in [1, 3] {
                        let [found, expected] = check((processor, threads), sizes, along);
                        assert_eq!(found, expected, "{sizes:?} {along:?} on {}", processor.name());
                    }
                }
            }
        }
    }

    #[test]
    fn every_processor_s_product_is_the_chain_of_multiply_adds_to_the_bit() {
        let chain = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0_f32, |sum, (&a, &b)| b.mul_add(a, sum));
        on_every_processor(|on, sizes, along| multiply(on, sizes, along, |&line| line, chain));
    }

    /// Rows of `b` with so many zeros of either sign in ten elements, and the product without them.
    fn multiply_without_zeros(on: (Processor, usize), sizes: [usize; 3], zeros: usize) -> Option<[Vec<f32>; 2]> {
        let ([lanes, terms, rows], (processor, threads)) = (sizes, on);
        let [a, mut b] = factors(sizes);
        for (index, value) in b.iter_mut().enumerate().filter(|(index, _)| index * 7 % 10 < zeros) {
            *value = if index % 2 == 0 { 0.0 } else { -0.0 };
        }
        let mut operands = [Buffer::new(lanes, terms), Buffer::new(terms, rows)];
        let [a_laid, b_laid] = &mut operands;
        a_laid.layout.fill(&a, &mut a_laid.lines);
        let transposed: Vec<f32> = (0..terms * rows).map(|index| b[index % rows * terms + index / rows]).collect();
        b_laid.layout.fill(&transposed, &mut b_laid.lines);

        let mut pool = Pool::new(threads).unwrap();
        let (blocks, whole_terms) = (rows.div_ceil(LANES), terms.next_multiple_of(LANES));
        let mut nonzeros = Nonzeros::new(rows, terms);
        let panels = a_laid.layout.panels();
        nonzeros.search((processor, &mut pool), b_laid.matrix(), 0..blocks, whole_terms, panels);
        let product = nonzeros.product(a_laid.matrix())?;
        let mut out = Buffer::new(rows, lanes);
        out.lines.fill(Line([f32::NAN; LANES]));
        let layout = out.layout;
        let grid = AnyProduct::Sparse(product).grid([layout.blocks(), layout.panels()], processor, threads);
        let mut phase = Multiply { product, grid, panels_first: false, out: out.shared() };
        processor.run(&mut pool, &mut phase);
        let mut found = vec![0.0; rows * lanes];
        layout.extract(&out.lines, &mut found);
        let expected = (0..rows * lanes).map(|index| {
            let (row, lane) = (index / lanes, index % lanes);
            let (a, b) = (&a[lane * terms..][..terms], &b[row * terms..][..terms]);
            a.iter().zip(b).fold(0.0_f32, |sum, (&a, &b)| b.mul_add(a, sum))
        });
        Some([found, expected.collect()])
    }

    #[test]
    fn a_product_without_zeros_is_that_with_them() {
        for processor in Processor::available() {
            for sizes in [[40, 64, 16], [97, 300, 50], [130, 130, 33], [33, 64, 1]] {
                for (zeros, threads) in [(4, 1), (6, 3), (9, 2), (10, 1)] {
                    let found = multiply_without_zeros((processor, threads), sizes, zeros);
                    let [found, expected] = found.expect("zeros that are worth their search");
                    assert_eq!(found, expected, "{sizes:?}, {zeros} zeros in ten, on {}", processor.name());
                }
            }
        }
    }

    #[test]
    fn zeros_are_multiplied_where_few_are_or_few_elements() {
        let on = (Processor::Portable, 1);
        for (sizes, zeros) in [([64, 128, 32], 2), ([64, 48, 32], 9), ([32, 128, 32], 9)] {
            assert!(multiply_without_zeros(on, sizes, zeros).is_none(), "{sizes:?}, {zeros} zeros in ten");
        }
    }

    #[test]
    fn every_processor_s_product_of_halves_is_the_sum_of_chains_in_halves_to_the_bit() {
        /// With so few bits that products and sums of them are exact in `f64`.
        fn half(value: f32) -> f16 {
            f16::from_f32((value * 64.0).round() / 64.0)
        }
        fn chain(a: &[f32], b: &[f32]) -> f16 {
            let factors = a.iter().zip(b).map(|(&a, &b)| f64::from(half(a)) * f64::from(half(b)));
            factors.fold(f16::ZERO, |sum, product| f16::from_f64(product + f64::from(sum)))
        }
        fn sum_of_chains(a: &[f32], b: &[f32]) -> f32 {
            a.chunks(HALF_RUN).zip(b.chunks(HALF_RUN)).fold(0.0, |sum, (a, b)| sum + f32::from(chain(a, b)))
        }
        on_every_processor(|on, sizes, along| {
            multiply(on, sizes, along, |line| HalfLine(line.0.map(half)), sum_of_chains)
        });
    }

    #[test]
    fn a_grid_s_tasks_are_all_blocks_each_once() {
        for sizes in [[1, 1], [8, 64], [5, 7], [64, 1]] {
            for threads in [1, 2, 16] {
                let without_zeros = [0, 1].map(|panels| Grid::without_zeros(sizes, panels, 6, threads));
                for grid in [Grid::new(sizes, [32, 4], threads)].into_iter().chain(without_zeros) {
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
}
