use serde::{Deserialize, Serialize};

use crate::document::Document;
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
    /// The folder of class folders, relative to `raw/`.
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
}

impl Document for Source {
    const KIND: &'static str = Self::FILE_NAME;
    const SCHEMA_VERSION: u32 = 1;
}
