//! Listing what is not zero with the instructions that all x86-64 families here share.

use std::arch::x86_64::{
    _CMP_NEQ_UQ, _mm_cvtsi64_si128, _mm256_cmp_ps, _mm256_cvtepu8_epi32, _mm256_load_ps, _mm256_movemask_ps,
    _mm256_permutevar8x32_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::list::{CHUNK, List};
use crate::cpu::panels::{LANES, Line};

/// Values in a register.
const WIDTH: usize = 8;

/// For each choice of values in a register the places of those that are chosen, one after the other, a byte each.
static CHOSEN: [i64; 1 << WIDTH] = {
    let mut all = [0; 1 << WIDTH];
    let mut choice = 0;
    while choice < all.len() {
        let (mut place, mut found) = (0, 0);
        while place < WIDTH {
            if choice >> place & 1 == 1 {
                all[choice] |= (place as i64) << (8 * found);
                found += 1;
            }
            place += 1;
        }
        choice += 1;
    }
    all
};

/// [`Family::list_nonzeros`](super::Family::list_nonzeros).
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub unsafe fn list_nonzeros(line: &Line, first: usize, list: &mut List, mut found: usize) -> usize {
    for part in (0..LANES).step_by(WIDTH) {
        let term = first + part;
        assert!(term + WIDTH <= CHUNK && found + WIDTH <= list.values.len(), "terms of a chunk, and room for them");
        // SAFETY: half a line is read, which is aligned to its size, and as many values are written as there is room for.
        let chosen = unsafe {
            let values = _mm256_load_ps(line.0[part..].as_ptr());
            let chosen = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NEQ_UQ>(values, _mm256_setzero_ps())) as usize;
            let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(CHOSEN[chosen]));
            _mm256_storeu_ps(list.values[found..].as_mut_ptr(), _mm256_permutevar8x32_ps(values, places));
            chosen
        };
        // The term added to each of the bytes: no sum leaves its byte.
        let terms = CHOSEN[chosen] + i64::from_ne_bytes([1; WIDTH]) * term as i64;
        list.terms[found..found + WIDTH].copy_from_slice(&terms.to_le_bytes());
        found += chosen.count_ones() as usize;
    }
    found
}
