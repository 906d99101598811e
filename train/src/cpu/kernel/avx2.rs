//! x86-64 with AVX2 and FMA: 16 registers of 8 lanes.

use std::arch::x86_64::{
    __m256, _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_load_ps, _mm256_setzero_ps, _mm256_store_ps,
};

use super::{Along, Family, Phase, Rows, has_terms, prefetch, transpose};
use crate::cpu::panels::{Block, LANES, Line};

/// Of this family.
#[derive(Debug, Clone, Copy)]
pub struct Avx2;

/// Does a task of a phase with this family's instructions.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn run(phase: &impl Phase, task: usize) {
    phase.run::<Avx2>(task);
}

impl Family for Avx2 {
    #[inline(always)]
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
        assert!(has_terms(rows, lines.len()), "as many terms as lines");
        // SAFETY: the caller's, and just asserted.
        unsafe {
            match rows.along {
                Along::Depth => multiply::<1, LANES>(lines, rows, block, adds),
                Along::Lanes => multiply::<LANES, 1>(lines, rows, block, adds),
            }
        }
    }

    #[inline(always)]
    unsafe fn transposed(block: &Block) -> Block {
        // SAFETY: every processor of the family has AVX2.
        unsafe { transpose::block(block) }
    }

    #[inline(always)]
    fn transposed_bytes(rows: [[u8; LANES]; LANES]) -> [[u8; LANES]; LANES] {
        transpose::bytes(rows)
    }
}

/// A block's product, with the elements of `rows` so far apart from one row and from one term to the next.
///
/// # Safety
/// As [`Family::multiply`]; `rows` has as many terms as there are lines.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply<const ROW: usize, const TERM: usize>(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
    let (lines, chunks) = (lines.as_ptr().cast::<f32>(), lines.len() / LANES);
    let (from, stride) = (rows.lines.as_ptr().cast::<f32>(), rows.stride * LANES);
    let to = block.as_mut_ptr().cast::<f32>();
    // SAFETY: the parts make up the block's sixteen rows.
    unsafe {
        part::<6, ROW, TERM>(lines, from, stride, chunks, to, adds);
        part::<5, ROW, TERM>(lines, from.add(6 * ROW), stride, chunks, to.add(6 * LANES), adds);
        part::<5, ROW, TERM>(lines, from.add(11 * ROW), stride, chunks, to.add(11 * LANES), adds);
    }
}

/// Some rows of a block: two registers each, which leaves two for a line and one for an element; with fewer than five, two
/// multiply-adds a cycle would wait for each other.
///
/// # Safety
/// The pointers are to `chunks` times [`LANES`] lines, to as many elements in each row, and to `R` lines of the block.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn part<const R: usize, const ROW: usize, const TERM: usize>(
    mut lines: *const f32,
    mut from: *const f32,
    stride: usize,
    chunks: usize,
    to: *mut f32,
    adds: bool,
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    // SAFETY: all places are within what the caller promises; lines are aligned to 64 bytes.
    unsafe {
        if adds {
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = [_mm256_load_ps(to.add(row * LANES)), _mm256_load_ps(to.add(row * LANES + 8))];
            }
        }
        for _ in 0..chunks {
            if ROW == LANES {
                // The next elements are far from these.
                for row in 0..R {
                    prefetch(from.wrapping_add(stride + row * ROW).cast());
                }
            }
            sixteen_times!(term => {
                let line: [__m256; 2] = [_mm256_load_ps(lines), _mm256_load_ps(lines.add(8))];
                lines = lines.add(LANES);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let element = _mm256_broadcast_ss(&*from.add(row * ROW + term * TERM));
                    sum[0] = _mm256_fmadd_ps(element, line[0], sum[0]);
                    sum[1] = _mm256_fmadd_ps(element, line[1], sum[1]);
                }
            });
            from = from.wrapping_add(stride);
        }
        for (row, sum) in sums.iter().enumerate() {
            _mm256_store_ps(to.add(row * LANES), sum[0]);
            _mm256_store_ps(to.add(row * LANES + 8), sum[1]);
        }
    }
}
