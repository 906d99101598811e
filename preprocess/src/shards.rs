//! Writes what was kept.

use std::io::Write as _;
use std::path::Path;

use artifacts::{Dataset, Digest, RemovedImage, Shard, ShardFile, Split, SplitName, Splits, shard_bytes};
use ndarray::{Array1, Array3};
use terminal::Console;

use crate::decode::Decoded;
use crate::error::Error;
use crate::folders::Folders;
use crate::options::Options;
use crate::split::{Assigned, random_key};

/// How often each pixel value occurs.
#[derive(Debug)]
pub struct Histogram([u64; 256]);

impl Histogram {
    /// Mean and standard deviation (of the population) of the values, scaled to 0 to 1.
    pub fn mean_and_deviation(&self) -> Result<(f64, f64), Error> {
        let average = |of: &dyn Fn(f64) -> f64| {
            let total: u64 = self.0.iter().sum();
            let sum: f64 =
                self.0.iter().zip(0..=u8::MAX).map(|(&count, value)| count as f64 * of(f64::from(value) / 255.0)).sum();
            sum / total as f64
        };
        let mean = average(&|value| value);
        let deviation = average(&|value| (value - mean).powi(2)).sqrt();
        if deviation > 0.0 { Ok((mean, deviation)) } else { Err(Error::ConstantPixels) }
    }
}

/// Writes `removed.jsonl`; returns its digest.
pub fn write_removed_list(folder: &Path, removed: &[RemovedImage]) -> Result<Digest, Error> {
    let list = artifacts::write_file(&folder.join(Dataset::REMOVED_LIST), |writer| {
        for image in removed {
            serde_json::to_writer(&mut *writer, image)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    });
    Ok(list?)
}

/// Writes the shards of all splits; returns them with the pixel values of the training split.
pub fn write_splits(
    folder: &Path,
    images: &[Assigned<'_>],
    folders: &Folders,
    decoded: &Decoded,
    options: &Options,
    console: &Console,
) -> Result<(Splits, Histogram), Error> {
    let pixels = decoded.pixels()?;
    let pixels = pixels.as_deref().unwrap_or_default();
    let progress =
        console.progress(images.iter().filter(|image| image.kept).count() as u64, "images").labelled("writing");
    let write = |name: SplitName| -> Result<(Split, Histogram), Error> {
        let mut kept: Vec<_> = images
            .iter()
            .filter(|image| image.kept && image.split == name)
            .map(|image| (random_key(options.seed, "order", image.name), image))
            .collect();
        kept.sort_unstable_by_key(|&(key, image)| (key, image.row));

        let mut split =
            Split { images: kept.len(), images_by_class: vec![0; folders.classes.len()], shards: Vec::new() };
        let mut histogram = Histogram([0; 256]);
        for (index, rows) in kept.chunks(options.shard_size as usize).enumerate() {
            let rows: Vec<_> = rows.iter().map(|(_, image)| *image).collect();
            let shard = Rows { rows: &rows, pixels, height: decoded.height, width: decoded.width };
            split.shards.push(shard.write(folder, name, index, &mut histogram)?);
            rows.iter().for_each(|image| split.images_by_class[usize::from(image.label)] += 1);
            progress.advance(rows.len() as u64);
        }
        Ok((split, histogram))
    };
    let (train, histogram) = write(SplitName::Train)?;
    let (valid, _) = write(SplitName::Valid)?;
    let (test, _) = write(SplitName::Test)?;
    Ok((Splits { train, valid, test }, histogram))
}

/// The rows of a shard.
struct Rows<'a> {
    rows: &'a [&'a Assigned<'a>],
    /// The scratch file.
    pixels: &'a [u8],
    height: usize,
    width: usize,
}

impl Rows<'_> {
    fn write(&self, folder: &Path, split: SplitName, index: usize, histogram: &mut Histogram) -> Result<Shard, Error> {
        let size = self.height * self.width;
        let mut images = Vec::with_capacity(self.rows.len() * size);
        for image in self.rows {
            images.extend_from_slice(&self.pixels[image.row * size..][..size]);
        }
        images.iter().for_each(|&value| histogram.0[usize::from(value)] += 1);
        let images = Array3::from_shape_vec((self.rows.len(), self.height, self.width), images);
        let labels: Array1<u8> = self.rows.iter().map(|image| image.label).collect();
        let names: String = self.rows.iter().map(|image| format!("{}\n", image.name)).collect();

        let save = |what: &str, extension: &str, bytes: &[u8]| -> Result<ShardFile, Error> {
            let path = format!("{split}/{what}-{index:05}.{extension}");
            let sha256 = artifacts::write_file(&folder.join(&path), |writer| writer.write_all(bytes))?;
            Ok(ShardFile { path, sha256 })
        };
        Ok(Shard {
            rows: self.rows.len(),
            images: save("images", "npy", &shard_bytes(&images.expect("every row has its pixels")))?,
            labels: save("labels", "npy", &shard_bytes(&labels))?,
            names: save("names", "txt", names.as_bytes())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.array([0, 51, 255, 255]) / 255` has mean 0.55 and standard deviation 0.45552167895721496 in NumPy.
    #[test]
    fn mean_and_deviation_are_numpy_s() {
        let mut histogram = Histogram([0; 256]);
        for value in [0, 51, 255, 255] {
            histogram.0[value] += 1;
        }
        let (mean, deviation) = histogram.mean_and_deviation().unwrap();
        assert!((mean - 0.55).abs() < 1e-15, "{mean}");
        assert!((deviation - 0.455_521_678_957_214_96).abs() < 1e-15, "{deviation}");
    }

    #[test]
    fn constant_pixels_have_no_deviation_to_divide_by() {
        let mut histogram = Histogram([0; 256]);
        histogram.0[7] = 100;
        assert!(matches!(histogram.mean_and_deviation(), Err(Error::ConstantPixels)));
    }
}
