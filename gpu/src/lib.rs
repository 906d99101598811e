//! CUDA's libraries, found and loaded at run time: building needs none of them, and neither LD_LIBRARY_PATH nor an
//! installation is needed. A library that is loaded by its full path is the one that later searches by name find.

use std::env;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Loads the driver, by the system's search.
///
/// # Errors
/// When there is none, in the words of the system.
pub fn load_driver() -> Result<(), String> {
    load(Path::new("libcuda.so.1"))
}

/// The folders that are searched before the system's: those of CUDA_HOME, then the one that was named.
#[must_use]
pub fn folders(named: Option<&Path>) -> Vec<PathBuf> {
    let home = env::var_os("CUDA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let in_home = home.iter().flat_map(|home| ["lib64", "lib", "targets/x86_64-linux/lib"].map(|part| home.join(part)));
    in_home.chain(named.map(Path::to_owned)).collect()
}

/// Loads a library for as long as the process lives.
///
/// # Errors
/// When there is none, or one that it needs is missing, in the words of the system.
pub fn load(path: &Path) -> Result<(), String> {
    // SAFETY: loading a library runs its initialisers. CUDA's have no preconditions; that the file is what its name says is
    // the word of the person who put it there.
    match unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) } {
        Ok(library) => {
            std::mem::forget(library);
            Ok(())
        }
        // What failed is said by the cause; the error itself says "dlopen failed".
        Err(error) => Err(error.source().map_or_else(|| error.to_string(), ToString::to_string)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_an_error_in_the_system_s_words() {
        let error = load(Path::new("/no/such/libcuda.so.1")).unwrap_err();
        assert!(error.contains("/no/such/libcuda.so.1: cannot open shared object file"), "{error}");
        assert!(load(Path::new(file!())).is_err());
    }

    #[test]
    fn the_system_s_own_library_loads_by_its_name() {
        load(Path::new("libc.so.6")).unwrap();
    }
}
