//! What the first bytes of a PNG file say (PNG specification, third edition, section 11.2.2, IHDR).

use std::collections::BTreeMap;

/// What every PNG file starts with.
pub const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A larger image is refused before it is allocated.
pub const MOST_PIXELS_A_SIDE: usize = 2048;

/// The signature, the length and name of the first chunk, width, height, bit depth and colour type.
const LENGTH: usize = 26;

/// Height and width of images, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// A PNG file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of the image.
    pub size: Size,
    bit_depth: u8,
    colour_type: u8,
    /// Whether one of its colours is transparent, which another chunk tells (tRNS).
    has_transparent_colour: bool,
}

impl Header {
    /// Reads the first bytes of a file.
    ///
    /// # Errors
    /// Says why they are no PNG file's.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty".to_owned());
        }
        if !bytes.starts_with(SIGNATURE) {
            let other = image::guess_format(bytes).ok().map(|format| format!(" but {}", format.to_mime_type()));
            return Err(format!("it is no PNG file{}", other.unwrap_or_default()));
        }
        let Some((start, _)) = bytes.split_first_chunk::<LENGTH>() else {
            return Err("it ends within its header".to_owned());
        };
        let number = |at: usize| u32::from_be_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]) as usize;
        let size = Size { height: number(20), width: number(16) };
        if size.height > MOST_PIXELS_A_SIDE || size.width > MOST_PIXELS_A_SIDE {
            return Err(format!("it is {size}; at most {MOST_PIXELS_A_SIDE} a side are read"));
        }
        Ok(Self { size, bit_depth: start[24], colour_type: start[25], has_transparent_colour: false })
    }

    /// Takes note of whether the image, once decoded, had transparency.
    pub fn set_has_alpha(&mut self, has_alpha: bool) {
        self.has_transparent_colour = has_alpha && ![4, 6].contains(&self.colour_type);
    }

    /// What the image has to be converted from, if it is not 8-bit grey.
    pub fn other_colour(&self) -> Option<String> {
        let colour = match self.colour_type {
            0 if self.bit_depth == 8 && !self.has_transparent_colour => return None,
            0 => "grey",
            2 => "rgb",
            3 => "palette",
            4 => "grey with alpha",
            6 => "rgb with alpha",
            _ => "unknown",
        };
        let transparency = if self.has_transparent_colour { " with a transparent colour" } else { "" };
        Some(format!("{colour}{transparency}, {}-bit", self.bit_depth))
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} pixels high and {} wide", self.height, self.width)
    }
}

/// The most common size; of several, the smallest; of none, none by none.
pub fn most_common_size(headers: impl Iterator<Item = Header>) -> Size {
    let mut counts: BTreeMap<Size, usize> = BTreeMap::new();
    for header in headers {
        *counts.entry(header.size).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let size = counts.into_iter().find(|&(_, count)| count == most).map(|(size, _)| size);
    size.unwrap_or(Size { height: 0, width: 0 })
}
