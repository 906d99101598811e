//! Transpositions with the instructions that all x86-64 families here share.

use std::arch::x86_64::{
    _mm256_load_ps, _mm256_permute2f128_ps, _mm256_shuffle_ps, _mm256_store_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use crate::cpu::panels::{Block, LANES};

/// Writes the block with lines and lanes exchanged.
///
/// # Safety
/// The processor has AVX2.
#[inline]
#[target_feature(enable = "avx2")]
pub unsafe fn block(block: &Block, to: &mut Block) {
    for (line, lane) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        // SAFETY: eight values from a line's first or ninth one, which are aligned to 32 bytes.
        unsafe {
            let from = block.as_ptr().cast::<f32>().add(line * LANES + lane);
            eight_by_eight(from, to.as_mut_ptr().cast::<f32>().add(lane * LANES + line));
        };
    }
}

/// # Safety
/// Both are to eight values in each of eight lines, aligned to 32 bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn eight_by_eight(from: *const f32, to: *mut f32) {
    // SAFETY: the caller's.
    let rows: [_; 8] = std::array::from_fn(|row| unsafe { _mm256_load_ps(from.add(row * LANES)) });
    // Pairs of rows, element by element; then fours of them; then the halves of the registers are put right.
    let pairs = |a: usize| (_mm256_unpacklo_ps(rows[a], rows[a + 1]), _mm256_unpackhi_ps(rows[a], rows[a + 1]));
    let fours = |a: usize| {
        let ((low, high), (next_low, next_high)) = (pairs(a), pairs(a + 2));
        [
            _mm256_shuffle_ps::<0b01_00_01_00>(low, next_low),
            _mm256_shuffle_ps::<0b11_10_11_10>(low, next_low),
            _mm256_shuffle_ps::<0b01_00_01_00>(high, next_high),
            _mm256_shuffle_ps::<0b11_10_11_10>(high, next_high),
        ]
    };
    let (upper, lower) = (fours(0), fours(4));
    for row in 0..4 {
        // SAFETY: the caller's.
        unsafe {
            _mm256_store_ps(to.add(row * LANES), _mm256_permute2f128_ps::<0x20>(upper[row], lower[row]));
            _mm256_store_ps(to.add((row + 4) * LANES), _mm256_permute2f128_ps::<0x31>(upper[row], lower[row]));
        }
    }
}
