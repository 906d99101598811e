//! x86-64 with AVX2 and FMA: 16 registers of 8 lanes.

use std::arch::x86_64::{__m256, _mm256_fmadd_ps, _mm256_load_ps, _mm256_set1_ps, _mm256_store_ps};

use super::tile;
use super::{Family, Phase, Rows, listing, transpose};
use crate::cpu::nonzeros::List;
use crate::cpu::panels::{Block, Line};

/// A processor of this family.
#[derive(Debug, Clone, Copy)]
pub struct Avx2;

/// Does a task of a phase with this family's instructions.
///
/// # Safety
/// The processor has AVX2 and FMA, and nobody else does the same task meanwhile.
#[target_feature(enable = "avx2,fma")]
pub unsafe fn run(phase: &impl Phase, task: usize) {
    // SAFETY: the caller's.
    unsafe { phase.run::<Avx2>(task) }
}

impl Family for Avx2 {
    const TOGETHER: usize = 6;

    #[inline(always)]
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
        // SAFETY: the caller's.
        unsafe { multiply(lines, rows, block, adds) }
    }

    #[inline(always)]
    unsafe fn list_nonzeros(line: &Line, first: usize, list: &mut List, found: usize) -> usize {
        // SAFETY: every processor of the family has AVX2.
        unsafe { listing::list_nonzeros(line, first, list, found) }
    }

    #[inline(always)]
    unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
        // SAFETY: the caller's.
        unsafe { multiply_nonzeros(lines, stride, list, sums, adds) }
    }

    #[inline(always)]
    unsafe fn transpose(block: &Block, to: &mut Block) {
        // SAFETY: every processor of the family has AVX2.
        unsafe { transpose::block(block, to) }
    }
}

/// [`Family::multiply`], once for all phases.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
    // SAFETY: the caller's.
    unsafe { tile::multiply::<__m256, 2>(lines, rows, block, adds) }
}

/// [`Family::multiply_nonzeros`], once for all phases.
///
/// # Safety
/// As there.
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
    // SAFETY: the caller's.
    unsafe { tile::multiply_nonzeros::<__m256, 2>(lines, stride, list, sums, adds) }
}

tile::register!(__m256, 8, _mm256_set1_ps, _mm256_load_ps, _mm256_store_ps, |sum, factor, line| _mm256_fmadd_ps(
    factor, line, sum
));
