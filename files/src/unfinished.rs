//! What this process would leave behind if it ended now: temporary files, staging folders, locks, empty folders.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io, thread};

/// Held by whoever is about to begin something, from its making to its registration.
static BEGINNING: Mutex<()> = Mutex::new(());
static UNFINISHED: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

#[derive(Debug, Clone, PartialEq, Eq)]
enum Leftover {
    File(PathBuf),
    /// With all that is in it, by way of the second name.
    Staging(PathBuf, PathBuf),
    /// Unless there is something in it.
    Folder(PathBuf),
}

/// Something unfinished, until it is dropped. `None` once it is finished.
#[derive(Debug)]
pub(crate) struct Unfinished(Option<Leftover>);

impl Unfinished {
    pub(crate) fn file(path: impl Into<PathBuf>) -> Self {
        Self::register(Leftover::File(path.into()))
    }

    pub(crate) fn staging(path: impl Into<PathBuf>, aside: impl Into<PathBuf>) -> Self {
        Self::register(Leftover::Staging(path.into(), aside.into()))
    }

    pub(crate) fn folder(path: impl Into<PathBuf>) -> Self {
        Self::register(Leftover::Folder(path.into()))
    }

    fn register(leftover: Leftover) -> Self {
        all().push(leftover.clone());
        Self(Some(leftover))
    }

    /// Does what makes it finished; [`remove_unfinished`] comes before or after it, never in between.
    pub(crate) fn finish<T>(mut self, act: impl FnOnce() -> T) -> T {
        let mut all = all();
        let result = act();
        self.forget(&mut all);
        result
    }

    fn forget(&mut self, all: &mut Vec<Leftover>) {
        let leftover = self.0.take();
        if let Some(index) = all.iter().rposition(|other| Some(other) == leftover.as_ref()) {
            all.remove(index);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.forget(&mut all());
        }
    }
}

fn all() -> MutexGuard<'static, Vec<Leftover>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes something unfinished and registers it; [`remove_unfinished`] comes before or after it, never in between.
pub(crate) fn begin<T>(act: impl FnOnce() -> T) -> T {
    let _held = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    act()
}

/// Nothing more begins or takes its place while this is held.
#[derive(Debug)]
pub struct NothingFinishes {
    _beginning: MutexGuard<'static, ()>,
    _all: MutexGuard<'static, Vec<Leftover>>,
}

/// Removes what this process would leave behind, for one that ends at once, as on a signal. What is held back by the result
/// never takes its place: hold it to the end.
#[must_use]
pub fn remove_unfinished() -> NothingFinishes {
    let beginning = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all();
    // The newest first: a folder is empty when what was made in it is gone.
    for leftover in all.iter().rev() {
        // What cannot be removed now is removed by the next run.
        let _left_for_the_next_run = match leftover {
            Leftover::File(path) => fs::remove_file(path),
            Leftover::Staging(path, aside) => remove_while_it_is_filled(path, aside),
            Leftover::Folder(path) => fs::remove_dir(path),
        };
    }
    NothingFinishes { _beginning: beginning, _all: all }
}

/// Other threads are still at work: put `aside`, the folder is no longer found by them. One may have been about to make a
/// file, which then comes after the first removal.
fn remove_while_it_is_filled(staging: &Path, aside: &Path) -> io::Result<()> {
    const ATTEMPTS: usize = 20;
    fs::rename(staging, aside)?;
    for _ in 1..ATTEMPTS {
        let _once_more = fs::remove_dir_all(aside);
        thread::sleep(Duration::from_millis(1));
        if !aside.exists() {
            return Ok(());
        }
    }
    fs::remove_dir_all(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staging_folder_goes_however_fast_it_is_filled() {
        let parent = tempfile::tempdir().unwrap();
        let (staging, aside) = (parent.path().join(".raw.partial"), parent.path().join(".raw.removed"));
        for _ in 0..20 {
            fs::create_dir(&staging).unwrap();
            thread::scope(|scope| {
                let filled = scope.spawn(|| {
                    (0..100_000).try_for_each(|number| {
                        let folder = staging.join((number / 4).to_string());
                        if number % 4 == 0 {
                            fs::create_dir(&folder)?;
                        }
                        fs::write(folder.join(number.to_string()), "image")
                    })
                });
                thread::sleep(Duration::from_millis(3));
                remove_while_it_is_filled(&staging, &aside).unwrap();
                assert_eq!(filled.join().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
            });
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        }
    }
}
