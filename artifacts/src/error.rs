use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Checkpoint, Dataset, RunDirectory, Source};

/// What can be wrong with an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file cannot be read or written, or is another one than it should be.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The file is not what its place says that it is.
    #[error("`{}` is not a valid {kind}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be: "dataset.json", "shard of images".
        kind: &'static str,
        /// What was found instead.
        reason: String,
    },
    /// The file is another artifact.
    #[error("`{}` is a {found}, not a {expected}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// Its kind: "training.json".
        found: String,
        /// What was asked for: "report.json".
        expected: &'static str,
    },
    /// The file was written by a version of the tool whose form this one does not read.
    #[error("`{}` has schema version {found}, but this build reads version {expected}", path.display())]
    SchemaVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
        /// The version that this build writes and reads.
        expected: u32,
    },
}

/// A result whose error is an artifact's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => hint(error),
            Self::Kind { expected, .. } => Some(format!("name a {expected}")),
            // Some file that another stage needs is not what is wrong.
            Self::Malformed { path, kind: Checkpoint::KIND, .. } if !path.ends_with(RunDirectory::CHECKPOINT) => {
                Some(format!("name a {}", RunDirectory::CHECKPOINT))
            }
            Self::Malformed { path, .. } | Self::SchemaVersion { path, .. } => {
                stage_that_writes(path).map(|stage| format!("write it anew: {}", made_anew(path, stage)))
            }
        }
    }
}

/// What the person can do about a file that may be an artifact: its name tells which stage writes it.
#[must_use]
pub fn hint(error: &files::Error) -> Option<String> {
    let of_the_stage = match error {
        files::Error::Io { source, path, .. } if source.kind() == io::ErrorKind::NotFound => stage_that_writes(path)
            .map(|stage| format!("`{stage}` writes this file: run `make {stage}`, or name the folder it wrote to")),
        files::Error::Changed { path } => stage_that_writes(path)
            .map(|stage| format!("leave the folder alone until the run is over, and write it anew: `make {stage}`")),
        files::Error::Digest { path, recorded_by, .. } => stage_that_writes(path).map(|stage| {
            let anew = if stage_that_writes(recorded_by) == Some(stage) {
                made_anew(path, stage)
            } else {
                format!("run `make {stage}`")
            };
            format!("the file was changed or belongs to another run: {anew}")
        }),
        _ => None,
    };
    of_the_stage.or_else(|| error.hint().map(str::to_owned))
}

/// What makes `stage` write its file `path` again. `make` compares a stage's record with what it last wrote; of its other
/// files it sees that they are gone. Without its record a folder is not replaced.
fn made_anew(path: &Path, stage: &str) -> String {
    let is_record = path.file_name().and_then(OsStr::to_str).is_some_and(|name| RECORDS.contains(&name));
    if is_record {
        format!("run `make {stage}`")
    } else {
        format!("remove `{}` and run `make {stage}`", path.display())
    }
}

/// What the stages write last, each in its folder.
const RECORDS: [&str; 5] = [
    Source::FILE_NAME,
    Dataset::FILE_NAME,
    RunDirectory::TRAINING_RECORD,
    RunDirectory::EXPORT_RECORD,
    EVALUATION_RECORD,
];

/// The report's, which `evaluate` writes.
const EVALUATION_RECORD: &str = "report.json";

fn stage_that_writes(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?;
    Some(match name {
        Source::FILE_NAME => "fetch",
        Dataset::FILE_NAME | Dataset::REMOVED_LIST => "preprocess",
        _ if is_of_a_shard(name) => "preprocess",
        RunDirectory::CHECKPOINT | RunDirectory::TRAINING_STATE | RunDirectory::TRAINING_RECORD => "train",
        RunDirectory::METRICS | RunDirectory::TIMINGS | RunDirectory::REFERENCE_LOGITS => "train",
        RunDirectory::CROSS_VALIDATION | RunDirectory::OUT_OF_SAMPLE_LOGITS => "train",
        RunDirectory::MODEL | RunDirectory::EXPORT_RECORD => "export",
        EVALUATION_RECORD | "predictions.npy" | "probabilities.npy" => "evaluate",
        _ => return None,
    })
}

/// `images-00000.npy`, `labels-00000.npy` and `names-00000.txt`, but no `images.npy` of a person's own.
fn is_of_a_shard(name: &str) -> bool {
    let number = ["images-", "labels-", "names-"].iter().find_map(|part| name.strip_prefix(part));
    let number = number.and_then(|rest| rest.strip_suffix(".npy").or_else(|| rest.strip_suffix(".txt")));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|digit| digit.is_ascii_digit()))
}
