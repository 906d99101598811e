//! A download that may have been cut, and what is needed to go on with it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use files::{Digest, IoContext as _, write_file};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What lies beside a download, as `NAME.origin.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Where the bytes come from, without a user and a password.
    pub url: String,
    /// What tells whether the server still has the same file: its `ETag` or its `Last-Modified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// The digest of the whole file, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// `archives/NAME.partial`, which becomes `archives/NAME` where it is kept.
#[derive(Debug)]
pub struct Partial {
    /// The file.
    pub path: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
    /// Where they are from.
    pub origin: Origin,
}

impl Partial {
    /// What is there of the download of `file_name`.
    pub fn find(folder: &Path, file_name: &str) -> Self {
        let path = folder.join(format!("{file_name}.partial"));
        let origin = fs::read(origin_path(&path)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, bytes, origin: origin.unwrap_or_default() }
    }

    /// The file, emptied, for bytes from `origin`.
    pub fn start(&mut self, origin: Origin) -> Result<File, Error> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).context("create the folder", folder)?;
        // First the file: an old one must not pass for the new origin's.
        let file = File::create(&self.path).context("create", &self.path)?;
        self.bytes = 0;
        self.record(origin)?;
        Ok(file)
    }

    /// The file, to append to.
    pub fn resume(&self) -> Result<File, Error> {
        Ok(OpenOptions::new().append(true).open(&self.path).context("append to", &self.path)?)
    }

    /// Writes down where the bytes are from.
    pub fn record(&mut self, origin: Origin) -> Result<(), Error> {
        write_file(&origin_path(&self.path), |writer| {
            serde_json::to_writer_pretty(writer, &origin).map_err(io::Error::from)
        })?;
        self.origin = origin;
        Ok(())
    }

    /// Removes the file.
    pub fn discard(&mut self) -> Result<(), Error> {
        files::remove_file(&self.path)?;
        files::remove_file(&origin_path(&self.path))?;
        (self.bytes, self.origin) = (0, Origin::default());
        Ok(())
    }
}

/// The file that says where `archive` comes from.
pub fn origin_path(archive: &Path) -> PathBuf {
    let mut path = archive.as_os_str().to_owned();
    path.push(".origin.json");
    PathBuf::from(path)
}
