//! Writes what was kept.

use std::io::Write as _;
use std::path::Path;

use artifacts::{Dataset, RemovedImage, Shard, ShardFile, Split, SplitName, Splits, npy};
use files::Digest;
use ndarray::{Array1, Array3};
use rayon::prelude::*;
use scratch::{FileVec, Names};
use terminal::Console;

use crate::decode::{Decoded, Scratch};
use crate::duplicates::Finding;
use crate::error::Error;
use crate::folders::Folders;
use crate::options::Options;
use crate::read::pool;
use crate::split::{Assigned, random_keys};

/// Threads beyond those that decode: they wait for the disk rather than for a processor.
const WAITING_THREADS: usize = 2;

/// Pixels in a shard, which is put together in memory. The largest image has a sixteenth of them.
const MOST_SHARD_BYTES: usize = 1 << 26;

/// Pixels that a thread gathers at once.
const GATHERED_BYTES: usize = 1 << 20;

/// How often each pixel value occurs.
#[derive(Debug, Clone)]
pub struct Histogram([u64; 256]);

impl Histogram {
    const NONE: Self = Self([0; 256]);

    fn of(pixels: &[u8]) -> Self {
        // Neighbours are often the same: counted in four places, one need not wait for the other.
        let mut counts = [[0_u64; 256]; 4];
        let (fours, rest) = pixels.as_chunks::<4>();
        for four in fours {
            counts.iter_mut().zip(four).for_each(|(counts, &value)| counts[usize::from(value)] += 1);
        }
        rest.iter().for_each(|&value| counts[0][usize::from(value)] += 1);
        Self(std::array::from_fn(|value| counts.iter().map(|counts| counts[value]).sum()))
    }

    fn add(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
        self
    }

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
pub fn write_removed_list(
    folder: &Path,
    images: &[Assigned],
    names: &Names,
    findings: &[Finding],
) -> Result<Digest, Error> {
    let list = files::write_file(&folder.join(Dataset::REMOVED_LIST), |writer| {
        for &Finding { image, reason, same_as } in findings {
            let [file, same_as] = [image, same_as].map(|image| names.text(images[image].name).to_owned());
            let split = images[image].split;
            serde_json::to_writer(&mut *writer, &RemovedImage { file, split, reason, same_as })?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    });
    Ok(list?)
}

/// Writes the shards of all splits; returns them with the pixel values of the training split.
pub fn write_splits(
    folder: &Path,
    images: &[Assigned],
    folders: &Folders,
    decoded: &Decoded,
    scratch: &Scratch,
    options: &Options,
    console: &Console,
) -> Result<(Splits, Histogram), Error> {
    let pixels = scratch.map()?;
    let pixels = pixels.as_deref().unwrap_or_default();
    let progress =
        console.progress(images.iter().filter(|image| image.kept).count() as u64, "images").labelled("writing");
    let names = &folders.names;
    let in_order = |split| in_random_order(images, names, split, options.seed, scratch.folder());
    let [train, valid, test] = SplitName::ALL.map(in_order);
    let ordered = [train?, valid?, test?];
    let (height, width) = (decoded.height, decoded.width);
    let most_rows = (options.shard_size as usize).min(MOST_SHARD_BYTES / (height * width));
    let shards = SplitName::ALL.into_iter().zip(&ordered).flat_map(|(split, rows)| {
        let numbered = rows.chunks(most_rows).enumerate();
        numbered.map(move |(index, rows)| Rows { split, index, rows, images, names, pixels, height, width })
    });
    let shards: Vec<_> = shards.collect();
    let writers = pool(rayon::current_num_threads() + WAITING_THREADS)?;
    let written: Result<Vec<_>, Error> = writers.install(|| {
        let written = shards.par_iter().with_max_len(1).map(|shard| {
            let written = shard.write(folder)?;
            progress.advance(shard.rows.len() as u64);
            Ok((shard.split, written))
        });
        written.collect()
    });

    let mut splits = ordered.each_ref().map(|rows| {
        let mut images_by_class = vec![0; folders.classes.len()];
        rows.iter().for_each(|&(_, image)| images_by_class[usize::from(images[image].label)] += 1);
        Split { images: rows.len(), images_by_class, shards: Vec::new() }
    });
    let mut of_training = Histogram::NONE;
    for (split, (shard, histogram)) in written? {
        if split == SplitName::Train {
            of_training = of_training.add(&histogram);
        }
        splits[split as usize].shards.push(shard);
    }
    let [train, valid, test] = splits;
    Ok((Splits { train, valid, test }, of_training))
}

/// An image's index behind what sorts it.
type Row = (Digest, usize);

/// The kept images of a split, in the order of the digests of their names with the seed. They are kept in `scratch`.
fn in_random_order(
    images: &[Assigned],
    names: &Names,
    split: SplitName,
    seed: u64,
    scratch: &Path,
) -> Result<FileVec<Row>, Error> {
    let is_in = |image: &Assigned| image.kept && image.split == split;
    let count = images.iter().filter(|image| is_in(image)).count();
    let mut kept: FileVec<Row> = FileVec::with_capacity(scratch, count)?;
    for (index, image) in images.iter().enumerate().filter(|(_, image)| is_in(image)) {
        kept.push((image.pixels, index))?;
    }
    let random_key = random_keys(seed, "order");
    kept.par_iter_mut().for_each(|(key, index)| *key = random_key(names.bytes(images[*index].name)));
    kept.par_sort_unstable();
    Ok(kept)
}

/// The rows of a shard.
struct Rows<'a> {
    split: SplitName,
    /// Which of the split's shards it is.
    index: usize,
    rows: &'a [Row],
    images: &'a [Assigned],
    names: &'a Names,
    /// The scratch file.
    pixels: &'a [u8],
    height: usize,
    width: usize,
}

impl Rows<'_> {
    fn rows(&self) -> impl Iterator<Item = &Assigned> {
        self.rows.iter().map(|&(_, image)| &self.images[image])
    }

    fn write(&self, folder: &Path) -> Result<(Shard, Histogram), Error> {
        let (rows, size) = (self.rows.len(), self.height * self.width);
        let mut images = vec![0; rows * size];
        let rows_at_once = (GATHERED_BYTES / size).max(1);
        let parts = images.par_chunks_mut(rows_at_once * size).zip(self.rows.par_chunks(rows_at_once));
        let histograms = parts.map(|(pixels, rows)| {
            for (place, &(_, image)) in pixels.chunks_exact_mut(size).zip(rows) {
                place.copy_from_slice(&self.pixels[self.images[image].at as usize..][..size]);
            }
            Histogram::of(pixels)
        });
        let histogram = histograms.reduce(|| Histogram::NONE, |sum, part| sum.add(&part));
        let images = Array3::from_shape_vec((rows, self.height, self.width), images);
        let labels: Array1<u8> = self.rows().map(|image| image.label).collect();
        let mut names = Vec::new();
        for image in self.rows() {
            names.extend_from_slice(self.names.bytes(image.name));
            names.push(b'\n');
        }

        let images = images.expect("every row has its pixels");
        let path = |what: &str, extension: &str| format!("{}/{what}-{:05}.{extension}", self.split, self.index);
        let save = |path: String, write: &dyn Fn(&Path) -> files::Result<Digest>| -> Result<ShardFile, Error> {
            let sha256 = write(&folder.join(&path))?;
            Ok(ShardFile { path, sha256 })
        };
        let save_names = |path: &Path| files::write_file(path, |writer| writer.write_all(&names));
        // A disk syncs several files in little more than the time of one.
        let (images, (labels, names)) = rayon::join(
            || save(path("images", "npy"), &|path| npy::write(path, &images)),
            || {
                rayon::join(
                    || save(path("labels", "npy"), &|path| npy::write(path, &labels)),
                    || save(path("names", "txt"), &save_names),
                )
            },
        );
        Ok((Shard { rows, images: images?, labels: labels?, names: names? }, histogram))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.array([0, 51, 255, 255]) / 255` has mean 0.55 and standard deviation 0.45552167895721496 in NumPy.
    #[test]
    fn mean_and_deviation_are_numpy_s() {
        let (mean, deviation) = Histogram::of(&[0, 51, 255, 255]).mean_and_deviation().unwrap();
        assert!((mean - 0.55).abs() < 1e-15, "{mean}");
        assert!((deviation - 0.455_521_678_957_214_96).abs() < 1e-15, "{deviation}");
    }

    #[test]
    fn every_pixel_is_counted() {
        let pixels: Vec<u8> = (0..=u8::MAX).flat_map(|value| vec![value; usize::from(value)]).collect();
        let counts = Histogram::of(&pixels).add(&Histogram::of(&[0; 7])).0;
        assert_eq!(counts[0], 7);
        assert!((1..256).all(|value| counts[value] == value as u64));
    }

    #[test]
    fn constant_pixels_have_no_deviation_to_divide_by() {
        assert!(matches!(Histogram::of(&[7; 101]).mean_and_deviation(), Err(Error::ConstantPixels)));
    }
}
