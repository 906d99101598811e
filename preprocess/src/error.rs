use std::path::PathBuf;

use artifacts::{Dataset, Rejected, RemovedCounts, SplitName};
use terminal::{Failure, counted};

use crate::decode::NO_IMAGE_BUT_A_FOLDER;
use crate::header::MOST_PIXELS_A_SIDE;

/// Why a data set cannot be preprocessed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A file or folder cannot be read or written, or is not as it was.
    #[error(transparent)]
    File(#[from] files::Error),
    /// An archive cannot be read, or is refused.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// The system starts no threads.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were to be started.
        threads: usize,
        /// The system's reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// A folder is not as its archive was unpacked.
    #[error("`{}` has {}, but `{archive}` had {unpacked}, as source.json says", folder.display(), counted(*found, "file"))]
    FilesOfArchive {
        /// The part's folder.
        folder: PathBuf,
        /// How many files it has.
        found: u64,
        /// The archive.
        archive: String,
        /// How many files came of it.
        unpacked: u64,
    },
    /// A label is a byte, and a classifier needs a choice.
    #[error("`{}` has {found} class folders; 2 to {} are possible", folder.display(), Dataset::MOST_CLASSES)]
    Classes {
        /// The folder of class folders, or the archive.
        folder: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// There is nothing to test on.
    #[error("`{}` has no class folder", folder.display())]
    NoTestClass {
        /// The test folder or archive.
        folder: PathBuf,
    },
    /// There is a class to test on that there is none to train on.
    #[error("`{}` has a class `{class}` that `{}` lacks", test.display(), train.display())]
    TestClass {
        /// The test folder or archive.
        test: PathBuf,
        /// The training folder or archive.
        train: PathBuf,
        /// The class.
        class: String,
    },
    /// A name that a line of text cannot hold.
    #[error("`{}` has a name that is not UTF-8 or holds a control character", path.display())]
    ClassName {
        /// The class folder.
        path: PathBuf,
    },
    /// No file is an image.
    #[error("none of the {files} files under `{}` is an image that can be read{}", folder.display(), examples(rejected))]
    NoImage {
        /// The folder or archive.
        folder: PathBuf,
        /// How many files there are.
        files: usize,
        /// The rejected ones.
        rejected: Vec<Rejected>,
    },
    /// Too many files are no usable image.
    #[error(
        "{} of {files} files are rejected, more than the {} % of --max-rejects{}",
        rejected.len(), (max_rejects * 1e6).round() / 1e4, examples(rejected)
    )]
    TooManyRejects {
        /// How many files there are.
        files: usize,
        /// The share that is allowed.
        max_rejects: f64,
        /// The rejected ones.
        rejected: Vec<Rejected>,
        /// How many of these are images, but of another size than most.
        of_another_size: usize,
    },
    /// The fractions leave nothing to train on.
    #[error(
        "a test fraction of {test_fraction} and a validation fraction of {valid_fraction} leave nothing to train on"
    )]
    Fractions {
        /// `--test-fraction`; 0 where there is a test archive.
        test_fraction: f64,
        /// `--valid-fraction`.
        valid_fraction: f64,
    },
    /// A split without an image is of no use to the stages that follow.
    #[error("the {split} split has no image{}", removals(removed))]
    EmptySplit {
        /// Which.
        split: SplitName,
        /// What was removed, of all splits.
        removed: RemovedCounts,
        /// Whether the images to test on are a part of their own.
        has_test_part: bool,
    },
    /// Inputs cannot be standardised.
    #[error("all training pixels have the same value")]
    ConstantPixels,
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::File(error) => artifacts::hint(error),
            Self::Archive(error) => error.hint(),
            Self::FilesOfArchive { folder, .. } => Some(format!(
                "unpack it anew: run `fetch` with its archive again, or `make fetch` once source.json is removed; or, to use the \
                 folder as it is now, name it itself: `--input {}`",
                folder.display()
            )),
            Self::Classes { .. } | Self::NoTestClass { .. } => {
                Some("the input is a folder of class folders, as `A/*.png`, `B/*.png`".to_owned())
            }
            Self::NoImage { rejected, .. } if rejected.iter().all(|file| file.reason == NO_IMAGE_BUT_A_FOLDER) => Some(
                "class folders are looked for in the folder itself; with `train/A/*.png` and `test/A/*.png`, name both: \
                 `--input FOLDER/train --test-input FOLDER/test`, or an archive of each"
                    .to_owned(),
            ),
            Self::NoImage { .. } => Some(format!(
                "PNG images of up to {MOST_PIXELS_A_SIDE} pixels a side are read, in class folders, as `A/*.png`, `B/*.png`"
            )),
            Self::TooManyRejects { of_another_size: 1.., .. } => Some(
                "images of one data set have one size: bring them to it first, as with ImageMagick's `mogrify -resize '28x28!' \
                 */*.png`; or go on without the others: `--max-rejects 1` (make: MAX_REJECTS=1) allows any number"
                    .to_owned(),
            ),
            Self::TooManyRejects { .. } => Some(
                "if the rest is what you want, allow it: `--max-rejects 1` (make: MAX_REJECTS=1) allows any number".to_owned(),
            ),
            Self::EmptySplit { split: SplitName::Train, removed, .. } if removed.leaks > 0 => {
                Some("are the images to test on the same as those to train on?".to_owned())
            }
            Self::EmptySplit { split: SplitName::Train, has_test_part: true, .. } => {
                Some("lower --valid-fraction, or add images".to_owned())
            }
            Self::EmptySplit { split: SplitName::Train, .. } => {
                Some("lower --valid-fraction or --test-fraction, or add images".to_owned())
            }
            Self::EmptySplit { split: SplitName::Test, has_test_part: true, .. } => {
                Some("add images to those to test on".to_owned())
            }
            Self::EmptySplit { split, .. } => Some(format!("raise --{split}-fraction, or add images")),
            Self::Threads { .. }
            | Self::TestClass { .. }
            | Self::ClassName { .. }
            | Self::Fractions { .. }
            | Self::ConstantPixels => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Archive(error) => error.exit_code(),
            Self::Fractions { .. } => 2,
            _ => 1,
        }
    }
}

fn removals(removed: &RemovedCounts) -> String {
    let RemovedCounts { duplicates, leaks, conflicting_leaks, conflicts, .. } = removed;
    let reasons = [
        (duplicates, "duplicates"),
        (&(leaks + conflicting_leaks), "copies of images to test or validate on"),
        (conflicts, "under two labels"),
    ];
    let some = reasons.into_iter().filter(|&(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let some = some.collect::<Vec<_>>().join(", ");
    if some.is_empty() { some } else { format!("; removed were: {some}") }
}

fn examples(rejected: &[Rejected]) -> String {
    const SHOWN: usize = 5;
    let mut text: String =
        rejected.iter().take(SHOWN).map(|Rejected { file, reason }| format!("\n  {file}: {reason}")).collect();
    if rejected.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", rejected.len() - SHOWN));
    }
    text
}
