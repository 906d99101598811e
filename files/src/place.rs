//! Writing so that a killed stage leaves the old file, or none.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{self, Component, Path, PathBuf};

use crate::digest::{Digest, HashingWriter};
use crate::error::{Error, IoContext as _, Result};
use crate::lock::Lock;
use crate::unfinished::{Unfinished, begin};

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
    StagedFile::write(path, write)?.commit()
}

/// A file that is whole and synced under a temporary name beside its place: for whoever removes other files before it takes
/// it, but not where there is no room for it.
///
/// Dropped before [`StagedFile::commit`], it goes.
#[derive(Debug)]
pub struct StagedFile {
    temporary: PathBuf,
    path: PathBuf,
    digest: Digest,
    /// Until it is committed.
    unfinished: Option<Unfinished>,
}

impl StagedFile {
    /// Writes the file for `path` under the temporary name. The folder is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made, or `write` fails.
    pub fn write(
        path: &Path,
        write: impl FnOnce(&mut HashingWriter<BufWriter<&File>>) -> io::Result<()>,
    ) -> Result<Self> {
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
        if let Err(error) = written {
            let _left_for_the_next_run = fs::remove_file(&temporary);
            return Err(error).context("write", path);
        }
        Ok(Self { temporary, path: path.to_owned(), digest: writer.finish(), unfinished: Some(unfinished) })
    }

    /// Puts the file in its place; returns the digest of its bytes.
    ///
    /// # Errors
    /// When it cannot be renamed. What was there before stays.
    pub fn commit(mut self) -> Result<Digest> {
        let rename = || fs::rename(&self.temporary, &self.path);
        let renamed = self.unfinished.take().map_or(Ok(()), |unfinished| unfinished.finish(rename));
        if let Err(error) = renamed {
            let _left_for_the_next_run = fs::remove_file(&self.temporary);
            return Err(error).context("rename to", &self.path);
        }
        Ok(self.digest)
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if self.unfinished.is_some() {
            let _left_for_the_next_run = fs::remove_file(&self.temporary);
        }
    }
}

/// A folder that is filled under a temporary name and takes its place when it is complete.
///
/// Dropped before [`StagedDirectory::commit`], it removes what it holds. It has the [`Lock`] on its place from the
/// beginning: a stage makes it before it works.
#[derive(Debug)]
pub struct StagedDirectory {
    staging: PathBuf,
    place: PathBuf,
    earlier: Earlier,
    /// Until it is committed.
    unfinished: Option<Unfinished>,
    _lock: Lock,
}

impl StagedDirectory {
    /// An empty staging folder for `place`, which must be absent, empty, or the folder of an earlier run: it has a file
    /// named `mark`, and nothing in it whose name is not a `part`. What a killed run left in staging is removed first.
    /// A link stands for what it leads to.
    ///
    /// # Errors
    /// When `place` is something else, the working folder or a file system of its own, cannot be written to, another process
    /// is about to replace it, or the staging folder cannot be made or emptied.
    pub fn replacing(place: &Path, mark: &'static str, is_part: fn(&str) -> bool) -> Result<Self> {
        let asked = place;
        let place = resolved(asked)?;
        if env::current_dir().is_ok_and(|folder| folder.starts_with(&place)) {
            return Err(Error::WorkingFolder { path: asked.to_owned() });
        }
        let earlier = Earlier { asked: asked.to_owned(), mark, is_part };
        earlier.refuse_what_is_foreign(&place)?;
        let lock = Lock::beside(&place).map_err(|error| match error {
            Error::Locked { holder, .. } => Error::Locked { place: asked.to_owned(), holder },
            error => error,
        })?;
        if place.exists() {
            // One that cannot be written to could be renamed, but not removed once the new one has its place.
            drop(Lock::within(&place)?);
        }
        let [staging, removed, replaced] = [".partial", ".removed", ".replaced"].map(|suffix| beside(&place, suffix));
        if replaced.exists() && !place.exists() {
            // A run was killed between the two renames of `commit`.
            fs::rename(&replaced, &place).context("rename to", &place)?;
        }
        for left in [&replaced, &staging, &removed] {
            remove_directory(left)?;
        }
        let unfinished = begin(|| {
            fs::create_dir_all(&staging).context("create the folder", &staging)?;
            Ok::<_, Error>(Some(Unfinished::staging(&staging, &removed)))
        })?;
        Ok(Self { staging, place, earlier, unfinished, _lock: lock })
    }

    /// Where to write for now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Puts the folder in its place; one that is there already is replaced.
    ///
    /// # Errors
    /// When a rename is refused, or something else was put there meanwhile.
    pub fn commit(mut self) -> Result<()> {
        self.earlier.refuse_what_is_foreign(&self.place)?;
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

/// The place without links and dots. What is not there yet is taken as it is written.
///
/// # Errors
/// Where no folder is to be found that it would be in.
pub fn resolved(place: &Path) -> Result<PathBuf> {
    let absolute = path::absolute(place).context("find", place)?;
    let real = absolute.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let (there, real) = real.ok_or(io::ErrorKind::NotFound).map_err(io::Error::from).context("find", place)?;
    let missing = absolute.strip_prefix(there).unwrap_or(Path::new(""));
    if missing.components().any(|component| !matches!(component, Component::Normal(_))) {
        return Err(io::Error::from(io::ErrorKind::NotFound)).context("find", place);
    }
    Ok(if missing.as_os_str().is_empty() { real } else { real.join(missing) })
}

/// What may be replaced: the folder of an earlier run.
#[derive(Debug)]
struct Earlier {
    /// As the place was named.
    asked: PathBuf,
    mark: &'static str,
    is_part: fn(&str) -> bool,
}

impl Earlier {
    fn refuse_what_is_foreign(&self, place: &Path) -> Result<()> {
        let Self { asked, mark, is_part } = self;
        // A link to nothing is there too.
        if fs::symlink_metadata(place).is_err() {
            return Ok(());
        }
        if is_mount_point(place) {
            return Err(Error::MountPoint { path: asked.clone() });
        }
        let foreign = || Error::Foreign { path: asked.clone(), mark };
        let entries = fs::read_dir(place).map_err(|_| foreign())?.collect::<io::Result<Vec<_>>>();
        let entries = entries.context("read the folder", place)?;
        let names = entries.iter().map(fs::DirEntry::file_name);
        // What a desktop notes of a folder that somebody looked at, and what a killed process leaves of its lock.
        let names: Vec<OsString> = names.filter(|name| name != ".DS_Store" && name != Lock::WITHIN).collect();
        if !names.is_empty() && !names.iter().any(|name| name == mark) {
            return Err(foreign());
        }
        match names.iter().find(|name| !name.to_str().is_some_and(is_part)) {
            Some(name) => Err(Error::Stranger { path: asked.join(name), place: asked.clone() }),
            None => Ok(()),
        }
    }
}

fn is_mount_point(place: &Path) -> bool {
    let device = |path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    place.parent().is_some_and(|parent| device(place).is_some() && device(place) != device(parent))
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

    fn is_part(name: &str) -> bool {
        ["mark", "train"].contains(&name)
    }

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
        // A folder is in the place.
        let taken = folder.path().join("taken");
        fs::create_dir_all(taken.join("with")).unwrap();
        assert!(write_file(&taken, |w| w.write_all(b"new")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_staged_file_leaves_the_old_one_until_it_is_committed_and_nothing_where_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_file(&path, |w| w.write_all(b"old")).unwrap();
        drop(StagedFile::write(&path, |w| w.write_all(b"dropped")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let staged = StagedFile::write(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(staged.commit().unwrap(), Digest::of(b"new"));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_staged_folder_replaces_the_old_one_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("shards");
        for (content, commit) in [("first", true), ("dropped", false), ("second", true)] {
            let staged = StagedDirectory::replacing(&place, "mark", is_part).unwrap();
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
        let staged = StagedDirectory::replacing(&place, "mark", is_part).unwrap();
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
        drop(StagedDirectory::replacing(&place, "mark", is_part).unwrap());
        assert_eq!(fs::read_to_string(place.join("mark")).unwrap(), "old");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_the_tool_did_not_write_is_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, file) = (parent.path().join("precious"), parent.path().join("file"));
        fs::create_dir(&folder).unwrap();
        assert!(StagedDirectory::replacing(&folder, "mark", is_part).is_ok(), "an empty folder may be");
        fs::write(folder.join("thesis.txt"), "important").unwrap();
        fs::write(&file, "important").unwrap();
        for place in [&folder, &file] {
            let message = StagedDirectory::replacing(place, "mark", is_part).unwrap_err().to_string();
            assert!(message.ends_with("is there and has no mark: it is not replaced"), "{message}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);

        let earlier = parent.path().join("earlier");
        fs::create_dir_all(earlier.join("train")).unwrap();
        for name in ["mark", ".DS_Store"] {
            fs::write(earlier.join(name), "").unwrap();
        }
        assert!(StagedDirectory::replacing(&earlier, "mark", is_part).is_ok());
        fs::write(earlier.join("thesis.txt"), "important").unwrap();
        let message = StagedDirectory::replacing(&earlier, "mark", is_part).unwrap_err().to_string();
        let (thesis, place) = (earlier.join("thesis.txt"), earlier.display());
        assert_eq!(
            message,
            format!("`{place}` is not replaced: `{}` in it was not written by this tool", thesis.display())
        );
    }

    #[test]
    fn what_is_put_there_meanwhile_is_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("shards");
        for earlier in [&[][..], &["mark"]] {
            for name in earlier {
                fs::write(place.join(name), "old").unwrap();
            }
            let staged = StagedDirectory::replacing(&place, "mark", is_part).unwrap();
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("thesis.txt"), "important").unwrap();
            assert!(staged.commit().unwrap_err().to_string().contains("is not replaced"));
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
            assert_eq!(fs::read_to_string(place.join("thesis.txt")).unwrap(), "important");
            fs::remove_file(place.join("thesis.txt")).unwrap();
        }
        assert_eq!(fs::read_to_string(place.join("mark")).unwrap(), "old");
    }

    #[test]
    fn nothing_is_touched_for_a_place_without_a_name_of_its_own() {
        let here = env::current_dir().unwrap();
        let parent = here.join("..").canonicalize().unwrap();
        // Tests share the working folder, which is this crate's: each of these is it or one above it.
        for place in [".", "./", "..", "../", "src/..", "/", parent.to_str().unwrap()] {
            let message = StagedDirectory::replacing(Path::new(place), "mark", is_part).unwrap_err().to_string();
            assert_eq!(message, format!("`{place}` is the working folder, or one above it"));
        }
        for place in ["", "absent/..", "absent/../other"] {
            let message = StagedDirectory::replacing(Path::new(place), "mark", is_part).unwrap_err().to_string();
            assert_eq!(message, format!("cannot find `{place}`"));
        }
        assert!(here.join("Cargo.toml").exists() && parent.join("Cargo.toml").exists());
    }

    #[test]
    fn a_link_stands_for_what_it_leads_to() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link) = (parent.path().join("large disk/shards"), parent.path().join("link"));
        fs::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let staged = StagedDirectory::replacing(&link, "mark", is_part).unwrap();
        assert_eq!(staged.path().parent().unwrap(), real.parent().unwrap().canonicalize().unwrap());
        fs::write(staged.path().join("mark"), "new").unwrap();
        staged.commit().unwrap();
        assert_eq!(fs::read_to_string(real.join("mark")).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

        fs::remove_dir_all(&real).unwrap();
        let message = StagedDirectory::replacing(&link, "mark", is_part).unwrap_err().to_string();
        assert!(message.ends_with("link` is there and has no mark: it is not replaced"), "{message}");
    }
}
