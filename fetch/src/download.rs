//! An archive from the first mirror that has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use archive::Foreign;
use files::{Digest, sha256_file};
use terminal::Console;

use crate::error::Error;
use crate::location::Location;
use crate::options::FetchOptions;
use crate::partial::{Origin, Partial};
use crate::request::WantedArchive;
use crate::transfer::{LOWEST_SPEED, transfer};

/// Bytes that a round must bring to count as progress: one that is cut after every byte is not asked for ever.
const ENOUGH_FURTHER: u64 = 1 << 14;

/// Something from a mirror, or why not.
pub type Attempt<T> = Result<T, MirrorFailure>;

/// Why a mirror did not give the archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorFailure {
    /// No answer.
    #[error("{0}")]
    Connection(String),
    /// An answer that is none.
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// Something else under the archive's name.
    #[error("sent something else: {0}")]
    Foreign(Foreign),
    /// The wrong size, before anything was transferred.
    #[error("has {found} bytes, {expected} are expected")]
    Size {
        /// In bytes.
        expected: u64,
        /// In bytes.
        found: u64,
    },
    /// More bytes than there should be.
    #[error("sent more than the {expected} bytes that are expected")]
    TooLong {
        /// In bytes.
        expected: u64,
    },
    /// More bytes than anybody wants.
    #[error("has more than the {most} bytes of --max-unpacked-bytes")]
    TooLarge {
        /// In bytes.
        most: u64,
    },
    /// It drips.
    #[error("sent fewer than {LOWEST_SPEED} bytes a second for {seconds} s; {at} bytes came")]
    TooSlow {
        /// In bytes from the start.
        at: u64,
        /// For how long.
        seconds: u64,
    },
    /// The wrong bytes.
    #[error("has SHA-256 {found}, {expected} is expected")]
    Digest {
        /// What was expected.
        expected: Digest,
        /// What came.
        found: Digest,
        /// Whether the download began with bytes of an earlier one.
        resumed: bool,
    },
    /// The connection ended too early.
    #[error("was cut at byte {at}{}: {reason}", of.map(|of| format!(" of {of}")).unwrap_or_default())]
    Cut {
        /// In bytes from the start.
        at: u64,
        /// The whole in bytes, where it is known.
        of: Option<u64>,
        /// What the system said.
        reason: String,
    },
    /// The range that was asked for does not fit what the server has.
    #[error("has another file than the one that was begun")]
    Range,
    /// A file that cannot be read.
    #[error("{0}")]
    File(String),
}

impl MirrorFailure {
    /// Whether the server has no such file, or none for everybody.
    pub(crate) fn is_of_the_address(&self) -> bool {
        matches!(self, Self::Status(401 | 403 | 404 | 410))
    }

    /// Whether the mirror may have the archive the next time.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Cut { .. } => true,
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..),
            Self::Foreign(_)
            | Self::Size { .. }
            | Self::TooLong { .. }
            | Self::TooLarge { .. }
            | Self::TooSlow { .. }
            | Self::Digest { .. }
            | Self::Range
            | Self::File(_) => false,
        }
    }
}

/// An archive that is whole and, where a digest was expected, has it.
#[derive(Debug)]
pub enum Obtained {
    /// A file that somebody keeps.
    InPlace(PathBuf),
    /// A complete download.
    Downloaded(Partial),
}

/// Tries the mirrors in their order; those that may yet have the archive again after a pause, `options.retries` times.
/// A round that got further than those before it does not count.
pub fn download(
    wanted: &WantedArchive,
    locations: &[Location],
    folder: &Path,
    options: &FetchOptions,
    console: &Console,
) -> Result<Obtained, Error> {
    let mut partial = Partial::find(folder, &wanted.file_name);
    if is_complete(&mut partial, wanted)? {
        console.say(format!("`{}` was downloaded before", wanted.file_name));
        return Ok(Obtained::Downloaded(partial));
    }
    let mut candidates: Vec<&Location> = locations.iter().collect();
    let mut failures: Vec<(String, MirrorFailure)> = Vec::new();
    let mut furthest = partial.bytes;
    let mut retries = 0;
    while !candidates.is_empty() {
        let mut remaining = Vec::new();
        for location in candidates {
            let failure = match try_one(location, wanted, &mut partial, options, console)? {
                Ok(Some(path)) => return Ok(Obtained::InPlace(path)),
                Ok(None) => return Ok(Obtained::Downloaded(partial)),
                Err(failure) => failure,
            };
            console.warn(format!("{location}: {failure}"));
            if failure.may_pass() {
                remaining.push(location);
            }
            failures.retain(|(mirror, _)| *mirror != location.to_string());
            failures.push((location.to_string(), failure));
        }
        candidates = remaining;
        if partial.bytes >= furthest + ENOUGH_FURTHER {
            furthest = partial.bytes;
            retries = 0;
        } else if retries == options.retries {
            break;
        } else if !candidates.is_empty() {
            let pause = Duration::from_secs(1 << retries.min(6));
            console.say(format!("trying again in {} s", pause.as_secs()));
            thread::sleep(pause);
            retries += 1;
        }
    }
    Err(Error::NoMirror { archive: wanted.file_name.clone(), failures })
}

/// One mirror: `Some` path of a file that has it, or `None` where it is now in `partial`.
fn try_one(
    location: &Location,
    wanted: &WantedArchive,
    partial: &mut Partial,
    options: &FetchOptions,
    console: &Console,
) -> Result<Attempt<Option<PathBuf>>, Error> {
    let url = match location {
        Location::File(path) => return Ok(check_file(path, wanted).map(|()| Some(path.clone()))),
        Location::Url(url) => url,
    };
    console.say(format!("downloading `{}` from `{location}`", wanted.file_name));
    let failure = match fetch_whole(url, wanted, partial, options, console)? {
        // The bytes that were there belong to another file, and are gone now: this mirror deserves a fresh start.
        Err(failure @ (MirrorFailure::Range | MirrorFailure::Digest { resumed: true, .. })) => failure,
        result => return Ok(result.map(|()| None)),
    };
    console.warn(format!("{location}: {failure}; starting from its first byte"));
    Ok(fetch_whole(url, wanted, partial, options, console)?.map(|()| None))
}

/// Transfers the archive, or the rest of it, and digests it.
fn fetch_whole(
    url: &str,
    wanted: &WantedArchive,
    partial: &mut Partial,
    options: &FetchOptions,
    console: &Console,
) -> Result<Attempt<()>, Error> {
    let resumed = match transfer(url, wanted, partial, options, console)? {
        Ok(resumed) => resumed,
        Err(failure) => return Ok(Err(failure)),
    };
    let found = sha256_file(&partial.path)?;
    match wanted.digest {
        Some(expected) if expected != found => {
            partial.discard()?;
            Ok(Err(MirrorFailure::Digest { expected, found, resumed }))
        }
        _ => {
            let origin = Origin { sha256: Some(found), ..partial.origin.clone() };
            partial.record(origin)?;
            Ok(Ok(()))
        }
    }
}

/// Whether a file of this machine is the wanted archive.
fn check_file(path: &Path, wanted: &WantedArchive) -> Attempt<()> {
    let metadata = fs::metadata(path).map_err(|error| MirrorFailure::File(error.to_string()))?;
    if let Some(expected) = wanted.bytes
        && metadata.len() != expected
    {
        return Err(MirrorFailure::Size { expected, found: metadata.len() });
    }
    if let Some(expected) = wanted.digest {
        let found = sha256_file(path).map_err(|error| MirrorFailure::File(error.to_string()))?;
        if found != expected {
            return Err(MirrorFailure::Digest { expected, found, resumed: false });
        }
    }
    Ok(())
}

/// Whether the download was complete when an earlier run ended.
fn is_complete(partial: &mut Partial, wanted: &WantedArchive) -> Result<bool, Error> {
    let Some(recorded) = partial.origin.sha256 else { return Ok(false) };
    let expected = wanted.digest.unwrap_or(recorded);
    let from_here = wanted.digest.is_some() || wanted.is_at(&partial.origin.url);
    if partial.bytes > 0 && from_here && sha256_file(&partial.path)? == expected {
        return Ok(true);
    }
    partial.discard()?;
    Ok(false)
}
