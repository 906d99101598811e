//! What every parser of files promises of any bytes: an error, or something that holds what it says. Never a panic.
//!
//! [`TARGETS`] are the parsers. The corpus lies in `corpus/TARGET/`: files that the parsers take, to begin with, and every
//! file that once made one panic. `tests/corpus.rs` replays it and changes it blindly, by [`Mutator`]; `make fuzz` lets
//! libFuzzer look further, led by the code that it reaches (`run`, `src/bin/fuzz.rs`).

mod mutate;
pub mod seeds;
mod targets;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use crate::mutate::Mutator;
pub use crate::targets::{TARGETS, Target};

/// The files to begin with.
///
/// # Errors
/// When the folder of the target's corpus cannot be read.
pub fn corpus(target: &Target) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        files.push((path, bytes));
    }
    files.sort();
    Ok(files)
}
