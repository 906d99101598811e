//! One writer at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext as _, Result};
use crate::place::beside;
use crate::unfinished::{Unfinished, begin};

/// How often a folder may vanish before that is an error.
const MOST_ATTEMPTS: usize = 1000;

/// The right to write to a place, until it is dropped.
///
/// It is the operating system's advisory lock (`flock`) of a hidden file that holds the process's id. The system ends it
/// with the process, so one that is killed holds nothing, whatever file it leaves. Taking it is also the proof that the
/// place can be written to: a stage takes it before it works.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Open for as long as the lock is held.
    _file: File,
    _unfinished: Unfinished,
    /// Dropped last: they go if they are empty.
    _made: MadeFolders,
}

impl Lock {
    /// The name of the file in a folder that is written in.
    pub(crate) const WITHIN: &str = ".lock";

    /// For a folder that is written in, by the file `FOLDER/.lock`. The folder is made where there is none; if nothing was
    /// written to it, it goes again.
    ///
    /// # Errors
    /// When another process holds it, or the folder cannot be written to.
    pub fn within(folder: &Path) -> Result<Self> {
        // What is beside a bare file name.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Self::take(folder.join(Self::WITHIN), folder, folder)
    }

    /// For a file or folder that is replaced, by the file `.NAME.lock` beside it.
    ///
    /// # Errors
    /// When another process holds it, or the folder that it is in cannot be written to.
    pub fn beside(place: &Path) -> Result<Self> {
        Self::take(beside(place, ".lock"), place.parent().unwrap_or(place), place)
    }

    fn take(path: PathBuf, folder: &Path, place: &Path) -> Result<Self> {
        begin(|| Self::take_undisturbed(path, folder, place))
    }

    fn take_undisturbed(path: PathBuf, folder: &Path, place: &Path) -> Result<Self> {
        let mut attempts = 0;
        let (mut file, made) = loop {
            attempts += 1;
            let (file, made) = match open(&path, folder) {
                // The holder before may have just removed the folder that it had made; which of the two errors that gives
                // is chance.
                Err(Error::Io { source, .. })
                    if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)
                        && attempts < MOST_ATTEMPTS =>
                {
                    continue;
                }
                opened => opened?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked { place: place.to_owned(), holder: holder(&file) });
                }
                Err(TryLockError::Error(source)) => return Err(source).context("lock", &path),
            }
            // The holder before has removed the file that was opened here: a lock on it keeps nobody out.
            if is_there(&file, &path).context("lock", &path)? {
                break (file, made);
            }
        };
        let unfinished = Unfinished::file(&path);
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        let lock = Self { path, _file: file, _unfinished: unfinished, _made: made };
        written.context("write to", folder)?;
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still locked: who has opened it meanwhile finds out that it is gone.
        let _the_next_one_takes_it = fs::remove_file(&self.path);
    }
}

/// Opens a lock's file, and makes the folder that it is in where there is none.
fn open(path: &Path, folder: &Path) -> Result<(File, MadeFolders)> {
    let made = MadeFolders::make(folder)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    Ok((file.context("create", path)?, made))
}

/// The process that a lock's file names; none while it is about to write it.
fn holder(mut file: &File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_there(file: &File, path: &Path) -> io::Result<bool> {
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    let open = file.metadata()?;
    Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
}

/// Folders that were made to write in: those that are still empty in the end go again.
#[derive(Debug)]
struct MadeFolders(Vec<(PathBuf, Unfinished)>);

impl MadeFolders {
    fn make(folder: &Path) -> Result<Self> {
        let mut missing: Vec<_> =
            folder.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
        missing.reverse();
        let made = Self(missing.iter().map(|&folder| (folder.to_owned(), Unfinished::folder(folder))).collect());
        fs::create_dir_all(folder).context("create the folder", folder)?;
        Ok(made)
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        for (folder, _) in self.0.iter().rev() {
            let _not_empty = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn the_second_is_refused_with_the_first_one_s_process_id_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new/run");
        let first = Lock::within(&place).unwrap();
        let message = Lock::within(&place).unwrap_err().to_string();
        let own = std::process::id();
        assert_eq!(message, format!("`{}` is being written to by process {own}", place.display()));
        drop(first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written, and nothing is left");
        drop(Lock::within(&place).unwrap());

        let beside = Lock::beside(&place).unwrap();
        assert!(matches!(Lock::beside(&place), Err(Error::Locked { .. })));
        drop(Lock::within(&place).unwrap());
        drop(beside);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_holder_left_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".lock"), "1\n").unwrap();
        let lock = Lock::within(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join(".lock")).unwrap(), format!("{}\n", std::process::id()));
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_was_written_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("run");
        let lock = Lock::within(&place).unwrap();
        fs::write(place.join("result"), "").unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    }

    /// Files and folders come and go under those who wait.
    #[test]
    fn of_many_that_try_no_two_hold_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a/b");
        let held = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut times = 0;
                    while times < 200 {
                        match Lock::within(&place) {
                            Ok(lock) => {
                                assert!(!held.swap(true, Ordering::SeqCst), "two hold it");
                                held.store(false, Ordering::SeqCst);
                                drop(lock);
                                times += 1;
                            }
                            Err(Error::Locked { .. }) => thread::yield_now(),
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
        });
        assert!(!place.join(".lock").exists());
    }
}
