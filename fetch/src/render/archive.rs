//! The archive: `ROOT/CLASS/NAME.png`, the same bytes for the same glyphs.
//!
//! Both compressors are plain Rust (flate2's `miniz_oxide`), which gives the same bytes on every processor; flate2's faster
//! `zlib-rs` and `zlib-ng` need not.

use std::io::{self, Write};
use std::path::Path;

use artifacts::{Digest, write_file};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use flate2::{Compression, GzBuilder};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};

use super::font::Font;
use crate::error::Error;

/// Writes the archive; returns its digest.
pub fn write(path: &Path, root: &str, fonts: &[Font], letters: &[char], size: u16) -> Result<Digest, Error> {
    let mut names: Vec<_> = fonts.iter().map(|font| (file_name(&font.file.name), font)).collect();
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

/// Base64 of the font's file name with `.png`, as notMNIST has it. Where the usual alphabet would give a `/`, which no
/// file name can hold, it is the URL-safe one (RFC 4648, section 5).
pub fn file_name(font: &str) -> String {
    let usual = STANDARD.encode(font);
    let encoded = if usual.contains('/') { URL_SAFE.encode(font) } else { usual };
    format!("{encoded}.png")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glyph_is_named_as_notmnist_s_are() {
        // notMNIST's own, and `printf %s NAME | base64`.
        assert_eq!(file_name("Romana Bold.pfb"), "Um9tYW5hIEJvbGQucGZi.png");
        assert_eq!(file_name("Élan?.ttf"), "w4lsYW4_LnR0Zg==.png");
    }
}
