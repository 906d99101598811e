//! The entries of a tar archive, and which of them come out of it.

use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use tar::EntryType;
use terminal::Progress;

use crate::error::{Error, Refusal};
use crate::limits::Limits;
use crate::stream::Stream;
use crate::tree::Tree;

/// A name of more bytes is no file's on most file systems, and a path of more on some systems.
const MOST_OF_NAME: usize = 255;
const MOST_OF_PATH: usize = 1024;

/// Bytes that all names may have together.
const MOST_OF_NAMES: u64 = 1 << 30;

/// Bytes of headers between two entries, long names and other extensions included: they are held in memory.
const MOST_BETWEEN: u64 = 1 << 20;

/// Bytes that are read at once: an archive may claim more than it has.
const PIECE: u64 = 1 << 16;

/// A file of an archive.
pub struct File<'a> {
    /// The archive, as messages call it.
    archive: &'a str,
    /// How many files came before.
    index: u64,
    path: String,
    /// Bytes that were not read yet.
    left: u64,
    entry: tar::Entry<'a, &'a mut Stream>,
}

impl fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}

impl File<'_> {
    /// Its place in the archive, with forward slashes: visible, and below the folder that it is unpacked to. No other file
    /// has it, and no folder with files in it.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Appends at most `most` of the bytes that follow to `buffer`; fewer only at the file's end.
    ///
    /// # Errors
    /// When the archive ends early, or is not well formed.
    pub fn read(&mut self, most: u64, buffer: &mut Vec<u8>) -> Result<usize, Error> {
        let start = buffer.len();
        let mut wanted = most.min(self.left);
        while wanted > 0 {
            let end = buffer.len();
            buffer.resize(end + wanted.min(PIECE) as usize, 0);
            let read = self.entry.read(&mut buffer[end..]);
            let read = read.map_err(|source| damaged(self.archive, self.index, source))?;
            buffer.truncate(end + read);
            (wanted, self.left) = (wanted - read as u64, self.left - read as u64);
            if read == 0 {
                // The search for the next entry says that the archive ends here.
                break;
            }
        }
        Ok(buffer.len() - start)
    }

    /// The error of an entry that a file system takes for one before: it may hold `a` and `A` for the same name.
    #[must_use]
    pub fn twice(&self) -> Error {
        refused(self.archive, &self.entry.path_bytes(), Refusal::Twice)
    }
}

/// The entries of one archive.
pub struct Entries<'a> {
    archive: &'a str,
    limits: Limits,
    /// The files that came out of it.
    pub tree: Tree,
    /// How many they are.
    pub files: u64,
    /// How many files were passed over.
    pub hidden: u64,
    bytes: u64,
    bytes_of_names: u64,
}

impl<'a> Entries<'a> {
    /// Of `archive`, as messages call it. What is kept of each file is in `scratch`.
    pub fn new(archive: &'a str, limits: Limits, scratch: &Path) -> Result<Self, Error> {
        Ok(Self { archive, limits, tree: Tree::new(scratch)?, files: 0, hidden: 0, bytes: 0, bytes_of_names: 0 })
    }

    /// Gives every file of `stream` to `visit`.
    pub fn run<E: From<Error>>(
        &mut self,
        stream: &mut Stream,
        progress: &Progress,
        mut visit: impl FnMut(&mut File<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = stream.bytes_read();
        let allowance = stream.allowance();
        allowance.extend(MOST_BETWEEN);
        let mut tar = tar::Archive::new(&mut *stream);
        for entry in tar.entries_with_seek().map_err(|source| damaged(self.archive, 0, source))? {
            let mut entry = entry.map_err(|source| damaged(self.archive, self.files, without_contents(source)))?;
            let kind = entry.header().entry_type();
            if kind == EntryType::XGlobalHeader {
                continue;
            }
            let size = entry.size();
            // Of a sparse file, the archive holds less than there is.
            let stored = if kind == EntryType::GNUSparse { entry.header().entry_size().unwrap_or(size) } else { size };
            allowance.extend(stored.saturating_add(MOST_BETWEEN));
            self.tree.reserve().map_err(Error::from)?;
            let judged = if is_whole(&mut entry).map_err(|source| damaged(self.archive, self.files, source))? {
                self.judge(kind, &entry.path_bytes(), size)
            } else {
                Err(Refusal::Kind("sparse file of the PAX form"))
            };
            let path = judged.map_err(|reason| refused(self.archive, &entry.path_bytes(), reason))?;
            if let Some(path) = path {
                visit(&mut File { archive: self.archive, index: self.files, path, left: size, entry })?;
                self.files += 1;
                if self.files.is_multiple_of(256) {
                    progress.set_position(read.get());
                }
            }
        }
        if stream.has_ended() && self.files > 0 {
            // The decoder takes that for the end of the archive.
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, "it ends without the mark of its end");
            return Err(damaged(self.archive, self.files, source).into());
        }
        Ok(())
    }

    /// The path of an entry that is a visible file, before any of its `size` bytes is read.
    fn judge(&mut self, kind: EntryType, name: &[u8], size: u64) -> Result<Option<String>, Refusal> {
        let is_folder = is_folder(kind, name)?;
        let path = safe_path(name)?;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.max_unpacked_bytes {
            return Err(Refusal::TooManyBytes(self.limits.max_unpacked_bytes));
        }
        if is_folder {
            return Ok(None);
        }
        if path.split('/').any(is_hidden) {
            self.hidden += 1;
            return Ok(None);
        }
        if self.files >= self.limits.max_files {
            return Err(Refusal::TooManyFiles(self.limits.max_files));
        }
        self.bytes_of_names += path.len() as u64;
        if self.bytes_of_names > MOST_OF_NAMES {
            return Err(Refusal::TooLongNames(MOST_OF_NAMES));
        }
        self.tree.add(&path)?;
        Ok(Some(path))
    }
}

/// Whether a file or folder of this name is passed over, with all that is in it: one that begins with a full stop, and where
/// macOS puts the resource forks of what it archives.
#[must_use]
pub fn is_hidden(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    name.starts_with(b".") || name == b"__MACOSX"
}

/// How many files lie in a folder, as [`Contents`](crate::Contents) counts those of an archive that was unpacked there.
///
/// # Errors
/// When a folder cannot be read.
pub fn count_files(folder: &Path) -> io::Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_hidden(entry.file_name().as_bytes()) {
            continue;
        }
        files += if entry.file_type()?.is_dir() { count_files(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// Whether an entry's bytes are its file's: GNU tar's PAX form of sparse files puts holes, and their list, among them.
fn is_whole(entry: &mut tar::Entry<'_, &mut Stream>) -> io::Result<bool> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(true) };
    for extension in extensions {
        if extension?.key_bytes().starts_with(b"GNU.sparse.") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether an entry is a folder; neither folders nor files are refused.
fn is_folder(kind: EntryType, name: &[u8]) -> Result<bool, Refusal> {
    match kind {
        // Archives of 1979's form mark folders by a final slash alone.
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Ok(name.ends_with(b"/")),
        EntryType::Directory => Ok(true),
        EntryType::Symlink => Err(Refusal::Link("symbolic")),
        EntryType::Link => Err(Refusal::Link("hard")),
        EntryType::Char | EntryType::Block => Err(Refusal::Kind("device")),
        EntryType::Fifo => Err(Refusal::Kind("pipe")),
        _ => Err(Refusal::Kind("special entry")),
    }
}

/// The entry's path with forward slashes, if it stays below the folder that it is unpacked to.
fn safe_path(name: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(name).map_err(|_| Refusal::Name)?;
    if text.chars().any(char::is_control) {
        return Err(Refusal::Name);
    }
    let mut path = String::with_capacity(text.len());
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(part.to_str().ok_or(Refusal::Name)?);
            }
            Component::CurDir => {}
            Component::ParentDir => return Err(Refusal::Outside),
            Component::RootDir | Component::Prefix(_) => return Err(Refusal::Absolute),
        }
    }
    if path.len() > MOST_OF_PATH || path.split('/').any(|part| part.len() > MOST_OF_NAME) {
        return Err(Refusal::LongName { part: MOST_OF_NAME, whole: MOST_OF_PATH });
    }
    Ok(path)
}

fn refused(archive: &str, name: &[u8], reason: Refusal) -> Error {
    Error::Entry { archive: archive.to_owned(), entry: name.escape_ascii().to_string(), reason }
}

/// tar's messages about a header hold what stands in it, which may be anything.
fn without_contents(error: io::Error) -> io::Error {
    let text = error.to_string();
    if text.contains("when getting") || text.chars().any(char::is_control) {
        io::Error::new(error.kind(), "the header of an entry is not valid")
    } else {
        error
    }
}

fn damaged(archive: &str, files: u64, source: io::Error) -> Error {
    Error::Damaged { archive: archive.to_owned(), files, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_folder_or_is_refused() {
        let long = Refusal::LongName { part: MOST_OF_NAME, whole: MOST_OF_PATH };
        for (name, expected) in [
            (&b"./a/./b.png"[..], Ok("a/b.png")),
            (b"a/..b/c...png", Ok("a/..b/c...png")),
            (b"../a", Err(Refusal::Outside)),
            (b"a/../../b", Err(Refusal::Outside)),
            (b"a/..", Err(Refusal::Outside)),
            (b"/etc/passwd", Err(Refusal::Absolute)),
            (b"//etc/passwd", Err(Refusal::Absolute)),
            (b"a/\xff.png", Err(Refusal::Name)),
            (b"a/\x1b[2J.png", Err(Refusal::Name)),
            (&[b'a'; 256], Err(long.clone())),
            (&b"0123456/".repeat(129), Err(long)),
        ] {
            assert_eq!(safe_path(name), expected.map(str::to_owned), "{}", name.escape_ascii());
        }
    }
}
