//! Dropout in panels.

use super::panels::{Block, LANES, Line};
use crate::dropout::{DECIDED, Dropout};
use crate::random::philox_of_many;

impl Dropout {
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
