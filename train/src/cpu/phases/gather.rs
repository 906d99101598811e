//! Images into panels.

use std::cell::Cell;
use std::ops::Range;

use crate::augment::{Augmentation, Scratch};
use crate::cpu::kernel::{Family, Phase, prefetch};
use crate::cpu::panels::{Block, HalfLine, LANES, Line, Shared, SharedMatrix};
use crate::data::Data;
use crate::dropout::Dropout;

/// Puts images into panels: standardised, and in training augmented and some pixels dropped.
pub struct Gather<'a> {
    pub data: &'a Data,
    pub images: Images<'a>,
    pub input: SharedMatrix<'a>,
    /// The same in panels of pixels.
    pub transposed: Option<SharedMatrix<'a>>,
    /// The same for products in half precision.
    pub halves: Option<SharedMatrix<'a, HalfLine>>,
    /// The label of each training image; zeros after the last one, and where the split is validated.
    pub labels: Shared<'a, u8>,
    /// Which of the batch.
    pub panels: Range<usize>,
}

/// Which images a batch has.
pub enum Images<'a> {
    /// These rows of the training split.
    Training { rows: &'a [u32], epoch: u32, seed: u64, augmentation: Augmentation, dropout: Option<Dropout> },
    /// So many rows of the validation split, from row `first` on.
    Validation { first: usize, count: usize },
}

impl Images<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::Training { rows, .. } => rows.len(),
            Self::Validation { count, .. } => *count,
        }
    }
}

thread_local! {
    /// Room for a panel's augmented images.
    static AUGMENTED: Cell<(Vec<f32>, Scratch)> = Cell::default();
}

impl Phase for Gather<'_> {
    fn tasks(&self) -> usize {
        self.panels.len()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let panel = self.panels.start + task;
        let first = panel * LANES;
        let lanes = LANES.min(self.images.count() - first);
        // SAFETY: each panel is in one task.
        let labels: &mut [u8; LANES] = unsafe { self.labels.part(first) };
        labels.fill(0);
        match self.images {
            Images::Training { rows, epoch, seed, augmentation, dropout } => {
                let rows = &rows[first..first + lanes];
                for (label, &row) in labels.iter_mut().zip(rows) {
                    *label = self.data.train_label(row as usize);
                }
                // SAFETY: each panel is in one task; the processor is of the family.
                unsafe {
                    if augmentation.is_none() {
                        self.standardise::<F>(panel, rows.iter().map(|&row| self.data.train.image(row as usize)));
                    } else {
                        self.augment::<F>(panel, rows, augmentation, seed, epoch);
                    }
                }
                if let Some(dropout) = dropout {
                    for index in 0..self.input.layout.blocks() {
                        // SAFETY: each panel is in one task; the processor is of the family.
                        unsafe {
                            let block = self.input.block(panel, index);
                            dropout.apply(block, panel, index);
                            if let Some(transposed) = &self.transposed {
                                F::transpose(block, transposed.block(index, panel));
                            }
                        }
                    }
                }
                if let Some(halves) = &self.halves {
                    for block in 0..self.input.layout.blocks() {
                        // SAFETY: each panel is in one task; the processor is of the family.
                        unsafe { *halves.block(panel, block) = F::narrowed(self.input.block(panel, block)) };
                    }
                }
            }
            Images::Validation { first: first_row, .. } => {
                let rows = first_row + first..first_row + first + lanes;
                // SAFETY: each panel is in one task; the processor is of the family.
                unsafe { self.standardise::<F>(panel, rows.map(|row| self.data.valid.image(row))) };
            }
        }
    }
}

impl Gather<'_> {
    /// Puts the standardised images into a panel.
    ///
    /// # Safety
    /// Nobody else uses the panel, and the processor is of the family.
    #[inline(always)]
    unsafe fn standardise<'b, F: Family>(&self, panel: usize, images: impl Iterator<Item = &'b [u8]>) {
        const NO_IMAGE: &[u8] = &[];
        let mut lanes = [NO_IMAGE; LANES];
        lanes.iter_mut().zip(images).for_each(|(lane, image)| *lane = image);
        let standardisation = self.data.standardisation();
        let depth = self.input.layout.depth;
        // The images lie anywhere.
        for pixels in lanes.iter().flat_map(|image| image.iter().step_by(size_of::<Line>())) {
            prefetch(pixels);
        }
        for index in 0..self.input.layout.blocks() {
            let mut block = [Line::ZERO; LANES];
            for (Line(values), image) in block.iter_mut().zip(&lanes) {
                let pixels = image.get(index * LANES..).unwrap_or_default();
                let mut row = [0; LANES];
                match pixels.first_chunk() {
                    Some(pixels) => row = *pixels,
                    None => row.iter_mut().zip(pixels).for_each(|(place, &pixel)| *place = pixel),
                }
                for (value, pixel) in values.iter_mut().zip(row) {
                    *value = standardisation.of(f32::from(pixel));
                }
                // What is to spare is zero, lest its weights learn.
                values[LANES.min(depth - index * LANES)..].fill(0.0);
            }
            // SAFETY: the caller's.
            unsafe { self.put::<F>(panel, index, &block) };
        }
    }

    /// Puts a block, which has a line for each image, into a panel of images.
    ///
    /// # Safety
    /// Nobody else uses the panel, and the processor is of the family.
    #[inline(always)]
    unsafe fn put<F: Family>(&self, panel: usize, index: usize, block: &Block) {
        // SAFETY: the caller's.
        unsafe {
            F::transpose(block, self.input.block(panel, index));
            if let Some(transposed) = &self.transposed {
                *transposed.block(index, panel) = *block;
            }
        }
    }

    /// Puts the standardised variants of the images in these rows into a panel.
    ///
    /// # Safety
    /// Nobody else uses the panel, and the processor is of the family.
    #[inline(always)]
    unsafe fn augment<F: Family>(&self, panel: usize, rows: &[u32], augmentation: Augmentation, seed: u64, epoch: u32) {
        let (height, width) = (self.data.dataset.height, self.data.dataset.width);
        let length = self.input.layout.blocks() * LANES;
        let standardisation = self.data.standardisation();
        let (mut images, mut scratch) = AUGMENTED.take();
        images.clear();
        images.resize(length * LANES, 0.0);
        for (image, &row) in images.chunks_exact_mut(length).zip(rows) {
            let image = &mut image[..height * width];
            let variation = augmentation.draw(seed, epoch, row);
            variation.apply(self.data.train.image(row as usize), height, width, &mut scratch, image);
            image.iter_mut().for_each(|pixel| *pixel = standardisation.of(*pixel));
        }
        for index in 0..self.input.layout.blocks() {
            let block: Block = std::array::from_fn(|lane| {
                let pixels = images[lane * length + index * LANES..].first_chunk::<LANES>();
                Line(*pixels.expect("an image has whole blocks"))
            });
            // SAFETY: the caller's.
            unsafe { self.put::<F>(panel, index, &block) };
        }
        AUGMENTED.set((images, scratch));
    }
}
