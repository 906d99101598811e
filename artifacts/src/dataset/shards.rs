use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use ndarray::{Array, ArrayView, ArrayView1, ArrayView3, Dimension};
use ndarray_npy::{ViewNpyExt as _, WriteNpyExt as _};

use super::manifest::{Dataset, ShardFile, SplitName};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _, Result};

/// The images and labels of a split, mapped into memory.
#[derive(Debug)]
pub struct SplitData {
    pixels: usize,
    shards: Vec<MappedShard>,
    /// Where each shard's rows begin, and behind the last one the number of all rows.
    starts: Vec<usize>,
}

#[derive(Debug)]
struct MappedShard {
    images: MappedArray,
    labels: MappedArray,
    names: PathBuf,
}

/// A mapped `.npy` file of `u8`, with where its values begin.
#[derive(Debug)]
struct MappedArray {
    map: Mmap,
    offset: usize,
    path: PathBuf,
    /// What `dataset.json` says.
    sha256: Digest,
}

impl SplitData {
    pub(super) fn open(folder: &Path, dataset: &Dataset, name: SplitName) -> Result<Self> {
        let mut data = Self { pixels: dataset.height * dataset.width, shards: Vec::new(), starts: vec![0] };
        for shard in &dataset.split(name).shards {
            let shape = (shard.rows, dataset.height, dataset.width);
            let images = MappedArray::open(folder, &shard.images, "shard of images", |map| {
                let found = ArrayView3::<u8>::view_npy(map).map_err(|error| error.to_string())?;
                same_shape(&found, shape)
            })?;
            let labels = MappedArray::open(folder, &shard.labels, "shard of labels", |map| {
                let found = ArrayView1::<u8>::view_npy(map).map_err(|error| error.to_string())?;
                same_shape(&found, shard.rows)?;
                match found.iter().find(|&&label| usize::from(label) >= dataset.classes.len()) {
                    Some(label) => Err(format!("it has label {label} of {} classes", dataset.classes.len())),
                    None => Ok(()),
                }
            })?;
            data.starts.push(data.len() + shard.rows);
            data.shards.push(MappedShard { images, labels, names: folder.join(&shard.names.path) });
        }
        Ok(data)
    }

    /// Compares every shard with its digest in `dataset.json`.
    ///
    /// # Errors
    /// Names the first file that has another one.
    pub fn verify(&self) -> Result<()> {
        self.shards.iter().flat_map(|shard| [&shard.images, &shard.labels]).try_for_each(MappedArray::verify)
    }

    /// How many images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts[self.shards.len()]
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many pixels an image has.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// The pixels of an image, row by row.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn image(&self, row: usize) -> &[u8] {
        let (shard, row) = self.locate(row);
        &self.shards[shard].images.values()[row * self.pixels..][..self.pixels]
    }

    /// The class of an image.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn label(&self, row: usize) -> u8 {
        let (shard, row) = self.locate(row);
        self.shards[shard].labels.values()[row]
    }

    /// The files that the images were read from, in the order of the rows.
    ///
    /// # Errors
    /// When a file of names cannot be read, or has another number of lines than its shard has rows.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(self.len());
        for (index, shard) in self.shards.iter().enumerate() {
            let text = std::fs::read_to_string(&shard.names).context("read", &shard.names)?;
            names.extend(text.lines().map(str::to_owned));
            if names.len() != self.starts[index + 1] {
                return Err(Error::Malformed {
                    path: shard.names.clone(),
                    kind: "list of names",
                    reason: format!("it has {} lines", text.lines().count()),
                });
            }
        }
        Ok(names)
    }

    fn locate(&self, row: usize) -> (usize, usize) {
        let shard = self.starts.partition_point(|&start| start <= row) - 1;
        (shard, row - self.starts[shard])
    }
}

impl MappedArray {
    fn open(
        folder: &Path,
        file: &ShardFile,
        kind: &'static str,
        check: impl FnOnce(&[u8]) -> Result<(), String>,
    ) -> Result<Self> {
        let path = folder.join(&file.path);
        let opened = File::open(&path).context("read", &path)?;
        // SAFETY: the map is read-only. Another process that changes the file under it could change the bytes behind a
        // `&[u8]`; the stages never do, since they replace files by renaming, which leaves the mapped inode as it was.
        let map = unsafe { Mmap::map(&opened) }.context("map", &path)?;
        check(&map).map_err(|reason| Error::Malformed { path: path.clone(), kind, reason })?;
        // `check` has viewed the file as version 1, 2 or 3 of the form: magic, version, length of the header, header.
        let header = match map[6] {
            1 => 10 + usize::from(u16::from_le_bytes([map[8], map[9]])),
            _ => 12 + u32::from_le_bytes([map[8], map[9], map[10], map[11]]) as usize,
        };
        Ok(Self { map, offset: header, path, sha256: file.sha256 })
    }

    fn verify(&self) -> Result<()> {
        let found = Digest::of(&self.map);
        if found == self.sha256 {
            return Ok(());
        }
        let recorded_by = self.path.with_file_name(Dataset::FILE_NAME);
        Err(Error::Digest { path: self.path.clone(), found, recorded_by, recorded: self.sha256 })
    }

    fn values(&self) -> &[u8] {
        &self.map[self.offset..]
    }
}

fn same_shape<D: Dimension>(
    found: &ArrayView<'_, u8, D>,
    expected: impl ndarray::IntoDimension<Dim = D>,
) -> Result<(), String> {
    let expected = expected.into_dimension();
    if found.raw_dim() != expected {
        return Err(format!("it has shape {:?}; dataset.json says {:?}", found.shape(), expected.slice()));
    }
    if !found.is_standard_layout() {
        return Err("it is in Fortran order".to_owned());
    }
    Ok(())
}

/// A `.npy` file's bytes, as NumPy writes them.
///
/// # Panics
/// Never: writing to memory does not fail.
#[must_use]
pub fn shard_bytes<D: Dimension>(array: &Array<u8, D>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(array.len() + 128);
    array.write_npy(&mut bytes).expect("memory takes what is written");
    bytes
}
