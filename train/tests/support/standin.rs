//! The stand-ins for CUDA's libraries, built from `tests/standin`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use files::Digest;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use train::cuda::{CudaEngine, Machine};
use train::data::Data;
use train::{Hyperparameters, Precision};

/// The libraries with what each is built from, the driver first: the others ask it for things.
const LIBRARIES: [(&str, &[&str]); 3] = [
    ("libcuda.so.1", &["kernels.cpp", "driver.cpp"]),
    ("libnvrtc.so.13", &["nvrtc.cpp"]),
    ("libcublasLt.so.13", &["cublaslt.cpp"]),
];

/// The folder with the libraries, which are built where they are not there yet.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build)
}

fn build() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (sources, kernels) = (package.join("tests/standin"), package.join("src/cuda/kernels.cu"));
    let mut files: Vec<PathBuf> = fs::read_dir(&sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.push(kernels.clone());
    files.push(package.join("tests/support/standin.rs"));
    files.sort();
    let contents: Vec<u8> = files.iter().flat_map(|file| fs::read(file).unwrap()).collect();
    let digest = Digest::of(&contents).to_string();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("standin-{}", &digest[..16]));
    if place.exists() {
        return place;
    }
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (library, parts) in LIBRARIES {
        let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
        let mut command = Command::new(compiler);
        command.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing"]);
        // It takes a jump to another stack, which `kernels.cpp` lives by, for an overflow.
        command.arg("-U_FORTIFY_SOURCE");
        command
            .arg(format!("-DKERNELS=\"{0}\"", kernels.display()))
            .arg(format!("-DKERNELS_PATH=\"{}\"", kernels.display()));
        command.args(parts.iter().map(|part| sources.join(part))).arg("-o").arg(scratch.path().join(library));
        command.arg(format!("-Wl,-soname,{library}"));
        if library != LIBRARIES[0].0 {
            command.arg(scratch.path().join(LIBRARIES[0].0));
        }
        let output = command.output().expect("a C++ compiler: install g++, or name one in CXX");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // What `cudarc` looks for first.
    std::os::unix::fs::symlink("libcuda.so.1", scratch.path().join("libcuda.so")).unwrap();
    // Another test binary may have built them at the same time.
    match fs::rename(scratch.path(), &place) {
        Err(error) => assert!(place.exists(), "{error}"),
        Ok(()) => _ = scratch.keep(),
    }
    place
}

/// The pretended machine, in this process. With TEST_ON_GPU set, the machine that this is.
pub fn machine() -> &'static Machine {
    static MACHINE: OnceLock<Machine> = OnceLock::new();
    MACHINE.get_or_init(|| {
        if std::env::var_os("TEST_ON_GPU").is_none() {
            // A library that is loaded is the one that is found by its name.
            LIBRARIES.iter().for_each(|(library, _)| std::mem::forget(open(library)));
        }
        let folder = std::env::var_os("CUDA_LIBRARIES").map(PathBuf::from);
        Machine::find(folder.as_deref()).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn open(library: &str) -> Library {
    // SAFETY: the stand-ins' initialisers have no preconditions.
    unsafe { Library::open(Some(folder().join(library)), RTLD_NOW | RTLD_GLOBAL) }.unwrap()
}

/// How many products have been done as parts of graphs in this process by each of the stand-in's three algorithms.
pub fn replayed() -> [i64; 3] {
    let library = open("libcublasLt.so.13");
    // SAFETY: the function has this type.
    let replayed = unsafe { library.get::<unsafe extern "C" fn(i32) -> i64>(b"standin_replayed") }.unwrap();
    // SAFETY: there are three algorithms.
    [0, 1, 2].map(|algorithm| unsafe { replayed(algorithm) })
}

/// An engine on the machine's first device.
pub fn engine(data: &std::sync::Arc<Data>, hyperparameters: &Hyperparameters, precision: Precision) -> CudaEngine {
    let machine = machine();
    let (device, data) = (machine.device(0).unwrap(), std::sync::Arc::clone(data));
    let engine = CudaEngine::new(device, &machine.libraries, data, hyperparameters, precision);
    engine.unwrap_or_else(|error| panic!("{error}"))
}
