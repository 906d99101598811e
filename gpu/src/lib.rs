//! CUDA's libraries, found and loaded at run time: building needs none of them, and neither LD_LIBRARY_PATH nor an
//! installation is needed.

use std::env;
use std::error::Error as _;
use std::ffi::{CStr, c_void};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Loads the driver, by the system's search.
///
/// # Errors
/// When there is none, in the words of the system.
pub fn load_driver() -> Result<Loaded, String> {
    // SAFETY: NVIDIA's driver may be loaded by any process; that the file is what its name says is the system's word.
    unsafe { load(Path::new("libcuda.so.1")) }
}

/// The folders that are searched before the system's: those of CUDA_HOME, then the one that was named.
#[must_use]
pub fn folders(named: Option<&Path>) -> Vec<PathBuf> {
    let home = env::var_os("CUDA_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let in_home = home.iter().flat_map(|home| ["lib64", "lib", "targets/x86_64-linux/lib"].map(|part| home.join(part)));
    in_home.chain(named.map(Path::to_owned)).collect()
}

/// A library that was loaded for as long as the process lives.
#[derive(Debug, Clone, Copy)]
pub struct Loaded(*mut c_void);

impl Loaded {
    /// Its function of that name.
    ///
    /// # Errors
    /// When there is none, in the words of the system.
    ///
    /// # Safety
    /// `T` is the type of a pointer to that function.
    pub unsafe fn function<T: Copy>(self, name: &CStr) -> Result<T, String> {
        // SAFETY: the handle is of a library that is never closed, here neither.
        let library = ManuallyDrop::new(unsafe { Library::from_raw(self.0) });
        // SAFETY: the caller's.
        let found = unsafe { library.get::<T>(name.to_bytes_with_nul()) };
        found.map(|symbol| *symbol).map_err(|error| in_words(&error))
    }
}

/// What failed is said by the cause; the error itself says "dlopen failed" or "dlsym failed".
fn in_words(error: &libloading::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Loads a library for as long as the process lives.
///
/// # Errors
/// When there is none, or one that it needs is missing, in the words of the system.
///
/// # Safety
/// Loading a library runs its initialisers, which have no preconditions that this process does not meet.
pub unsafe fn load(path: &Path) -> Result<Loaded, String> {
    // SAFETY: the contract's.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| in_words(&error))?;
    Ok(Loaded(library.into_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_an_error_in_the_system_s_words() {
        // SAFETY: nothing is loaded.
        let [error, other] =
            ["/no/such/libcuda.so.1", file!()].map(|path| unsafe { load(Path::new(path)) }.unwrap_err());
        assert!(error.contains("/no/such/libcuda.so.1: cannot open shared object file"), "{error}");
        assert!(other.contains(file!()), "{other}");
    }

    #[test]
    fn the_system_s_own_library_loads_by_its_name_and_has_its_functions() {
        // SAFETY: it is loaded already.
        let library = unsafe { load(Path::new("libc.so.6")) }.unwrap();
        // SAFETY: the type is that of C's `abs`.
        let abs = unsafe { library.function::<unsafe extern "C" fn(i32) -> i32>(c"abs") }.unwrap();
        // SAFETY: the function has no preconditions that -3 breaks.
        assert_eq!(unsafe { abs(-3) }, 3);
        // SAFETY: nothing is called.
        let error = unsafe { library.function::<unsafe extern "C" fn()>(c"no_such_function") }.unwrap_err();
        assert!(error.contains("undefined symbol: no_such_function"), "{error}");
    }
}
