use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use files::{Digest, IoContext as _};
use memmap2::Mmap;

use super::manifest::{Dataset, Shard, ShardFile, SplitName};
use crate::document::Document as _;
use crate::error::{Error, Result};
use crate::npy;

/// The images and labels of a split, mapped into memory.
///
/// A stage never writes into a file that is there, so a map stays as it is when the data set is made anew. A file that
/// somebody else writes into all the same is found by [`SplitData::check_unchanged`]; until then a reader sees other
/// numbers, which are pixels whatever they are, and labels of some class. A file that is cut ends the process with SIGBUS
/// when the lost part is read.
#[derive(Debug)]
pub struct SplitData {
    name: SplitName,
    /// What `dataset.json` says.
    images_by_class: Vec<usize>,
    pixels: usize,
    /// The last class's.
    last_label: u8,
    shards: Vec<MappedShard>,
    /// Where each shard's rows begin, and behind the last one the number of all rows.
    starts: Vec<usize>,
    /// The `dataset.json` that has the digests.
    recorded_by: PathBuf,
}

#[derive(Debug)]
struct MappedShard {
    images: MappedArray,
    labels: MappedArray,
    names: PathBuf,
    /// What `dataset.json` says of the names.
    sha256: Digest,
}

/// A mapped `.npy` file of `u8`, with where its values begin.
#[derive(Debug)]
struct MappedArray {
    map: Mmap,
    offset: usize,
    path: PathBuf,
    /// What `dataset.json` says.
    sha256: Digest,
    file: File,
    /// As it was when it was mapped.
    stamp: Stamp,
}

/// What changes when a file is written to.
type Stamp = (u64, Option<SystemTime>);

impl SplitData {
    pub(super) fn open(folder: &Path, dataset: &Dataset, name: SplitName) -> Result<Self> {
        let (height, width, classes) = (dataset.height, dataset.width, dataset.classes.len());
        let last_label = u8::try_from(classes - 1).unwrap_or(u8::MAX);
        let recorded_by = folder.join(Dataset::FILE_NAME);
        let mut data = Self {
            name,
            images_by_class: dataset.split(name).images_by_class.clone(),
            pixels: height * width,
            last_label,
            shards: Vec::new(),
            starts: vec![0],
            recorded_by,
        };
        for Shard { rows, images, labels, names } in &dataset.split(name).shards {
            let shape = [*rows, height, width];
            let images = MappedArray::open(folder, images, "shard of images", |file| npy::images(file, shape))?;
            let labels =
                MappedArray::open(folder, labels, "shard of labels", |file| npy::labels(file, *rows, classes))?;
            data.starts.push(data.len() + rows);
            data.shards.push(MappedShard { images, labels, names: folder.join(&names.path), sha256: names.sha256 });
        }
        Ok(data)
    }

    /// Compares every shard's images and labels with their digests in `dataset.json`, and the labels with what it counts.
    ///
    /// # Errors
    /// Names the first file that has another digest, or says of which classes there are more or fewer images.
    pub fn verify(&self) -> Result<()> {
        let check = |array: &MappedArray| Digest::of(&array.map).check(&array.path, array.sha256, &self.recorded_by);
        self.arrays().try_for_each(check)?;
        let mut found = vec![0; self.images_by_class.len()];
        (0..self.len()).for_each(|row| found[usize::from(self.label(row))] += 1);
        if found != self.images_by_class {
            let (name, recorded) = (self.name, &self.images_by_class);
            let reason = format!("the {name} split has {found:?} images of the classes, not {recorded:?}");
            return Err(Error::Malformed { path: self.recorded_by.clone(), kind: Dataset::KIND, reason });
        }
        Ok(())
    }

    /// Whether the files are still those that were opened, by their size and the time of the last change, for a reader
    /// who is about to say what came of them.
    ///
    /// # Errors
    /// Names the first file that somebody has written to.
    pub fn check_unchanged(&self) -> files::Result<()> {
        self.arrays().try_for_each(|array| {
            let found = stamp(&array.file.metadata().context("read", &array.path)?);
            if found == array.stamp { Ok(()) } else { Err(files::Error::Changed { path: array.path.clone() }) }
        })
    }

    fn arrays(&self) -> impl Iterator<Item = &MappedArray> {
        self.shards.iter().flat_map(|shard| [&shard.images, &shard.labels])
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
        self.shards[shard].labels.values()[row].min(self.last_label)
    }

    /// The files that the images were read from, in the order of the rows.
    ///
    /// # Errors
    /// When a file of names cannot be read, has another digest than `dataset.json` says, or another number of lines than
    /// its shard has rows.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(self.len());
        for (index, shard) in self.shards.iter().enumerate() {
            let text = std::fs::read_to_string(&shard.names).context("read", &shard.names)?;
            Digest::of(text.as_bytes()).check(&shard.names, shard.sha256, &self.recorded_by)?;
            names.extend(text.lines().map(str::to_owned));
            if names.len() != self.starts[index + 1] {
                let (lines, rows) = (text.lines().count(), self.starts[index + 1] - self.starts[index]);
                let reason = format!("it has {lines} lines for {rows} rows");
                return Err(Error::Malformed { path: shard.names.clone(), kind: "list of names", reason });
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
        values: impl FnOnce(&[u8]) -> Result<&[u8], String>,
    ) -> Result<Self> {
        let path = folder.join(&file.path);
        let opened = File::open(&path).context("read", &path)?;
        let stamp = stamp(&opened.metadata().context("read", &path)?);
        // SAFETY: the map is read-only. Another process that changes the file under it could change the bytes behind a
        // `&[u8]`; the stages never do, since they replace files by renaming, which leaves the mapped inode as it was, and
        // whoever else does it is found out by `check_unchanged`.
        let map = unsafe { Mmap::map(&opened) }.context("map", &path)?;
        let values = values(&map).map_err(|reason| Error::Malformed { path: path.clone(), kind, reason })?.len();
        // They stand at the end.
        let offset = map.len() - values;
        Ok(Self { map, offset, path, sha256: file.sha256, file: opened, stamp })
    }

    fn values(&self) -> &[u8] {
        &self.map[self.offset..]
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.len(), metadata.modified().ok())
}
