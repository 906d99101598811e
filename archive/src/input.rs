use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::PathBuf;

use files::IoContext as _;

use crate::error::Error;

/// Where an archive's bytes are.
#[derive(Debug, Clone)]
pub enum Input {
    /// In a file.
    File(PathBuf),
    /// In this program's memory, under a name.
    Embedded(String, Cow<'static, [u8]>),
}

impl Input {
    /// What to call it in a message.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Embedded(name, _) => name.clone(),
        }
    }

    /// Its size in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn bytes(&self) -> Result<u64, Error> {
        match self {
            Self::File(path) => Ok(fs::metadata(path).context("read", path)?.len()),
            Self::Embedded(_, bytes) => Ok(bytes.len() as u64),
        }
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).context("read", path)?),
            Self::Embedded(_, bytes) => Box::new(Cursor::new(bytes.clone())),
        })
    }
}

/// What dataset.json calls its other inputs: the list of files, and what `fetch` writes.
const TAKEN: [&str; 2] = ["files", "source.json"];

/// An archive's file name, if it is one that can be recorded. `location` is as the archive was named.
///
/// # Errors
/// When there is none (as in `https://host/`), it is hidden or taken, or no line of text could hold it.
pub fn check_file_name(name: Option<&str>, location: impl ToString) -> Result<String, Error> {
    match name {
        Some(name) if TAKEN.contains(&name) => Err(Error::TakenName { name: name.to_owned() }),
        Some(name) if !name.is_empty() && !name.starts_with('.') && !name.chars().any(char::is_control) => {
            Ok(name.to_owned())
        }
        _ => Err(Error::NoFileName { location: location.to_string() }),
    }
}

/// Refuses two archives with one file name, which source.json could not tell apart.
///
/// # Errors
/// When the names are the same.
pub fn check_different(train: &str, test: &str) -> Result<(), Error> {
    if train == test { Err(Error::SameName { name: train.to_owned() }) } else { Ok(()) }
}

/// A data set's name, which becomes one folder's: `data/NAME`.
///
/// # Errors
/// Says why it could not.
pub fn data_set_name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        Err("a data set's name is not empty")
    } else if text.chars().any(|c| c == '/' || std::path::is_separator(c)) {
        Err("a data set's name is one folder's, without separators")
    } else if text.starts_with('.') {
        Err("a data set's name does not start with a full stop")
    } else if text.chars().any(char::is_control) {
        Err("a data set's name holds no control characters")
    } else {
        Ok(text.to_owned())
    }
}

/// The name without `.tar.gz`, `.tgz` or `.tar`.
#[must_use]
pub fn stem(name: &str) -> Option<&str> {
    [".tar.gz", ".tgz", ".tar"]
        .iter()
        .find_map(|extension| name.strip_suffix(extension))
        .filter(|stem| !stem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_s_stem_is_its_name_without_the_extension() {
        let cases = [("a.tar.gz", Some("a")), ("a.b.tgz", Some("a.b")), ("a.tar", Some("a")), ("a.zip", None)];
        for (name, expected) in cases.into_iter().chain([(".tar", None)]) {
            assert_eq!(stem(name), expected, "{name}");
        }
    }
}
