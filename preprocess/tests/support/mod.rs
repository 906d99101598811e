//! What the tests share.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Output;

use files::Digest;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};

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

/// What a program said.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An image of this width and height, at most 32 pixels, which no other class or index has.
pub fn glyph(class: &str, index: u32, [width, height]: [u32; 2]) -> GrayImage {
    let digest = Digest::of(format!("{class} {index}").as_bytes());
    GrayImage::from_fn(width, height, |x, y| Luma([digest.as_bytes()[(width * y + x) as usize]]))
}

/// An image's file.
pub fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}
