//! x86-64 with AVX-512: 32 registers of 16 lanes.

use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_load_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_store_ps};

use super::{Along, Family, Phase, Rows, has_terms, prefetch, transpose};
use crate::cpu::panels::{Block, LANES, Line};

/// Of this family.
#[derive(Debug, Clone, Copy)]
pub struct Avx512;

/// Does a task of a phase with this family's instructions.
///
/// # Safety
/// The processor has AVX-512F, AVX2 and FMA.
#[target_feature(enable = "avx512f,avx2,fma")]
pub unsafe fn run(phase: &impl Phase, task: usize) {
    phase.run::<Avx512>(task);
}

impl Family for Avx512 {
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

/// A block's product: a register for each of its rows, with the elements of `rows` so far apart from one row and from one
/// term to the next.
///
/// # Safety
/// As [`Family::multiply`]; `rows` has as many terms as there are lines.
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn multiply<const ROW: usize, const TERM: usize>(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
    let (mut from, stride) = (rows.lines.as_ptr().cast::<f32>(), rows.stride * LANES);
    let mut sums = [_mm512_setzero_ps(); LANES];
    // SAFETY: all places are within what the caller promises; lines are aligned to 64 bytes.
    unsafe {
        if adds {
            for (sum, line) in sums.iter_mut().zip(block.iter()) {
                *sum = _mm512_load_ps(line.0.as_ptr());
            }
        }
        for lines in lines.as_chunks::<LANES>().0 {
            if ROW == LANES {
                // The next elements are far from these.
                for row in 0..LANES {
                    prefetch(from.wrapping_add(stride + row * ROW).cast());
                }
            }
            sixteen_times!(term => {
                let line = _mm512_load_ps(lines[term].0.as_ptr());
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_fmadd_ps(_mm512_set1_ps(*from.add(row * ROW + term * TERM)), line, *sum);
                }
            });
            from = from.wrapping_add(stride);
        }
        for (sum, line) in sums.iter().zip(block) {
            _mm512_store_ps(line.0.as_mut_ptr(), *sum);
        }
    }
}
