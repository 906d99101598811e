//! Writing so that a killed stage leaves the old file, or none.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::digest::{Digest, HashingWriter};
use crate::error::{Error, IoContext as _, Result};
use crate::lock::Lock;
use crate::unfinished::{Unfinished, begin, removed};

/// Writes a file by way of a temporary name beside it, and returns the digest of its bytes.
///
/// The folder is made if it is not there. The file is synced before it takes its place, so a power cut does not leave
/// an empty one behind.
///
/// # Errors
/// When the folder cannot be made, `write` fails, or the file cannot be renamed. What was there before stays.
pub fn write_file(
    path: &Path,
    write: impl FnOnce(&mut HashingWriter<BufWriter<&File>>) -> io::Result<()>,
) -> Result<Digest> {
    let temporary = beside(path, ".partial");
    let (unfinished, file) = begin(|| {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).context("create the folder", folder)?;
        }
        let file = File::create(&temporary).context("create", &temporary)?;
        Ok::<_, Error>((Unfinished::file(&temporary), file))
    })?;
    let mut writer = HashingWriter::new(BufWriter::with_capacity(1 << 16, &file));
    let written = write(&mut writer).and_then(|()| writer.flush()).and_then(|()| file.sync_all());
    if let Err(error) = written.context("write", path) {
        let _left_for_the_next_run = fs::remove_file(&temporary);
        return Err(error);
    }
    unfinished.finish(|| fs::rename(&temporary, path)).context("rename to", path)?;
    Ok(writer.finish())
}

/// A folder that is filled under a temporary name and takes its place when it is complete.
///
/// Dropped before [`StagedDirectory::commit`], it removes what it holds. It has the [`Lock`] on its place from the
/// beginning: a stage makes it before it works.
#[derive(Debug)]
pub struct StagedDirectory {
    staging: PathBuf,
    place: PathBuf,
    /// Until it is committed.
    unfinished: Option<Unfinished>,
    _lock: Lock,
}

impl StagedDirectory {
    /// An empty staging folder for `place`, which must be absent, empty, or have a file named `mark`: the folder of an
    /// earlier run. What a killed run left in staging is removed first.
    ///
    /// # Errors
    /// When `place` is something else, another process is about to replace it, or the staging folder cannot be made or
    /// emptied.
    pub fn replacing(place: &Path, mark: &'static str) -> Result<Self> {
        let is_empty = || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
        if place.exists() && !place.join(mark).exists() && !is_empty() {
            return Err(Error::Foreign { path: place.to_owned(), mark });
        }
        let lock = Lock::beside(place)?;
        let staging = beside(place, ".partial");
        let replaced = beside(place, ".replaced");
        if replaced.exists() && !place.exists() {
            // A run was killed between the two renames of `commit`.
            fs::rename(&replaced, place).context("rename to", place)?;
        }
        remove_directory(&replaced)?;
        remove_directory(&staging)?;
        remove_directory(&removed(&staging))?;
        let unfinished = begin(|| {
            fs::create_dir_all(&staging).context("create the folder", &staging)?;
            Ok::<_, Error>(Some(Unfinished::staging(&staging)))
        })?;
        Ok(Self { staging, place: place.to_owned(), unfinished, _lock: lock })
    }

    /// Where to write for now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Puts the folder in its place; one that is there already is replaced.
    ///
    /// # Errors
    /// When a rename is refused.
    pub fn commit(mut self) -> Result<()> {
        let replaced = beside(&self.place, ".replaced");
        let rename = || {
            if self.place.exists() {
                fs::rename(&self.place, &replaced).context("replace", &self.place)?;
            }
            fs::rename(&self.staging, &self.place).context("rename to", &self.place)
        };
        let renamed = self.unfinished.take().map_or(Ok(()), |unfinished| unfinished.finish(rename));
        if renamed.is_err() {
            let _left_for_the_next_run = remove_directory(&self.staging);
            if !self.place.exists() {
                let _left_for_the_next_run = fs::rename(&replaced, &self.place);
            }
            return renamed;
        }
        remove_directory(&replaced)
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        if self.unfinished.is_some() {
            let _left_for_the_next_run = remove_directory(&self.staging);
        }
    }
}

/// `folder/NAME` to `folder/.NAMEsuffix`: hidden, on the same file system.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// Removes a file, if there is one.
///
/// # Errors
/// When there is one and it stays.
pub fn remove_file(path: &Path) -> Result<()> {
    unless_absent(fs::remove_file(path)).context("remove", path)
}

fn remove_directory(path: &Path) -> Result<()> {
    unless_absent(fs::remove_dir_all(path)).context("remove the folder", path)
}

fn unless_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_file(&path, |w| w.write_all(b"old")).unwrap();
        let failed = write_file(&path, |w| {
            w.write_all(b"half of the ne")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("cannot write `{}`", path.display()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_staged_folder_replaces_the_old_one_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("shards");
        for (content, commit) in [("first", true), ("dropped", false), ("second", true)] {
            let staged = StagedDirectory::replacing(&place, "mark").unwrap();
            fs::write(staged.path().join("mark"), content).unwrap();
            if commit {
                staged.commit().unwrap();
            }
        }
        assert_eq!(fs::read_to_string(place.join("mark")).unwrap(), "second");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_removed_where_there_is_one() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "f").unwrap();
        remove_file(&file).unwrap();
        assert!(!file.exists());
        remove_file(&file).unwrap();
        assert!(remove_file(parent.path()).unwrap_err().to_string().starts_with("cannot remove"));
    }

    #[test]
    fn what_a_killed_run_left_in_staging_is_gone_in_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("raw");
        for left in [".raw.partial", ".raw.removed"] {
            fs::create_dir(parent.path().join(left)).unwrap();
            fs::write(parent.path().join(left).join("half"), "h").unwrap();
        }
        let staged = StagedDirectory::replacing(&place, "mark").unwrap();
        assert_eq!(fs::read_dir(staged.path()).unwrap().count(), 0);
        drop(staged);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_killed_between_the_renames_has_lost_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("shards");
        fs::create_dir(parent.path().join(".shards.replaced")).unwrap();
        fs::write(parent.path().join(".shards.replaced/mark"), "old").unwrap();
        drop(StagedDirectory::replacing(&place, "mark").unwrap());
        assert_eq!(fs::read_to_string(place.join("mark")).unwrap(), "old");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_the_tool_did_not_write_is_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, file) = (parent.path().join("precious"), parent.path().join("file"));
        fs::create_dir(&folder).unwrap();
        assert!(StagedDirectory::replacing(&folder, "mark").is_ok(), "an empty folder may be");
        fs::write(folder.join("thesis.txt"), "important").unwrap();
        fs::write(&file, "important").unwrap();
        for place in [&folder, &file] {
            let message = StagedDirectory::replacing(place, "mark").unwrap_err().to_string();
            assert!(message.ends_with("is there and has no mark: it is not replaced"), "{message}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
