//! The elements that products without zeros go through.

use crate::cpu::panels::LANES;

/// Panels whose lanes are the terms of a chunk.
pub const CHUNK_PANELS: usize = 4;
/// The most terms of a list: the lines for them of the panels that are multiplied together fit the first cache.
pub const CHUNK: usize = CHUNK_PANELS * LANES;
/// The panels that are multiplied together at most.
pub const MOST_TOGETHER: usize = 8;

/// The elements of a block of rows in one chunk, row by row.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub struct List {
    /// What they are.
    pub(in crate::cpu) values: [f32; LANES * CHUNK],
    /// The place of each among the terms of the chunk, below [`CHUNK`].
    pub(in crate::cpu) terms: [u8; LANES * CHUNK],
    /// How many each row has.
    pub(in crate::cpu) counts: [u8; LANES],
}

impl List {
    /// No elements.
    pub const EMPTY: Self = Self { values: [0.0; _], terms: [0; _], counts: [0; _] };

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }

    /// The elements of each row, with their terms.
    #[inline(always)]
    pub(super) fn rows(&self) -> impl Iterator<Item = (&[f32], &[u8])> {
        self.counts.iter().scan(0, |end, &count| {
            let row = *end..*end + usize::from(count);
            *end = row.end;
            Some((&self.values[row.clone()], &self.terms[row]))
        })
    }
}
