//! Dropout from a counter: any thread drops the same.

use crate::random::philox;

/// Which activations of a layer a step drops.
///
/// Srivastava et al., "Dropout", 2014, in the inverted form: what is kept is scaled by `1 / (1 - p)`.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// A random word below it drops.
    threshold: u32,
    scale: f32,
    seed: u64,
    step: u64,
    /// Whose output is dropped, counted from 1; 0 is the input.
    layer: u32,
    /// Of its output.
    width: usize,
}

impl Dropout {
    /// Drops this share in a step; of the input, unless [`Dropout::of_layer`] says otherwise.
    pub fn new(share: f64, seed: u64, step: u64) -> Self {
        let threshold = (share * 2.0_f64.powi(32)).round() as u32;
        Self { threshold, scale: (1.0 / (1.0 - share)) as f32, seed, step, layer: 0, width: 0 }
    }

    /// Of the output of a layer, counted from 1, that is so wide.
    pub fn of_layer(self, layer: usize, width: usize) -> Self {
        Self { layer: u32::try_from(layer).expect("fewer than 2³² layers"), width, ..self }
    }

    /// Drops from the values of a row, the first of which is in column `first_column`.
    pub fn apply(self, values: &mut [f32], row: usize, first_column: usize) {
        let first = row * self.width + first_column;
        let mut words = [0; 4];
        let mut known = None;
        for (value, element) in values.iter_mut().zip(first as u64..) {
            let group = element / 4;
            if known != Some(group) {
                // 26 bits for the layer and the high part of the group: a batch of 2⁴⁰ activations.
                let high = self.layer << 6 | (group >> 32) as u32;
                words = philox([group as u32, high, self.step as u32, (self.step >> 32) as u32], self.seed);
                known = Some(group);
            }
            *value *= if words[(element % 4) as usize] < self.threshold { 0.0 } else { self.scale };
        }
    }
}
