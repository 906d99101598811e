//! What the tests share.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use files::Digest;

/// Every file below a folder, with the digest of its bytes, but what the clock said.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("timings-stages.json") {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), Digest::of(&fs::read(&path).unwrap()));
            }
        }
    }
    files
}
