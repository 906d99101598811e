//! `origin.json`: which URLs a data set's archives came from.
//!
//! It lies beside source.json and is no part of the data set: source.json has the same bytes whichever place an archive came
//! from, and no later stage reads this file. It is there where a person gave a URL, to tell two URLs with the same file name
//! apart.

use std::collections::BTreeMap;
use std::path::Path;

use artifacts::{Document, read_json, write_json};
use serde::{Deserialize, Serialize};
use terminal::Console;

use crate::error::Error;
use crate::request::Request;

/// `raw/origin.json`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origins {
    /// The URL that was given for each archive that has one, by the archive's file name; without a user and a password.
    pub urls: BTreeMap<String, String>,
}

impl Origins {
    /// The file's name in an output folder.
    pub(crate) const FILE_NAME: &str = "origin.json";

    /// Those that `request` asks for.
    pub fn wanted(request: &Request) -> Self {
        let urls = request.parts.iter().filter_map(|part| Some((part.file_name.clone(), part.url()?)));
        Self { urls: urls.collect() }
    }

    /// Those that are recorded in `folder`: none where there is no file, or not one that can be read.
    pub fn read(folder: &Path, console: &Console) -> Self {
        let path = folder.join(Self::FILE_NAME);
        if !path.exists() {
            return Self::default();
        }
        match read_json(&path) {
            Ok((origins, _)) => origins,
            Err(error) => {
                console.warn(error.to_string());
                Self::default()
            }
        }
    }

    /// Writes them to `folder`, if there are any.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        if !self.urls.is_empty() {
            write_json(&folder.join(Self::FILE_NAME), self)?;
        }
        Ok(())
    }
}

impl Document for Origins {
    const KIND: &'static str = Self::FILE_NAME;
    const SCHEMA_VERSION: u32 = 1;
}
