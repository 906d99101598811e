//! A sheet of training images beside what augmentation makes of them.

use std::path::Path;

use image::{GrayImage, Luma};
use terminal::Console;

use crate::augment::Scratch;
use crate::data::Data;
use crate::error::Error;
use crate::options::Hyperparameters;

/// Images on the sheet, each in a row of its own.
const ROWS: usize = 12;
/// Epochs on the sheet, each in a column of its own after the original.
const EPOCHS: u32 = 12;
/// Pixels of the sheet for a pixel of an image.
const ZOOM: u32 = 2;
/// Pixels between two images, and between the original and its variants.
const GAP: u32 = 2;
const ORIGINAL_GAP: u32 = 8;
const BACKGROUND: u8 = 96;

/// Writes the sheet to `path`: the first training images on the left, each with what the first epochs will see of it.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, data: &Data, hyperparameters: &Hyperparameters, console: &Console) -> Result<(), Error> {
    let (height, width) = (data.dataset.height, data.dataset.width);
    let rows = data.train.len().min(ROWS);
    let [cell_width, cell_height] =
        [width, height].map(|pixels| u32::try_from(pixels).unwrap_or(u32::MAX) * ZOOM + GAP);
    let columns = EPOCHS + 1;
    let sheet_height = u32::try_from(rows).expect("a sheet has few rows") * cell_height + GAP;
    let mut sheet = GrayImage::from_pixel(columns * cell_width + ORIGINAL_GAP, sheet_height, Luma([BACKGROUND]));
    let mut put = |row: u32, column: u32, pixels: &[f32]| {
        let left = GAP + column * cell_width + if column > 0 { ORIGINAL_GAP } else { 0 };
        let top = GAP + row * cell_height;
        for y in 0..cell_height - GAP {
            for x in 0..cell_width - GAP {
                let value = pixels[(y / ZOOM) as usize * width + (x / ZOOM) as usize];
                sheet.put_pixel(left + x, top + y, Luma([value.round() as u8]));
            }
        }
    };
    let augmentation = hyperparameters.augmentation();
    let (mut scratch, mut varied) = (Scratch::default(), vec![0.0; height * width]);
    for (row, number) in (0..rows).zip(0..) {
        let image = data.train.image(row);
        put(number, 0, &image.iter().map(|&pixel| f32::from(pixel)).collect::<Vec<_>>());
        for epoch in 1..=EPOCHS {
            let variation = augmentation.draw(hyperparameters.seed, epoch, number);
            variation.apply(image, height, width, &mut scratch, &mut varied);
            put(number, epoch, &varied);
        }
    }
    sheet.save(path).map_err(|source| Error::Sheet { path: path.to_owned(), source })?;
    console.say(format!("train: {rows} images with their variants of {EPOCHS} epochs: `{}`", path.display()));
    Ok(())
}
