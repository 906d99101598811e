//! Dropout from a counter: any thread of any engine drops the same.

/// Which activations of a layer a step drops.
///
/// Srivastava et al., "Dropout", 2014, in the inverted form: what is kept is scaled by `1 / (1 - p)`.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Sixteen random bits below it drop.
    pub threshold: u32,
    pub scale: f32,
    pub seed: u64,
    /// See [`words`].
    pub words: [u32; 2],
}

/// Activations of an image that one counter decides.
pub const DECIDED: u32 = 8;

impl Dropout {
    /// Drops this share, to a 65,536th, in a step of what a layer puts out; layers are counted from 1, and 0 is the input.
    pub fn new(share: f64, seed: u64, step: u64, layer: usize) -> Self {
        Self { threshold: Self::threshold(share), scale: Self::scale(share), seed, words: words(step, layer) }
    }

    /// What the activations that are kept are multiplied by.
    pub fn scale(share: f64) -> f32 {
        (65_536.0 / (65_536.0 - f64::from(Self::threshold(share)))) as f32
    }

    fn threshold(share: f64) -> u32 {
        ((share * 65_536.0).round() as u32).min(65_535)
    }
}

/// The low half of the step's number, then 16 bits of its high half and 16 for the layer.
pub fn words(step: u64, layer: usize) -> [u32; 2] {
    let layer = u32::try_from(layer).ok().filter(|&layer| layer < 1 << 16).expect("fewer than 2¹⁶ layers");
    [step as u32, (step >> 32 << 16) as u32 | layer]
}
