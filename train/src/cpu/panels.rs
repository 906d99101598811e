//! Matrices in panels: the layout that every product reads and writes.
//!
//! A panel holds [`LANES`] rows of a matrix side by side: all of their first elements, all of their second ones, and so on.
//! A row is called a lane here and its length the depth. One panel's values at one depth are a [`Line`], a cache line.
//!
//! The layout was chosen so that no whole product packs its operands: with activations in panels of images and weights in panels
//! of outputs, each is read in the order in which it lies, forward and backward (see [`super::product`]).

use std::marker::PhantomData;
use std::ops::Range;

use half::f16;

use super::grid::Extent;

/// Rows in a panel.
pub const LANES: usize = 16;

/// What lies side by side: the values of a panel's lanes at one depth.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LANES]);

impl Line {
    /// Zeros.
    pub const ZERO: Self = Self([0.0; LANES]);
}

/// As many lines as a line has lanes: what a product computes at a time.
pub type Block = [Line; LANES];

/// A line in half precision (binary16).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C, align(32))]
pub struct HalfLine(pub [f16; LANES]);

impl HalfLine {
    /// Zeros.
    pub const ZERO: Self = Self([f16::ZERO; LANES]);
}

/// Lines left free after each panel: without them, panels of a depth that is a power of two would lie in the same sets of
/// the caches, and reading across panels would evict what it reads. 71 is odd and prime to the number of sets, and longer
/// than what is read of each panel at a time: of a chunk of terms, that are not all there, lines of the gap may be seen.
pub(super) const GAP: usize = 71;

/// How a matrix lies in lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Rows.
    pub lanes: usize,
    /// Columns.
    pub depth: usize,
}

impl Layout {
    /// Panels; the last one may have lanes to spare.
    pub const fn panels(self) -> usize {
        self.lanes.div_ceil(LANES)
    }

    /// Blocks in a panel; the last one may have lines to spare.
    pub const fn blocks(self) -> usize {
        self.depth.div_ceil(LANES)
    }

    /// Both.
    pub const fn extent(self) -> Extent {
        Extent { panels: self.panels(), blocks: self.blocks() }
    }

    /// Lines from one panel to the next.
    pub const fn stride(self) -> usize {
        self.blocks() * LANES + GAP
    }

    /// Lines in all.
    pub const fn lines(self) -> usize {
        self.panels() * self.stride()
    }

    /// The lines of a block of a panel.
    pub const fn block(self, panel: usize, block: usize) -> Range<usize> {
        let start = panel * self.stride() + block * LANES;
        start..start + LANES
    }

    /// Puts a row-major matrix into lines, the spare ones of which are zero.
    pub fn fill(self, rows: &[f32], lines: &mut [Line]) {
        lines.fill(Line::ZERO);
        for (lane, row) in rows.chunks_exact(self.depth).enumerate() {
            let panel = &mut lines[lane / LANES * self.stride()..];
            panel.iter_mut().zip(row).for_each(|(line, &value)| line.0[lane % LANES] = value);
        }
    }

    /// Takes the row-major matrix out of its lines.
    pub fn extract(self, lines: &[Line], rows: &mut [f32]) {
        for (lane, row) in rows.chunks_exact_mut(self.depth).enumerate() {
            let panel = &lines[lane / LANES * self.stride()..];
            row.iter_mut().zip(panel).for_each(|(value, line)| *value = line.0[lane % LANES]);
        }
    }
}

/// A matrix in panels.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, L = Line> {
    /// Its lines.
    pub lines: &'a [L],
    /// Where they lie.
    pub layout: Layout,
}

/// A matrix of its own.
#[derive(Debug)]
pub struct Buffer<L = Line> {
    /// Its lines.
    pub lines: Vec<L>,
    /// Where they lie.
    pub layout: Layout,
}

impl<L: Copy + Default> Buffer<L> {
    /// Zeros.
    pub fn new(lanes: usize, depth: usize) -> Self {
        let layout = Layout { lanes, depth };
        Self { lines: vec![L::default(); layout.lines()], layout }
    }

    /// To read.
    pub fn matrix(&self) -> Matrix<'_, L> {
        Matrix { lines: &self.lines, layout: self.layout }
    }

    /// For tasks to write.
    pub fn shared(&mut self) -> SharedMatrix<'_, L> {
        SharedMatrix { lines: Shared::new(&mut self.lines), layout: self.layout }
    }
}

/// A matrix of which tasks write different blocks at the same time.
#[derive(Debug)]
pub struct SharedMatrix<'a, L = Line> {
    /// Its lines.
    pub lines: Shared<'a, L>,
    /// Where they lie.
    pub layout: Layout,
}

impl<'a, L> SharedMatrix<'a, L> {
    /// A block of a panel.
    ///
    /// # Safety
    /// While it is used, nobody else may read or write it.
    #[inline(always)]
    pub unsafe fn block(&self, panel: usize, block: usize) -> &'a mut [L; LANES] {
        // SAFETY: the caller's.
        unsafe { self.lines.part(self.layout.block(panel, block).start) }
    }
}

/// Values of which tasks write different parts at the same time.
#[derive(Debug)]
pub struct Shared<'a, T> {
    values: *mut T,
    length: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: who calls `part` promises that nobody else uses it at the same time.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// These values.
    pub fn new(values: &'a mut [T]) -> Self {
        Self { values: values.as_mut_ptr(), length: values.len(), borrowed: PhantomData }
    }

    /// A part of them.
    ///
    /// # Safety
    /// While the part is used, nobody else may read or write it.
    #[inline(always)]
    pub unsafe fn part<const N: usize>(&self, start: usize) -> &'a mut [T; N] {
        assert!(start <= self.length && N <= self.length - start, "a part of the values");
        // SAFETY: it lies within the values, which are borrowed for 'a; the caller answers for the rest.
        unsafe { &mut *self.values.add(start).cast::<[T; N]>() }
    }

    /// Where a value lies.
    #[inline(always)]
    pub fn place(&self, index: usize) -> *const T {
        self.values.wrapping_add(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_comes_back_from_its_panels_and_spare_lanes_are_zero() {
        for (lanes, depth) in [(1, 1), (16, 16), (10, 784), (33, 17)] {
            let layout = Layout { lanes, depth };
            let rows: Vec<f32> = (1_u16..).take(lanes * depth).map(f32::from).collect();
            let mut lines = vec![Line([f32::NAN; LANES]); layout.lines()];
            layout.fill(&rows, &mut lines);
            let sum: f32 = lines.iter().flat_map(|line| line.0).map(|value| f32::from(value > 0.0)).sum();
            assert_eq!(sum, (lanes * depth) as f32);
            let mut back = vec![0.0; rows.len()];
            layout.extract(&lines, &mut back);
            assert_eq!(back, rows);
        }
    }
}
