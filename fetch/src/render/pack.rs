//! The archive: `ROOT/CLASS/NAME.png`, the same bytes for the same glyphs.
//!
//! Both compressors are plain Rust (flate2's `miniz_oxide`), which gives the same bytes on every processor; flate2's faster
//! `zlib-rs` and `zlib-ng` need not.

use std::io::{self, Write};
use std::path::Path;

use artifacts::glyph_name;
use files::{Digest, write_file};
use flate2::{Compression, GzBuilder};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};

use super::font::Font;
use crate::error::Error;

/// Writes the archive; returns its digest.
pub fn write(path: &Path, root: &str, fonts: &[Font], letters: &[char], size: u16) -> Result<Digest, Error> {
    let mut names: Vec<_> = fonts.iter().map(|font| (glyph_name(&font.file.name), font)).collect();
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    let digest = write_file(path, |file| {
        // 255 is "unknown" (RFC 1952): not the system that it happens to be written on.
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(file, Compression::best());
        let mut tar = tar::Builder::new(gzip);
        for (class, letter) in letters.iter().enumerate() {
            for (name, font) in &names {
                let image = png(&font.glyphs[class], size)?;
                append(&mut tar, &format!("{root}/{letter}/{name}"), &image)?;
            }
        }
        tar.into_inner()?.finish()?.flush()
    })?;
    Ok(digest)
}

fn png(pixels: &[u8], size: u16) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter)
        .write_image(pixels, u32::from(size), u32::from(size), ExtendedColorType::L8)
        .map_err(io::Error::other)?;
    Ok(bytes)
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, bytes)
}
