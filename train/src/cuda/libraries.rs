//! The libraries of CUDA that the engine needs, found at run time.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use cudarc::driver;
use cudarc::driver::sys::cudaError_enum;
use gpu::Loaded;

use super::error::{Asked as _, Error};
use super::functions::{CublasLt, Nvrtc};

/// A library in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its file name, without a version.
    pub name: &'static str,
    /// Its version, as "13.0" or "13.0.2".
    pub version: String,
    /// Where it lies.
    pub path: PathBuf,
}

/// The libraries beside the driver.
#[derive(Debug, Clone)]
pub struct Libraries {
    /// The compiler of kernels and the library of matrix products.
    pub found: [Found; 2],
    pub(super) nvrtc: Nvrtc,
    pub(super) cublaslt: CublasLt,
}

const DRIVER: &str = "libcuda.so";
const COMPILER: &str = "libnvrtc.so";
const PRODUCTS: &str = "libcublasLt.so";

/// The major versions of CUDA that the engine works with, latest first.
const MAJORS: [usize; 2] = [13, 12];

/// Loads the driver.
///
/// # Errors
/// When there is none, or it does not start.
pub fn driver() -> Result<Found, Error> {
    gpu::load_driver().map_err(|reason| Error::NoDriver { reason })?;
    driver::result::init().map_err(|error| match error.0 {
        cudaError_enum::CUDA_ERROR_NO_DEVICE => Error::NoDevice,
        code => Error::DriverFails { code, reason: reason(error) },
    })?;
    let mut version = 0;
    // SAFETY: the driver is loaded, and writes a number.
    unsafe { driver::sys::cuDriverGetVersion(&raw mut version) }.result().to("tell its version")?;
    // SAFETY: only an address is asked for.
    let path = unsafe { path_of(driver::sys::culib().get::<*const c_void>(b"cuInit\0").ok().map(|symbol| *symbol)) };
    let path = path.unwrap_or_else(|| DRIVER.into());
    Ok(Found { name: DRIVER, version: dotted(version.unsigned_abs() as usize / 10), path })
}

/// Loads the compiler of kernels and the library of matrix products, which must not be of a later CUDA than the driver.
///
/// `folder` is searched after CUDA_HOME and before the system's folders.
///
/// # Errors
/// Names the library that is missing, does not load or does not fit.
pub fn beside(driver: &Found, folder: Option<&Path>) -> Result<Libraries, Error> {
    let folders = gpu::folders(folder);
    let nvrtc = find(COMPILER, &folders, driver, Nvrtc::of)?;
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the compiler writes two numbers.
    unsafe { (nvrtc.nvrtcVersion)(&raw mut major, &raw mut minor) }.result().to("tell its version")?;
    let path = path_of(Some(nvrtc.nvrtcVersion as *const c_void)).unwrap_or_else(|| COMPILER.into());
    let compiler = Found { name: COMPILER, version: format!("{major}.{minor}"), path };

    let cublaslt = find(PRODUCTS, &folders, driver, CublasLt::of)?;
    // SAFETY: the function has no preconditions.
    let version = unsafe { (cublaslt.cublasLtGetVersion)() };
    let path = path_of(Some(cublaslt.cublasLtGetVersion as *const c_void)).unwrap_or_else(|| PRODUCTS.into());
    let version = format!("{}.{}", dotted(version / 100), version % 100);
    let products = Found { name: PRODUCTS, version, path };

    for library in [&compiler, &products] {
        if library.major() > driver.major() {
            let (path, driver) = (library.path.clone(), driver.version.clone());
            return Err(Error::OldDriver { path, library: library.major(), driver });
        }
    }
    Ok(Libraries { found: [compiler, products], nvrtc, cublaslt })
}

impl Found {
    fn major(&self) -> usize {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
    }
}

/// 1304 is "13.4".
fn dotted(version: usize) -> String {
    format!("{}.{}", version / 100, version % 100)
}

/// The functions of the library in the first of the folders that has it, or by the system's search. One of a later CUDA than
/// the driver is taken only where there is no other. A file in the folders that does not load is an error: these were named.
fn find<T>(
    name: &'static str,
    folders: &[PathBuf],
    driver: &Found,
    functions: fn(Loaded) -> Result<T, String>,
) -> Result<T, Error> {
    let (fitting, later): (Vec<usize>, Vec<usize>) = MAJORS.into_iter().partition(|&major| major <= driver.major());
    let mut unfound = String::new();
    for majors in [fitting, later] {
        let files = || majors.iter().map(|major| PathBuf::from(format!("{name}.{major}")));
        let mut in_folders = folders.iter().flat_map(|folder| files().map(|file| folder.join(file)));
        if let Some(path) = in_folders.find(|path| path.exists()) {
            if name == COMPILER {
                open_builtins(&path);
            }
            return load(&path).and_then(functions).map_err(|reason| Error::BrokenLibrary { path, reason });
        }
        for file in files() {
            match load(&file).and_then(functions) {
                Ok(functions) => return Ok(functions),
                Err(reason) if unfound.is_empty() => unfound = reason,
                Err(_of_another_version) => {}
            }
        }
    }
    Err(Error::NoLibrary { name, folders: folders.to_owned(), reason: unfound })
}

fn load(path: &Path) -> Result<Loaded, String> {
    // SAFETY: CUDA's libraries may be loaded by any process; the folders are the person's choice.
    unsafe { gpu::load(path) }
}

/// Loads what the compiler looks for by name, in the system's folders only, from the folder of the compiler. Where it is not
/// beside it or does not load, the compiler says so when it is used.
fn open_builtins(compiler: &Path) {
    let beside = compiler.parent().and_then(|folder| folder.read_dir().ok());
    for file in beside.into_iter().flatten().flatten() {
        if file.file_name().to_string_lossy().starts_with("libnvrtc-builtins.so.") {
            let _said_by_the_compiler = load(&file.path());
        }
    }
}

/// The file that an address of this process belongs to.
fn path_of(address: Option<*const c_void>) -> Option<PathBuf> {
    let address = address? as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let path = &rest[rest.find('/')?..];
        (number(start)?..number(end)?).contains(&address).then(|| PathBuf::from(path))
    })
}

fn reason(error: driver::DriverError) -> String {
    match Err::<(), _>(error).to("start") {
        Err(Error::Device { code, text, .. }) => format!("{code} ({text})"),
        other => unreachable!("an error stays one, not {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_its_number() {
        assert_eq!([1300, 1209].map(dotted), ["13.0", "12.9"]);
        let found = Found { name: COMPILER, version: dotted(1209), path: PathBuf::new() };
        assert_eq!(found.major(), 12);
    }

    #[test]
    fn a_function_s_library_is_found_by_its_address() {
        let here = path_of(Some(path_of as *const c_void)).unwrap();
        assert_eq!(here, std::env::current_exe().unwrap());
        assert_eq!(path_of(Some(std::ptr::null())), None);
    }
}
