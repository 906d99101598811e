//! Everything random in a training.
//!
//! What the host draws in order (first weights, permutations) comes from ChaCha8 streams. What an engine draws in
//! parallel comes from Philox, which gives the number at any place without the ones before it: any thread of any engine
//! draws the same.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// The first weights of a layer, counted from 0.
    Weights(u32),
    /// The order of the images in an epoch, counted from 1.
    Order(u32),
}

/// A generator of its own for each seed and purpose.
#[must_use]
pub fn generator(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let (kind, index) = match purpose {
        Purpose::Weights(layer) => (1, layer),
        Purpose::Order(epoch) => (2, epoch),
    };
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(kind << 32 | u64::from(index));
    generator
}

/// Philox4x32-10: four random words from a counter and a key.
///
/// Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#[must_use]
pub fn philox(counter: [u32; 4], key: u64) -> [u32; 4] {
    philox_of_many(counter.map(|word| [word]), key).map(|[word]| word)
}

/// [`philox`] of `N` counters at once, given and returned word by word: all first ones, all second ones, and so on.
#[must_use]
#[inline(always)]
pub fn philox_of_many<const N: usize>(counters: [[u32; N]; 4], key: u64) -> [[u32; N]; 4] {
    const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    let mut key = [key as u32, (key >> 32) as u32];
    let mut words = counters;
    for _ in 0..10 {
        let products = |multiplier: u32, words: [u32; N]| words.map(|word| u64::from(multiplier) * u64::from(word));
        let (first, second) = (products(MULTIPLIERS[0], words[0]), products(MULTIPLIERS[1], words[2]));
        let mixed = |products: [u64; N], words: [u32; N], key: u32| {
            std::array::from_fn(|index| (products[index] >> 32) as u32 ^ words[index] ^ key)
        };
        let low = |products: [u64; N]| products.map(|product| product as u32);
        words = [mixed(second, words[1], key[0]), low(second), mixed(first, words[3], key[1]), low(first)];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that Random123 publishes for `philox4x32 10` (`kat_vectors`).
    #[test]
    fn philox_gives_the_known_answers() {
        let cases = [
            ([0; 4], 0, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], u64::MAX, [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                0x299f_31d0_a409_3822,
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox(counter, key), expected);
        }
    }
}
