//! A block of a product in registers of any width.

use std::mem::offset_of;

use super::list::List;
use super::{Along, Rows, has_chunk, has_terms, prefetch};
use crate::cpu::panels::{Block, LANES, Line};

/// A register of a family of processors, with instructions that are always inlined into code that is compiled for the
/// family.
pub trait Register: Copy {
    /// Values in it.
    const LANES: usize;

    /// The value in every lane.
    ///
    /// # Safety
    /// The processor is of the family.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// The processor is of the family; `from` is a place for as many values and aligned to their size.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// The processor is of the family; `to` is a place for as many values and aligned to their size.
    unsafe fn store(self, to: *mut f32);

    /// `self + factor · line`, rounded once.
    ///
    /// # Safety
    /// The processor is of the family.
    unsafe fn add_product(self, factor: Self, line: Self) -> Self;
}

/// Makes a [`Register`] of a type by its instructions.
macro_rules! register {
    ($type:ty, $lanes:literal, $splat:path, $load:path, $store:path, $add_product:expr) => {
        impl $crate::cpu::kernel::tile::Register for $type {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's.
                unsafe { $splat(value) }
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's.
                unsafe { $store(to, self) }
            }

            #[inline(always)]
            unsafe fn add_product(self, factor: Self, line: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $add_product(self, factor, line) }
            }
        }
    };
}
pub(super) use register;

/// Repeats a body for every term of a chunk. The compiler takes a loop of this size for too long to unroll, and a branch a
/// term costs a tenth of the speed.
macro_rules! sixteen_times {
    ($term:ident => $body:block) => {
        sixteen_times!(@ $term $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@ $term:ident $body:block, $($number:literal)*) => {
        $({
            let $term: usize = $number;
            $body
        })*
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use sixteen_times;

/// [`Family::multiply`](super::Family::multiply) with `N` registers for a line.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn multiply<R: Register, const N: usize>(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
    assert!(has_terms(rows, lines.len()), "as many terms as lines");
    // SAFETY: the caller's, and just asserted.
    unsafe {
        match rows.along {
            Along::Depth => whole_block::<R, N, 1, LANES>(lines, rows, block, adds),
            Along::Lanes => whole_block::<R, N, LANES, 1>(lines, rows, block, adds),
        }
    }
}

/// A block, with the elements of `rows` so far apart from one row and from one term to the next.
///
/// # Safety
/// As [`multiply`]; `rows` has as many terms as there are lines.
#[inline(always)]
unsafe fn whole_block<R: Register, const N: usize, const ROW_STEP: usize, const TERM_STEP: usize>(
    lines: &[Line],
    rows: Rows<'_>,
    block: &mut Block,
    adds: bool,
) {
    const { assert!(N * R::LANES == LANES, "a line in registers") };
    let (lines, chunks) = (lines.as_ptr().cast::<f32>(), lines.len() / LANES);
    let (from, stride) = (rows.lines.as_ptr().cast::<f32>(), rows.stride * LANES);
    let to = block.as_mut_ptr().cast::<f32>();
    // Parts of so many rows that their sums leave room for a line and some elements: 16 of 32 registers, 12 of 16, or again
    // 16 of 32. With fewer than ten sums, two multiply-adds a cycle would wait for each other.
    macro_rules! parts {
        ($($rows:literal from $first:literal),*) => {
            // SAFETY: the parts make up the block's sixteen rows.
            unsafe {
                $(part::<R, N, $rows, ROW_STEP, TERM_STEP>(
                    lines, from.add($first * ROW_STEP), stride, chunks, to.add($first * LANES), adds,
                );)*
            }
        };
    }
    match N {
        1 => parts!(16 from 0),
        2 => parts!(6 from 0, 5 from 6, 5 from 11),
        _ => parts!(4 from 0, 4 from 4, 4 from 8, 4 from 12),
    }
}

/// So many rows of a block.
///
/// # Safety
/// The pointers are to `chunks` times [`LANES`] lines, to as many elements in each row, and to `ROWS` lines of the block.
#[inline(always)]
unsafe fn part<R: Register, const N: usize, const ROWS: usize, const ROW_STEP: usize, const TERM_STEP: usize>(
    mut lines: *const f32,
    mut from: *const f32,
    stride: usize,
    chunks: usize,
    to: *mut f32,
    adds: bool,
) {
    // SAFETY: all places are within what the caller promises; lines are aligned to 64 bytes.
    unsafe {
        let mut sums = [[R::splat(0.0); N]; ROWS];
        if adds {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = std::array::from_fn(|part| R::load(to.add(row * LANES + part * R::LANES)));
            }
        }
        for _ in 0..chunks {
            if ROW_STEP == LANES {
                // The next elements are far from these.
                for row in 0..ROWS {
                    prefetch(from.wrapping_add(stride + row * ROW_STEP));
                }
            }
            sixteen_times!(term => {
                let line: [R; N] = std::array::from_fn(|part| R::load(lines.add(part * R::LANES)));
                lines = lines.add(LANES);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let element = R::splat(*from.add(row * ROW_STEP + term * TERM_STEP));
                    for (sum, line) in sum.iter_mut().zip(line) {
                        *sum = sum.add_product(element, line);
                    }
                }
            });
            from = from.wrapping_add(stride);
        }
        for (row, sum) in sums.iter().enumerate() {
            for (part, sum) in sum.iter().enumerate() {
                sum.store(to.add(row * LANES + part * R::LANES));
            }
        }
    }
}

/// [`Family::multiply_nonzeros`](super::Family::multiply_nonzeros) with `N` registers for a line.
///
/// # Safety
/// As there.
#[inline(always)]
pub unsafe fn multiply_nonzeros<R: Register, const N: usize>(
    lines: &[Line],
    stride: usize,
    list: &List,
    sums: &mut [Block],
    adds: bool,
) {
    assert!(has_chunk(lines, stride, sums), "as many panels as blocks");
    let (lines, stride) = (lines.as_ptr().cast::<f32>(), stride * LANES);
    macro_rules! of_panels {
        ($($panels:literal)*) => {
            match sums.len() {
                // SAFETY: the caller's, and just asserted.
                $($panels => unsafe { blocks::<R, N, $panels>(lines, stride, list, sums.as_mut_ptr().cast(), adds) },)*
                _ => unreachable!("more panels than are multiplied together"),
            }
        };
    }
    of_panels!(1 2 3 4 5 6 7 8);
}

/// Lines of a list's values that are asked for ahead.
const ASKED_FOR: usize = 4;

/// A block for each of `P` panels.
///
/// # Safety
/// The processor is of the family; the pointers are to the lines of a chunk of each panel, and to the panels' blocks.
#[inline(always)]
unsafe fn blocks<R: Register, const N: usize, const P: usize>(
    lines: *const f32,
    stride: usize,
    list: &List,
    to: *mut f32,
    adds: bool,
) {
    // The next list begins where no processor foresees it; once it has begun, it is read on from there.
    let next = std::ptr::from_ref(list).wrapping_add(1).cast::<u8>();
    let values = (0..ASKED_FOR).map(|line| line * size_of::<Line>());
    for place in values.chain([offset_of!(List, terms), offset_of!(List, counts)]) {
        prefetch(next.wrapping_add(place));
    }
    for (row, elements) in list.rows().enumerate() {
        // SAFETY: the caller's.
        unsafe { line::<R, N, P>(lines, stride, elements, to.add(row * LANES), adds) };
    }
}

/// A line of a block for each of `P` panels.
///
/// # Safety
/// The processor is of the family; the pointers are to the lines of a chunk of each panel, and to a line in each of the
/// panels' blocks.
#[inline(always)]
unsafe fn line<R: Register, const N: usize, const P: usize>(
    lines: *const f32,
    stride: usize,
    (values, terms): (&[f32], &[u8]),
    to: *mut f32,
    adds: bool,
) {
    const { assert!(N * R::LANES == LANES, "a line in registers") };
    let place = |panel: usize, part: usize| panel * LANES * LANES + part * R::LANES;
    // SAFETY: all places are within what the caller promises: an element's term is one of a chunk.
    unsafe {
        let mut sums = [[R::splat(0.0); N]; P];
        if adds {
            for (panel, sums) in sums.iter_mut().enumerate() {
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = R::load(to.add(place(panel, part)));
                }
            }
        }
        for (&value, &term) in values.iter().zip(terms) {
            let (factor, lines) = (R::splat(value), lines.add(usize::from(term) * LANES));
            for (panel, sums) in sums.iter_mut().enumerate() {
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add_product(factor, R::load(lines.add(panel * stride + part * R::LANES)));
                }
            }
        }
        for (panel, sums) in sums.iter().enumerate() {
            for (part, sum) in sums.iter().enumerate() {
                sum.store(to.add(place(panel, part)));
            }
        }
    }
}
