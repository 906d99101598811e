//! Writes the files that the corpus begins with: `cargo run --package fuzz --bin seeds`, after a change of a schema.

use std::path::Path;

fn main() -> Result<(), train::Error> {
    fuzz::seeds::write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"))
}
