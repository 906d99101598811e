//! x86-64 with AVX-512 and AVX512-FP16: half precision in 32 registers of 32 lanes, two panels side by side.

use std::arch::x86_64::{
    __m256i, _MM_FROUND_TO_NEAREST_INT, _mm256_load_si256, _mm256_store_si256, _mm512_add_ps, _mm512_castph_si512,
    _mm512_castsi256_si512, _mm512_castsi512_ph, _mm512_castsi512_si256, _mm512_cvtph_ps, _mm512_cvtps_ph,
    _mm512_extracti64x4_epi64, _mm512_fmadd_ph, _mm512_inserti64x4, _mm512_load_ps, _mm512_set1_epi16,
    _mm512_setzero_ph, _mm512_setzero_ps, _mm512_store_ps,
};

use super::list::List;
use super::tile::sixteen_times;
use super::x86_64::avx512::Avx512;
use super::{Along, Family, HALF_RUN, Phase, Rows, has_terms, prefetch};
use crate::cpu::panels::{Block, HalfLine, LANES, Line};

/// A processor of this family.
#[derive(Debug, Clone, Copy)]
pub struct Avx512Fp16;

/// Does a task of a phase with this family's instructions.
///
/// # Safety
/// The processor has AVX-512F, AVX512-FP16, AVX2 and FMA, and nobody else does the same task meanwhile.
#[target_feature(enable = "avx512fp16,avx512f,avx2,fma")]
pub unsafe fn run(phase: &impl Phase, task: usize) {
    // SAFETY: the caller's.
    unsafe { phase.run::<Avx512Fp16>(task) }
}

impl Family for Avx512Fp16 {
    const TOGETHER: usize = Avx512::TOGETHER;

    #[inline(always)]
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
        // SAFETY: the caller's.
        unsafe { Avx512::multiply(lines, rows, block, adds) }
    }

    #[inline(always)]
    unsafe fn list_nonzeros(line: &Line, first: usize, list: &mut List, found: usize) -> usize {
        // SAFETY: the caller's.
        unsafe { Avx512::list_nonzeros(line, first, list, found) }
    }

    #[inline(always)]
    unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
        // SAFETY: the caller's.
        unsafe { Avx512::multiply_nonzeros(lines, stride, list, sums, adds) }
    }

    #[inline(always)]
    unsafe fn multiply_halves(lines: [&[HalfLine]; 2], rows: Rows<'_, HalfLine>, blocks: [&mut Block; 2], adds: bool) {
        assert!(has_terms(rows, lines[0].len()) && lines[1].len() == lines[0].len(), "as many terms as lines");
        // SAFETY: the caller's, and just asserted.
        unsafe {
            match rows.along {
                Along::Depth => multiply::<1, LANES>(lines, rows, blocks, adds),
                Along::Lanes => multiply::<LANES, 1>(lines, rows, blocks, adds),
            }
        }
    }

    #[inline(always)]
    unsafe fn narrowed<const N: usize>(lines: &[Line; N]) -> [HalfLine; N] {
        let mut halves = [HalfLine::ZERO; N];
        for (halves, line) in halves.iter_mut().zip(lines) {
            // SAFETY: every processor of the family has AVX-512F; lines of both precisions are aligned to their size.
            unsafe {
                let narrowed = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(_mm512_load_ps(line.0.as_ptr()));
                _mm256_store_si256(halves.0.as_mut_ptr().cast(), narrowed);
            }
        }
        halves
    }

    #[inline(always)]
    unsafe fn transpose(block: &Block, to: &mut Block) {
        // SAFETY: the caller's.
        unsafe { Avx512::transpose(block, to) }
    }
}

/// The blocks of two panels: a register for each of their rows, with the elements of `rows` so far apart from one row and
/// from one term to the next.
///
/// # Safety
/// As [`Family::multiply_halves`]; `rows` has as many terms as there are lines.
#[target_feature(enable = "avx512fp16,avx512f,avx2,fma")]
unsafe fn multiply<const ROW_STEP: usize, const TERM_STEP: usize>(
    lines: [&[HalfLine]; 2],
    rows: Rows<'_, HalfLine>,
    blocks: [&mut Block; 2],
    adds: bool,
) {
    let (mut from, stride) = (rows.lines.as_ptr().cast::<i16>(), rows.stride * LANES);
    let [first_block, second_block] = blocks;
    let mut adds = adds;
    for (first, second) in lines[0].chunks(HALF_RUN).zip(lines[1].chunks(HALF_RUN)) {
        let mut sums = [_mm512_setzero_ph(); LANES];
        for (first, second) in first.as_chunks::<LANES>().0.iter().zip(second.as_chunks::<LANES>().0) {
            // SAFETY: all places are within what the caller promises; half lines are aligned to 32 bytes.
            unsafe {
                if ROW_STEP == LANES {
                    // The next elements are far from these.
                    for row in 0..LANES {
                        prefetch(from.wrapping_add(stride + row * ROW_STEP));
                    }
                }
                sixteen_times!(term => {
                    let [first, second] = [first, second].map(|lines| half_line(&lines[term]));
                    let line = _mm512_castsi512_ph(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second));
                    for (row, sum) in sums.iter_mut().enumerate() {
                        let element = _mm512_set1_epi16(*from.add(row * ROW_STEP + term * TERM_STEP));
                        *sum = _mm512_fmadd_ph(_mm512_castsi512_ph(element), line, *sum);
                    }
                });
            }
            from = from.wrapping_add(stride);
        }
        for (row, sum) in sums.into_iter().enumerate() {
            let sum = _mm512_castph_si512(sum);
            let parts = [_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)];
            for (part, block) in parts.into_iter().zip([&mut *first_block, &mut *second_block]) {
                let to = block[row].0.as_mut_ptr();
                // SAFETY: a whole line, which is aligned to 64 bytes.
                unsafe {
                    let before = if adds { _mm512_load_ps(to) } else { _mm512_setzero_ps() };
                    _mm512_store_ps(to, _mm512_add_ps(before, _mm512_cvtph_ps(part)));
                }
            }
        }
        adds = true;
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn half_line(line: &HalfLine) -> __m256i {
    // SAFETY: a whole line, which is aligned to 32 bytes.
    unsafe { _mm256_load_si256(line.0.as_ptr().cast()) }
}
