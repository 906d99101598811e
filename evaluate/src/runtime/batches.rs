//! The images of a split, some at a time, side by side in memory.

use artifacts::SplitData;

/// Goes over the first rows of a split in batches; the last one may be smaller.
pub(crate) struct Batches<'a> {
    data: &'a SplitData,
    next: usize,
    end: usize,
    size: usize,
}

/// Some consecutive images.
pub(crate) struct Batch {
    /// The row of the first one.
    pub start: usize,
    /// `[N, H, W]`, row-major.
    pub images: Vec<u8>,
}

impl<'a> Batches<'a> {
    /// Over the rows before `end`, `size` at a time.
    pub(crate) fn new(data: &'a SplitData, end: usize, size: usize) -> Self {
        Self { data, next: 0, end, size }
    }
}

impl Iterator for Batches<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let start = self.next;
        self.next = self.end.min(start + self.size);
        let images = (start..self.next).flat_map(|row| self.data.image(row)).copied().collect::<Vec<_>>();
        (!images.is_empty()).then_some(Batch { start, images })
    }
}
