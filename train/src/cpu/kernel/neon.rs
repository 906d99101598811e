//! 64-bit ARM: 32 registers of 4 lanes, which every processor has and every function is compiled for.

use std::arch::aarch64::{
    float32x4_t, vdupq_n_f32, vfmaq_f32, vld1q_f32, vreinterpretq_f32_f64, vreinterpretq_f64_f32, vst1q_f32,
    vtrn1q_f32, vtrn1q_f64, vtrn2q_f32, vtrn2q_f64,
};

use super::list::List;
use super::tile;
use super::{Family, Rows};
use crate::cpu::panels::{Block, LANES, Line};

/// A processor of this family.
#[derive(Debug, Clone, Copy)]
pub struct Neon;

impl Family for Neon {
    const TOGETHER: usize = 6;

    #[inline(always)]
    unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
        // SAFETY: the caller's.
        unsafe { multiply(lines, rows, block, adds) }
    }

    #[inline(always)]
    unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
        // SAFETY: the caller's.
        unsafe { multiply_nonzeros(lines, stride, list, sums, adds) }
    }

    #[inline(always)]
    unsafe fn transpose(block: &Block, to: &mut Block) {
        for (line, lane) in (0..LANES).step_by(4).flat_map(|line| (0..LANES).step_by(4).map(move |lane| (line, lane))) {
            // SAFETY: four values of a line.
            let rows = std::array::from_fn(|row| unsafe { vld1q_f32(block[line + row].0[lane..].as_ptr()) });
            for (row, values) in four_by_four(rows).into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { vst1q_f32(to[lane + row].0[line..].as_mut_ptr(), values) };
            }
        }
    }
}

/// [`Family::multiply`], once for all phases.
///
/// # Safety
/// As there.
unsafe fn multiply(lines: &[Line], rows: Rows<'_>, block: &mut Block, adds: bool) {
    // SAFETY: the caller's.
    unsafe { tile::multiply::<float32x4_t, 4>(lines, rows, block, adds) }
}

/// [`Family::multiply_nonzeros`], once for all phases.
///
/// # Safety
/// As there.
unsafe fn multiply_nonzeros(lines: &[Line], stride: usize, list: &List, sums: &mut [Block], adds: bool) {
    // SAFETY: the caller's.
    unsafe { tile::multiply_nonzeros::<float32x4_t, 4>(lines, stride, list, sums, adds) }
}

tile::register!(float32x4_t, 4, vdupq_n_f32, vld1q_f32, vst1q_f32, |sum, factor, line| vfmaq_f32(sum, factor, line));

/// Rows and columns exchanged: first in pairs, then pairs of pairs.
#[inline(always)]
fn four_by_four(rows: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: every processor of the family has these.
    unsafe {
        let [even, odd] =
            [0, 2].map(|row| (vtrn1q_f32(rows[row], rows[row + 1]), vtrn2q_f32(rows[row], rows[row + 1])));
        let (even, odd) = (
            [even.0, even.1].map(|pairs| vreinterpretq_f64_f32(pairs)),
            [odd.0, odd.1].map(|pairs| vreinterpretq_f64_f32(pairs)),
        );
        [
            vtrn1q_f64(even[0], odd[0]),
            vtrn1q_f64(even[1], odd[1]),
            vtrn2q_f64(even[0], odd[0]),
            vtrn2q_f64(even[1], odd[1]),
        ]
        .map(|row| vreinterpretq_f32_f64(row))
    }
}
