//! Products alone, for measurements and tests.

use super::grid::{Grid, Task};
use super::kernel::{Along, Family, Phase};
use super::panels::{LANES, SharedMatrix};
use super::product::{Blocks, Operand, Product};

/// A product alone: its blocks go where they belong, and nothing happens to them.
#[derive(Debug)]
pub struct Multiply<'a, P> {
    product: P,
    grid: Grid,
    out: SharedMatrix<'a>,
}

impl<'a, L: Operand> Multiply<'a, Product<'a, L>> {
    /// The product to `out`, divided in this way.
    ///
    /// # Panics
    /// Where an operand does not have the terms, or they are not whole blocks.
    pub fn new(product: Product<'a, L>, out: SharedMatrix<'a>, grid: Grid) -> Self {
        let Product { a, b, along, terms } = product;
        let terms_of_b = match along {
            Along::Depth => b.layout.blocks(),
            Along::Lanes => b.layout.panels(),
        };
        assert!(terms.is_multiple_of(LANES) && terms <= LANES * a.layout.blocks().min(terms_of_b), "{terms} terms");
        Self { product, grid, out }
    }
}

impl<P: Blocks + Sync> Phase for Multiply<'_, P> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let Task { panels, blocks } = self.grid.task(task);
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

    use super::super::grid::{Extent, even_parts};
    use super::super::kernel::{HALF_RUN, Processor};
    use super::super::nonzeros::Nonzeros;
    use super::super::panels::{Buffer, HalfLine, Layout, Line, Matrix};
    use super::super::pool::Pool;
    use super::super::product::AnyProduct;
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
            let whole = Extent { panels: panels.len(), blocks: layout.blocks() };
            let grid = Grid::with_most(whole, Extent { panels: 3, blocks: 2 }, threads).starting_at(panels.start);
            processor.run(&mut pool, &mut Multiply::new(product, out.shared(), grid));
        }
        let mut found = vec![0.0; lanes * rows];
        layout.extract(&out.lines, &mut found);
        out.lines.fill(Line([f32::NAN; LANES]));
        let grid = Grid::of_gradient(layout.extent(), processor.together(), threads);
        processor.run(&mut pool, &mut Multiply::new(product, out.shared(), grid));
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
        let grid = AnyProduct::Sparse(product).grid(layout.extent(), processor, threads);
        let mut phase = Multiply { product, grid, out: out.shared() };
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
}
