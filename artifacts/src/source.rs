use std::path::Path;

use files::Digest;
use serde::{Deserialize, Serialize};

use crate::document::{Document, parse_json};
use crate::error::Result;
use crate::provenance::Provenance;

/// `raw/source.json`: where the images under `raw/` come from.
///
/// The images of a part lie in `raw/DIRECTORY/CLASS/NAME.png`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// How it was fetched.
    pub provenance: Provenance,
    /// The data set's name.
    pub name: String,
    /// One archive each: a training part, and perhaps a test part.
    pub parts: Vec<Part>,
}

/// An archive and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// What its images are for.
    pub role: Role,
    /// The folder of class folders, relative to `raw/`: [`Role::directory`].
    pub directory: String,
    /// The archive's file name; its digest stands among the provenance's inputs.
    pub archive: String,
    /// The archive's size in bytes.
    pub bytes: u64,
    /// How many files were unpacked.
    pub files: u64,
}

/// What the images of a part are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Training and validation; and testing, where there is no test part.
    Train,
    /// Testing alone.
    Test,
}

impl Role {
    /// The name of the part's folder.
    #[must_use]
    pub fn directory(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

impl Source {
    /// Its file name.
    pub const FILE_NAME: &str = "source.json";

    /// One without archives yet, as `fetch` begins it.
    #[must_use]
    pub fn new(name: &str) -> Self {
        // All members of the workspace have one version.
        let provenance = Provenance::new("fetch", env!("CARGO_PKG_VERSION"));
        Self { provenance, name: name.to_owned(), parts: Vec::new() }
    }

    /// What `bytes` say, which are those of the file `path`.
    ///
    /// # Errors
    /// When they are no JSON of this kind and schema version, or its parts are others than [`Source::parts`] says.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        parse_json(bytes, path)
    }

    /// The part to test on, if there is one.
    #[must_use]
    pub fn test_part(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.role == Role::Test)
    }

    /// With an archive of `bytes` bytes and `files` files.
    #[must_use]
    pub fn with_part(mut self, role: Role, archive: &str, digest: Digest, bytes: u64, files: u64) -> Self {
        let (directory, archive) = (role.directory().to_owned(), archive.to_owned());
        self.provenance = self.provenance.with_input(&archive, digest);
        self.parts.push(Part { role, directory, archive, bytes, files });
        self
    }
}

impl Document for Source {
    const KIND: &'static str = Self::FILE_NAME;
    const SCHEMA_VERSION: u32 = 1;

    fn check(&self) -> Result<(), String> {
        let roles: Vec<Role> = self.parts.iter().map(|part| part.role).collect();
        if !matches!(roles[..], [Role::Train] | [Role::Train, Role::Test]) {
            return Err("its parts are not one to train on and at most one to test on, in this order".to_owned());
        }
        match self.parts.iter().find(|part| part.directory != part.role.directory()) {
            Some(Part { role, directory, .. }) => {
                Err(format!("its part `{}` lies in `{}`", role.directory(), directory.escape_debug()))
            }
            None => Ok(()),
        }
    }
}
