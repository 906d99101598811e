//! Unpacking an archive of class folders, safely.
//!
//! Files and folders are all that comes out of an archive, and only below the folder that it is unpacked to; an archive
//! with anything else is refused whole. One thread reads, digests and inflates while another writes the files.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Component, Path, PathBuf};

use artifacts::Digest;
use tar::EntryType;
use terminal::Progress;

use crate::error::{Error, Refusal, io_error};
use crate::stream::{Input, Stream};

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files.
    pub files: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// What came out of an archive.
#[derive(Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// The archive's digest.
    pub digest: Digest,
    /// The archive's size in bytes.
    pub bytes: u64,
    /// How many files were written.
    pub files: u64,
    /// How many hidden files (`.DS_Store`, `._A.png`) were passed over.
    pub hidden: u64,
}

/// Bytes that may follow the end of the tar archive proper: padding.
const MOST_PADDING: u64 = 1 << 20;
/// Bytes of a file that are held in memory.
const MOST_AT_ONCE: u64 = 1 << 20;

/// The name without `.tar.gz`, `.tgz` or `.tar`.
#[must_use]
pub fn archive_stem(name: &str) -> Option<&str> {
    [".tar.gz", ".tgz", ".tar"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .filter(|stem| !stem.is_empty())
}

/// Unpacks `input` so that its class folders lie directly in `place`, which is made; leading folders are stripped.
/// `progress` counts the bytes of the archive that are read.
///
/// # Errors
/// When the archive cannot be read, is refused, or has no class folders. Then `place` is not there.
pub fn unpack(input: Input, place: &Path, limits: Limits, progress: &Progress) -> Result<Unpacked, Error> {
    let name = input.name();
    let scratch = place.with_extension("unpacking");
    fs::create_dir_all(&scratch).map_err(io_error("create the folder", &scratch))?;
    let mut unpacking =
        Unpacking { archive: &name, folder: &scratch, limits, last_folder: None, files: 0, bytes: 0, hidden: 0 };
    let mut stream = Stream::start(input)?;
    unpacking.run(&mut stream, progress)?;
    let (files, hidden) = (unpacking.files, unpacking.hidden);
    let (digest, bytes) = stream.finish(MOST_PADDING).map_err(|source| damaged(&name, files, source))?;

    let classes = class_root(&scratch)?.ok_or(Error::NoClassFolders { archive: name, files })?;
    fs::rename(&classes, place).map_err(io_error("rename to", place))?;
    if classes != scratch {
        fs::remove_dir_all(&scratch).map_err(io_error("remove the folder", &scratch))?;
    }
    Ok(Unpacked { digest, bytes, files, hidden })
}

struct Unpacking<'a> {
    archive: &'a str,
    folder: &'a Path,
    limits: Limits,
    /// The folder of the file before: most files lie in the same one.
    last_folder: Option<PathBuf>,
    files: u64,
    bytes: u64,
    hidden: u64,
}

impl Unpacking<'_> {
    fn run(&mut self, stream: &mut Stream, progress: &Progress) -> Result<(), Error> {
        let read = stream.bytes_read();
        let mut tar = tar::Archive::new(stream);
        let mut contents = Vec::new();
        for entry in tar.entries().map_err(|source| damaged(self.archive, 0, source))? {
            let mut entry = entry.map_err(|source| damaged(self.archive, self.files, without_contents(source)))?;
            let name = entry.path_bytes().into_owned();
            let refused = |reason| refused(self.archive, &name, reason);
            let kind = entry.header().entry_type();
            if kind == EntryType::XGlobalHeader {
                continue;
            }
            let is_folder = is_folder(kind, &name).map_err(refused)?;
            let path = safe_path(&name).map_err(refused)?;
            if is_folder {
                continue;
            }
            if is_hidden(&path) {
                self.hidden += 1;
                continue;
            }
            self.count(entry.size()).map_err(refused)?;
            let mut file = self.create(&path, &name)?;
            // In pieces, so that an archive which claims to hold a huge file does not fill the memory.
            loop {
                contents.clear();
                let mut piece = entry.by_ref().take(MOST_AT_ONCE);
                piece.read_to_end(&mut contents).map_err(|source| damaged(self.archive, self.files, source))?;
                file.write_all(&contents).map_err(io_error("write", &self.folder.join(&path)))?;
                if (contents.len() as u64) < MOST_AT_ONCE {
                    break;
                }
            }
            self.files += 1;
            if self.files.is_multiple_of(256) {
                progress.set_position(read.get());
            }
        }
        Ok(())
    }

    /// Refuses a file of `size` bytes, before any of it is read, if it is too much.
    fn count(&mut self, size: u64) -> Result<(), Refusal> {
        self.bytes = self.bytes.saturating_add(size);
        if self.files >= self.limits.files {
            return Err(Refusal::TooManyFiles(self.limits.files));
        }
        if self.bytes > self.limits.bytes {
            return Err(Refusal::TooManyBytes(self.limits.bytes));
        }
        Ok(())
    }

    fn create(&mut self, path: &Path, name: &[u8]) -> Result<File, Error> {
        let place = self.folder.join(path);
        let folder = place.parent().unwrap_or(self.folder);
        if self.last_folder.as_deref() != Some(folder) {
            match fs::create_dir_all(folder) {
                Err(error) if is_file_and_folder(&error) => {
                    return Err(refused(self.archive, name, Refusal::FileAndFolder));
                }
                result => result.map_err(io_error("create the folder", folder))?,
            }
            self.last_folder = Some(folder.to_owned());
        }
        File::create_new(&place).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists if place.is_dir() => refused(self.archive, name, Refusal::FileAndFolder),
            io::ErrorKind::AlreadyExists => refused(self.archive, name, Refusal::Twice),
            _ => io_error("create", &place)(error),
        })
    }
}

fn is_file_and_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory)
}

/// Whether an entry is a folder; neither folders nor files are refused.
fn is_folder(kind: EntryType, name: &[u8]) -> Result<bool, Refusal> {
    match kind {
        // Archives of 1979's form mark folders by a final slash alone.
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Ok(name.ends_with(b"/")),
        EntryType::Directory => Ok(true),
        EntryType::Symlink => Err(Refusal::Kind("symbolic link")),
        EntryType::Link => Err(Refusal::Kind("hard link")),
        EntryType::Char | EntryType::Block => Err(Refusal::Kind("device")),
        EntryType::Fifo => Err(Refusal::Kind("pipe")),
        _ => Err(Refusal::Kind("special entry")),
    }
}

/// The entry's path, if it stays below the folder that it is unpacked to.
fn safe_path(name: &[u8]) -> Result<PathBuf, Refusal> {
    let text = std::str::from_utf8(name).map_err(|_| Refusal::Name)?;
    if text.chars().any(char::is_control) {
        return Err(Refusal::Name);
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err(Refusal::Outside),
            Component::RootDir | Component::Prefix(_) => return Err(Refusal::Absolute),
        }
    }
    Ok(path)
}

fn is_hidden(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
}

/// The folder that holds the class folders: below `folder`, past folders that hold nothing but one folder of folders.
fn class_root(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let mut root = folder.to_owned();
    loop {
        let (folders, files) = entries(&root)?;
        match &folders[..] {
            [] => return Ok(None),
            [only] if files == 0 && !entries(only)?.0.is_empty() => root.clone_from(only),
            _ => return Ok(Some(root)),
        }
    }
}

/// The folders in a folder, and the number of its files.
fn entries(folder: &Path) -> Result<(Vec<PathBuf>, usize), Error> {
    let mut folders = Vec::new();
    let mut files = 0;
    for entry in fs::read_dir(folder).map_err(io_error("read the folder", folder))? {
        let entry = entry.map_err(io_error("read the folder", folder))?;
        if entry.file_type().map_err(io_error("read", &entry.path()))?.is_dir() {
            folders.push(entry.path());
        } else {
            files += 1;
        }
    }
    Ok((folders, files))
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
        ] {
            assert_eq!(safe_path(name), expected.map(PathBuf::from), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn an_archive_s_stem_is_its_name_without_the_extension() {
        let cases = [("a.tar.gz", Some("a")), ("a.b.tgz", Some("a.b")), ("a.tar", Some("a")), ("a.zip", None)];
        for (name, stem) in cases.into_iter().chain([(".tar", None)]) {
            assert_eq!(archive_stem(name), stem, "{name}");
        }
    }
}
