//! Dropout from a counter: any thread drops the same.

use super::panels::{Block, LANES, Line};
use crate::random::philox_of_many;

/// Which activations of a layer a step drops.
///
/// Srivastava et al., "Dropout", 2014, in the inverted form: what is kept is scaled by `1 / (1 - p)`.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Sixteen random bits below it drop.
    threshold: u32,
    scale: f32,
    seed: u64,
    /// The low half of the step's number, then 16 bits of its high half and 16 for the layer.
    words: [u32; 2],
}

/// Activations of an image that one counter decides.
const DECIDED: u32 = 8;

impl Dropout {
    /// Drops this share, to a 65,536th, in a step of what a layer puts out; layers are counted from 1, and 0 is the input.
    pub fn new(share: f64, seed: u64, step: u64, layer: usize) -> Self {
        let layer = u32::try_from(layer).ok().filter(|&layer| layer < 1 << 16).expect("fewer than 2¹⁶ layers");
        let words = [step as u32, (step >> 32 << 16) as u32 | layer];
        Self { threshold: Self::threshold(share), scale: Self::scale(share), seed, words }
    }

    /// What the activations that are kept are multiplied by.
    pub fn scale(share: f64) -> f32 {
        (65_536.0 / (65_536.0 - f64::from(Self::threshold(share)))) as f32
    }

    fn threshold(share: f64) -> u32 {
        ((share * 65_536.0).round() as u32).min(65_535)
    }

    /// Drops from the activations of a panel of images of the batch; the block is counted within the panel.
    #[inline(always)]
    pub fn apply(self, activations: &mut Block, panel: usize, block: usize) {
        let images = std::array::from_fn(|lane| (panel * LANES + lane) as u32);
        let lines = activations.chunks_exact_mut(DECIDED as usize);
        for (lines, group) in lines.zip(block as u32 * (LANES as u32 / DECIDED)..) {
            let counters = [images, [group; LANES], [self.words[0]; LANES], [self.words[1]; LANES]];
            let words = philox_of_many(counters, self.seed);
            for (two, words) in lines.as_chunks_mut::<2>().0.iter_mut().zip(words) {
                self.keep(&mut two[0], words.map(|word| word & 0xffff));
                self.keep(&mut two[1], words.map(|word| word >> 16));
            }
        }
    }

    #[inline(always)]
    fn keep(self, line: &mut Line, bits: [u32; LANES]) {
        for (value, bits) in line.0.iter_mut().zip(bits) {
            *value = if bits < self.threshold { 0.0 } else { *value * self.scale };
        }
    }
}
