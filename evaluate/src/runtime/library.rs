//! The shared library of ONNX Runtime: found, and known to be the right one, before anything is asked of it.

use std::ffi::{CStr, OsStr};
use std::path::{Path, PathBuf};

use libloading::{Library, Symbol};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::sys::OrtApiBase;

use crate::error::Error;

/// The oldest ONNX Runtime, 1.24, that has the interface this build was compiled for.
pub(crate) const OLDEST_MINOR: u32 = ort::MINOR_VERSION;

/// ONNX Runtime, loaded.
#[derive(Debug)]
pub(crate) struct Runtime {
    /// What sessions are made in.
    pub environment: Environment,
    /// Of the library, as "1.32.0".
    pub version: String,
    /// Where it was found, or its name where the system searched for it.
    pub path: PathBuf,
}

impl Runtime {
    /// Loads the library of the given name. Once a process.
    pub(crate) fn load(name: Option<&OsStr>) -> Result<Self, Error> {
        let name = name.filter(|name| !name.is_empty()).ok_or(Error::NoLibrary)?;
        let path = place(Path::new(name))?;
        let version = version(&path)?;
        let not_loaded = |error: ort::LoadDynamicError| {
            let reason = error.to_string();
            Error::NotOnnxRuntime { path: path.clone(), reason }
        };
        let builder = ort::init_from(&path).map_err(not_loaded)?;
        let environment =
            builder.with_telemetry(false).build().map_err(|source| Error::Runtime { action: "start", source })?;
        environment.set_log_level(LogLevel::Warning);
        Ok(Self { environment, version, path })
    }

    /// How the library was built, in its own words.
    pub(crate) fn build() -> &'static str {
        ort::info()
    }
}

/// A file is meant from the working folder, as everywhere (`ort` would begin at the binary's). A name alone that is no
/// file here is left to the system's search.
fn place(name: &Path) -> Result<PathBuf, Error> {
    let missing = matches!(name.try_exists(), Ok(false));
    if missing && name.components().count() == 1 {
        return Ok(name.to_owned());
    }
    let path = std::path::absolute(name).unwrap_or_else(|_| name.to_owned());
    if missing { Err(Error::MissingLibrary { path }) } else { Ok(path) }
}

/// The version of the library, if it is one that this build can use.
fn version(path: &Path) -> Result<String, Error> {
    type GetApiBase = unsafe extern "C" fn() -> *const OrtApiBase;

    let not_onnxruntime = |reason: &str| Error::NotOnnxRuntime { path: path.to_owned(), reason: reason.to_owned() };
    // SAFETY: loading a library runs its initialisers. ONNX Runtime's have no preconditions; that the file is ONNX
    // Runtime, and no other library with harmful ones, is the word of the person who named it.
    let library = unsafe { Library::new(path) }.map_err(|source| Error::Library { path: path.to_owned(), source })?;
    // SAFETY: the function of this name has this type in every ONNX Runtime since 1.0 (onnxruntime_c_api.h).
    let get_api_base: Symbol<'_, GetApiBase> = unsafe { library.get(b"OrtGetApiBase") }
        .map_err(|_no_such_symbol| not_onnxruntime("it has no function `OrtGetApiBase`"))?;
    // SAFETY: the function takes nothing and has no preconditions.
    let base = unsafe { get_api_base() };
    // SAFETY: it returns a pointer to a constant of the library, which is loaded as long as `library` lives, or null.
    let base = unsafe { base.as_ref() }.ok_or_else(|| not_onnxruntime("its `OrtGetApiBase` gives nothing"))?;
    // SAFETY: the function takes nothing and returns a constant C string of the library.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)()) };
    let version = version.to_string_lossy().into_owned();

    match is_recent(&version) {
        Some(true) => Ok(version),
        Some(false) => Err(Error::LibraryVersion { path: path.to_owned(), found: version }),
        None => Err(not_onnxruntime(&format!("it calls itself version `{version}`"))),
    }
}

/// Whether a version such as "1.32.0" is 1.24 or a later 1.x; nothing if it is no version.
fn is_recent(version: &str) -> Option<bool> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(major == 1 && minor >= OLDEST_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        for (version, expected) in [
            ("1.24.0", Some(true)),
            ("1.32.0", Some(true)),
            ("1.100.1", Some(true)),
            ("1.23.9", Some(false)),
            ("1.3.0", Some(false)),
            ("2.30.0", Some(false)),
            ("1", None),
            ("one.two", None),
            ("", None),
        ] {
            assert_eq!(is_recent(version), expected, "{version}");
        }
    }

    #[test]
    fn an_empty_name_is_none() {
        assert!(matches!(Runtime::load(None), Err(Error::NoLibrary)));
        assert!(matches!(Runtime::load(Some(OsStr::new(""))), Err(Error::NoLibrary)));
    }
}
