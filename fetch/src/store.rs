//! The folder of archives: where downloads grow and where they are kept.
//!
//! | file | what |
//! |---|---|
//! | `NAME.partial`, `NAME.partial.origin.json` | a download, complete or not |
//! | `NAME`, `NAME.origin.json` | an archive that was kept |
//!
//! A kept archive is digested before it is used again. It is used if it has the digest that is expected; where none is,
//! if it has the digest that it was kept with and came from the same URL.

use std::borrow::Cow;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use archive::Input;
use files::{Digest, IoContext as _, Lock, sha256_file, write_file};
use terminal::Console;

use crate::download::{Obtained, download};
use crate::error::Error;
use crate::options::FetchOptions;
use crate::partial::{Origin, Partial, origin_path};
use crate::request::{Supply, WantedArchive};

/// The archives that a run works with.
#[derive(Debug)]
pub struct Store<'a> {
    folder: &'a Path,
    downloaded: Vec<(String, Partial)>,
    /// On the folder, from the first archive that may have to be downloaded to it. A folder that it made goes with it if
    /// nothing was kept there.
    lock: Option<Lock>,
}

impl<'a> Store<'a> {
    /// In `folder`, which need not be there.
    pub fn new(folder: &'a Path) -> Self {
        Self { folder, downloaded: Vec::new(), lock: None }
    }

    /// The archive's bytes: whole, and with the digest that is expected, where one is.
    pub fn obtain(
        &mut self,
        wanted: &WantedArchive,
        options: &FetchOptions,
        console: &Console,
    ) -> Result<Input, Error> {
        let locations = match &wanted.supply {
            Supply::Embedded(bytes) => {
                if options.keep_archive {
                    self.lock()?;
                    write_file(&self.folder.join(&wanted.file_name), |writer| writer.write_all(bytes))?;
                }
                return Ok(Input::Embedded(wanted.file_name.clone(), Cow::Borrowed(bytes)));
            }
            Supply::Mirrors(locations) => locations,
        };
        if let Some(path) = wanted.lone_file() {
            return local(path, wanted);
        }
        self.lock()?;
        if let Some(path) = self.kept(wanted, console)? {
            return Ok(Input::File(path));
        }
        match download(wanted, locations, self.folder, options, console)? {
            Obtained::InPlace(path) => Ok(Input::File(path)),
            Obtained::Downloaded(partial) => {
                let path = partial.path.clone();
                self.downloaded.push((wanted.file_name.clone(), partial));
                Ok(Input::File(path))
            }
        }
    }

    fn lock(&mut self) -> Result<(), Error> {
        if self.lock.is_none() {
            self.lock = Some(Lock::within(self.folder)?);
        }
        Ok(())
    }

    fn kept(&self, wanted: &WantedArchive, console: &Console) -> Result<Option<PathBuf>, Error> {
        let path = self.folder.join(&wanted.file_name);
        if !path.is_file() {
            return Ok(None);
        }
        let expected = wanted.digest.or_else(|| {
            let origin: Origin = serde_json::from_slice(&fs::read(origin_path(&path)).ok()?).ok()?;
            origin.sha256.filter(|_| wanted.is_at(&origin.url))
        });
        let found = sha256_file(&path)?;
        if expected == Some(found) {
            console.say(format!("using `{}`, which was kept and has the right digest", path.display()));
            return Ok(Some(path));
        }
        console.warn(match expected {
            Some(expected) => {
                format!("`{}` was kept, but has SHA-256 {found}; {expected} is expected", path.display())
            }
            None => format!("`{}` was kept from another place; it is not used", path.display()),
        });
        Ok(None)
    }

    /// Discards the download of an archive that turned out to be none, where no digest says that it is what it should be: the
    /// next run asks the server again.
    pub fn distrust(&mut self, wanted: &WantedArchive) -> Result<(), Error> {
        let downloaded = self.downloaded.iter_mut().find(|(file_name, _)| *file_name == wanted.file_name);
        match downloaded {
            Some((_, partial)) if wanted.digest.is_none() => partial.discard(),
            _ => Ok(()),
        }
    }

    /// Keeps the downloads of this run under their names, or removes them.
    pub fn finish(self, keep: bool, console: &Console) -> Result<(), Error> {
        for (file_name, mut partial) in self.downloaded {
            if keep {
                let path = self.folder.join(file_name);
                // The origin first: an archive without one is distrusted, one with another's would be believed.
                let (from, to) = (origin_path(&partial.path), origin_path(&path));
                files::remove_file(&path)?;
                fs::rename(&from, &to).context("rename to", &to)?;
                fs::rename(&partial.path, &path).context("rename to", &path)?;
                console.say(format!("kept `{}`", path.display()));
            } else {
                partial.discard()?;
            }
        }
        Ok(())
    }
}

/// A single local archive, with errors of its own: there is no other mirror to turn to.
fn local(path: &Path, wanted: &WantedArchive) -> Result<Input, Error> {
    if let Some(expected) = wanted.digest {
        let found: Digest = sha256_file(path)?;
        if found != expected {
            return Err(Error::Digest { archive: path.display().to_string(), expected, found });
        }
    }
    Ok(Input::File(path.to_owned()))
}
