//! The files of an archive of class folders (`.tar.gz`, `.tgz`, `.tar`), one behind the other, safely.
//!
//! `fetch` writes them to disk and `preprocess` decodes them out of the stream; what an archive holds is decided here for
//! both. [`read`] is the recipe:
//!
//! - Files and folders are all that comes out of an archive, and only below the folder that it is unpacked to; an archive
//!   with anything else is refused whole ([`Refusal`]).
//! - Hidden files are passed over and counted. No more comes out than [`Limits`] allow.
//! - Leading folders are stripped: [`Contents::class_root`] is the folder that holds the class folders.
//! - Memory is bounded by what waits between the threads: what tells the names of the files apart lies in a scratch file.

mod entry;
mod error;
mod foreign;
mod gzip;
mod input;
mod keys;
mod limits;
mod stream;
mod tree;

use std::path::Path;

use files::Digest;
use terminal::{Console, Progress};

pub use crate::entry::{File, count_files, is_hidden};
pub use crate::error::{Error, Refusal};
pub use crate::foreign::Foreign;
pub use crate::input::{Input, check_different, check_file_name, data_set_name, stem};
pub use crate::limits::Limits;

use crate::entry::Entries;
use crate::stream::Stream;

/// Bytes that may follow the end of the tar archive proper: padding.
const MOST_PADDING: u64 = 1 << 20;

/// What came out of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The archive's digest.
    pub digest: Digest,
    /// The archive's size in bytes.
    pub bytes: u64,
    /// How many files it has.
    pub files: u64,
    /// How many hidden files (`.DS_Store`, `._A.png`; see [`is_hidden`]) were passed over.
    pub hidden: u64,
    /// The folder that holds the class folders, as `notMNIST_small`; empty where they lie at the top.
    pub class_root: String,
}

impl Contents {
    /// Says how many files of `archive` were passed over, if any were.
    pub fn warn_of_hidden(&self, archive: &str, console: &Console) {
        if self.hidden > 0 {
            console.warn(format!("`{archive}`: {} hidden files were passed over", self.hidden));
        }
    }
}

/// Reads `input` and gives its files to `visit`, in the archive's order. What it holds is known when all of it was read:
/// a file that was visited before an error is as little to be trusted as the rest.
///
/// A thread of its own reads, digests and inflates. `progress` counts the bytes of the archive that are read; what is kept
/// of each file lies in a nameless file in `scratch`.
///
/// # Errors
/// When the archive cannot be read, is refused, or has no class folders; when `scratch` takes no file; and what `visit`
/// returns.
pub fn read<E: From<Error>>(
    input: Input,
    limits: Limits,
    scratch: &Path,
    progress: &Progress,
    visit: impl FnMut(&mut File<'_>) -> Result<(), E>,
) -> Result<Contents, E> {
    let name = input.name();
    let mut stream = Stream::start(input)?;
    let mut entries = Entries::new(&name, limits, scratch)?;
    entries.run(&mut stream, progress, visit)?;
    let (files, hidden) = (entries.files, entries.hidden);
    let finished = stream.finish(MOST_PADDING);
    let (digest, bytes) = finished.map_err(|source| Error::Damaged { archive: name.clone(), files, source })?;
    let class_root = entries.tree.class_root().map(str::to_owned);
    let class_root = class_root.ok_or(Error::NoClassFolders { archive: name, files })?;
    Ok(Contents { digest, bytes, files, hidden, class_root })
}
