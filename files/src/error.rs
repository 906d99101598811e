use std::io;
use std::iter::successors;
use std::path::{Path, PathBuf};

use crate::digest::Digest;

/// What can be wrong with a file or folder, whatever it holds.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as an infinitive: "read", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is something that this tool did not write where it would write.
    #[error("`{}` is there and has no {mark}: it is not replaced", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The file that every folder which may be replaced has.
        mark: &'static str,
    },
    /// There is something else in the folder of an earlier run, which would be lost with it.
    #[error("`{}` is not replaced: `{}` in it was not written by this tool", place.display(), path.display())]
    Stranger {
        /// The file or folder.
        path: PathBuf,
        /// The folder that it is in.
        place: PathBuf,
    },
    /// A folder that is replaced may not be the one that somebody is in.
    #[error("`{}` is the working folder, or one above it", path.display())]
    WorkingFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that is replaced is renamed, which a mounted file system cannot be.
    #[error("`{}` is a file system of its own, which cannot be replaced", path.display())]
    MountPoint {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// The file was written to while it was read.
    #[error("`{}` was changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else is at work there.
    #[error("`{}` is being written to by {}", place.display(), process(*holder))]
    Locked {
        /// The file or folder that was to be written to.
        place: PathBuf,
        /// The id of the process that is at work.
        holder: Option<u32>,
    },
    /// The file has changed since another artifact recorded its digest.
    #[error("`{}` has SHA-256 {found}, but `{}` recorded {recorded}", path.display(), recorded_by.display())]
    Digest {
        /// The file that was read.
        path: PathBuf,
        /// Its digest now.
        found: Digest,
        /// The artifact that names another digest for it.
        recorded_by: PathBuf,
        /// The digest recorded there.
        recorded: Digest,
    },
}

/// A result whose error is a file's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } => hint_for(source)?,
            Self::Changed { .. } => "leave the folder alone until the run is over",
            Self::Locked { .. } => "wait until it has ended, or name another folder",
            Self::Foreign { .. } => "name a folder that is new, empty, or an earlier output, or remove what is there",
            Self::Stranger { .. } => "move it elsewhere, or name another folder",
            Self::WorkingFolder { .. } => "the whole folder is replaced: name a folder in it",
            Self::MountPoint { .. } => "name a folder in it",
            Self::Digest { .. } => "the file was changed, or belongs to another run",
        })
    }
}

fn process(id: Option<u32>) -> String {
    id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

fn hint_for(error: &io::Error) -> Option<&'static str> {
    // What was written through an encoder comes back within the encoder's own error.
    let causes = successors(Some(error as &(dyn std::error::Error + 'static)), |cause| cause.source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    Some(match kinds.find(|&kind| kind != io::ErrorKind::Other)? {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room and run it again, or name a folder on another disk"
        }
        io::ErrorKind::ReadOnlyFilesystem => "name a folder that can be written to",
        io::ErrorKind::IsADirectory => "it is a folder: name a file",
        io::ErrorKind::NotADirectory => "there is a file where a folder should be: name the folder that it is in",
        _ => return None,
    })
}

/// Attaches the action and the path to an `io::Error`.
pub trait IoContext<T> {
    /// The error says that this action, as an infinitive ("read", "create"), failed on this path.
    ///
    /// # Errors
    /// [`Error::Io`] where there was one.
    fn context(self, action: &'static str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { action, path: path.to_owned(), source })
    }
}
