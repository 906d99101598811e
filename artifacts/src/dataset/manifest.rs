use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use files::Digest;
use serde::{Deserialize, Serialize};

use super::shards::SplitData;
use crate::document::{Document, parse_json, read_json};
use crate::error::Result;
use crate::provenance::Provenance;
use crate::run::check_images;

/// `dataset.json`: what the data is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// How it was made; the source archives, where they are known, stand among the inputs.
    pub provenance: Provenance,
    /// The data set's name.
    pub name: String,
    /// The class names, sorted; a label is an index into them.
    pub classes: Vec<String>,
    /// Height of every image in pixels.
    pub height: usize,
    /// Width of every image in pixels.
    pub width: usize,
    /// Mean of the training pixels, scaled to 0 to 1.
    pub mean: f64,
    /// Standard deviation (of the population) of the training pixels, scaled to 0 to 1.
    pub standard_deviation: f64,
    /// The three splits.
    pub splits: Splits,
    /// What the file names told of fonts.
    pub fonts: Fonts,
    /// How many images were left out for which reason; each one is named in `removed.jsonl`.
    pub removed: RemovedCounts,
    /// SHA-256 of `removed.jsonl` ([`RemovedImage`]).
    pub removed_list: Digest,
    /// How many images were converted to 8-bit grey, by their colour type.
    pub converted: BTreeMap<String, u64>,
    /// Every file that is no usable image, with the reason.
    pub rejected: Vec<Rejected>,
}

/// A split of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// What the weights are fitted to.
    Train,
    /// What decides when to stop.
    Valid,
    /// What judges, once.
    Test,
}

/// The three splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Splits {
    /// The training split.
    pub train: Split,
    /// The validation split.
    pub valid: Split,
    /// The test split.
    pub test: Split,
}

/// The images of a split. Rows are in a random order that the seed decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// How many images.
    pub images: usize,
    /// How many of each class, in the order of the classes.
    pub images_by_class: Vec<usize>,
    /// The files, in the order of the rows.
    pub shards: Vec<Shard>,
}

/// Some rows of a split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shard {
    /// How many rows.
    pub rows: usize,
    /// `.npy`, `u8`, `[rows, height, width]`.
    pub images: ShardFile,
    /// `.npy`, `u8`, `[rows]`.
    pub labels: ShardFile,
    /// The file that each row was read from, a line each.
    pub names: ShardFile,
}

/// A file of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardFile {
    /// Relative to `dataset.json`.
    pub path: String,
    /// Of its bytes.
    pub sha256: Digest,
}

/// What the file names told of fonts: notMNIST's are the base64 of a font's file name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fonts {
    /// How many different fonts were named.
    pub fonts: u64,
    /// How many images were named after a font. The rest each count as a font of their own.
    pub images: u64,
    /// How many fonts of the test split have images in training or validation too: none where one archive was split,
    /// but separate archives may share fonts.
    pub shared_with_test: u64,
}

/// How many images were left out, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedCounts {
    /// Same pixels and label as an image that was kept in the same split.
    pub duplicates: u64,
    /// Same pixels and label as an image of the test split (or, in training, of the validation split).
    pub leaks: u64,
    /// Same pixels as an image of the test split under another label.
    pub conflicting_leaks: u64,
    /// Same pixels under two labels, in training and validation.
    pub conflicts: u64,
    /// Same pixels under two labels in the test split: reported, but kept.
    pub test_conflicts: u64,
}

/// Why an image was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removed {
    /// See [`RemovedCounts::duplicates`].
    Duplicate,
    /// See [`RemovedCounts::leaks`].
    Leak,
    /// See [`RemovedCounts::conflicting_leaks`].
    ConflictingLeak,
    /// See [`RemovedCounts::conflicts`].
    Conflict,
    /// See [`RemovedCounts::test_conflicts`]: the image was not left out, only reported.
    TestConflict,
}

/// A line of `removed.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedImage {
    /// The image, as `train/CLASS/NAME` or `test/CLASS/NAME`.
    pub file: String,
    /// The split that it was in.
    pub split: SplitName,
    /// Why.
    pub reason: Removed,
    /// The first file with the same pixels that stands against it.
    pub same_as: String,
}

/// A file that is no usable image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The file, as `train/CLASS/NAME` or `test/CLASS/NAME`.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Dataset {
    /// Its file name.
    pub const FILE_NAME: &str = "dataset.json";
    /// The file name of the list of [`RemovedImage`]s beside it.
    pub const REMOVED_LIST: &str = "removed.jsonl";

    /// Reads `folder/dataset.json`, and its digest.
    ///
    /// # Errors
    /// When the file cannot be read, or its figures contradict one another.
    pub fn read(folder: &Path) -> Result<(Self, Digest)> {
        read_json(&folder.join(Self::FILE_NAME))
    }

    /// What `bytes` say, which are those of the file `path`.
    ///
    /// # Errors
    /// As [`Dataset::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        parse_json(bytes, path)
    }

    /// A label is a byte.
    pub const MOST_CLASSES: usize = 256;

    /// A split's counts and files.
    #[must_use]
    pub fn split(&self, name: SplitName) -> &Split {
        self.splits.of(name)
    }

    /// Opens a split's shards in `folder`, where this `dataset.json` lies.
    ///
    /// # Errors
    /// When a shard cannot be read, is not what `dataset.json` says, or, unless `verify` is off, has another digest.
    pub fn open(&self, folder: &Path, name: SplitName, verify: bool) -> Result<SplitData> {
        let data = SplitData::open(folder, self, name)?;
        if verify {
            data.verify()?;
        }
        Ok(data)
    }
}

fn checked_sum(mut numbers: impl Iterator<Item = usize>) -> Option<usize> {
    numbers.try_fold(0_usize, usize::checked_add)
}

/// Whether a path leads to something below the folder that it begins in.
fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

impl Document for Dataset {
    const KIND: &'static str = Self::FILE_NAME;
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), String> {
        let found = self.classes.len();
        if !(2..=Self::MOST_CLASSES).contains(&found) {
            return Err(format!("it has {found} classes; 2 to {} are possible", Self::MOST_CLASSES));
        }
        check_images([self.height, self.width], self.mean, self.standard_deviation)?;
        for name in SplitName::ALL {
            let split = self.split(name);
            let rows = checked_sum(split.shards.iter().map(|shard| shard.rows));
            let by_class = checked_sum(split.images_by_class.iter().copied());
            let images = Some(split.images);
            if images != rows || images != by_class || split.images_by_class.len() != found {
                return Err(format!("the counts of its {name} split contradict one another"));
            }
            let files = split.shards.iter().flat_map(|shard| [&shard.images, &shard.labels, &shard.names]);
            if let Some(file) = files.into_iter().find(|file| !is_below(&file.path)) {
                return Err(format!("its shard `{}` does not lie beside it", file.path.escape_debug()));
            }
        }
        Ok(())
    }
}

impl Splits {
    /// Counts and files of one of them.
    #[must_use]
    pub fn of(&self, name: SplitName) -> &Split {
        match name {
            SplitName::Train => &self.train,
            SplitName::Valid => &self.valid,
            SplitName::Test => &self.test,
        }
    }
}

impl SplitName {
    /// Training, validation, test.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// Its name, which is its folder's too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
