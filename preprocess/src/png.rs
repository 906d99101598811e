//! The short way through a PNG file of the commonest form: 8-bit grey, not interlaced, one chunk of data.
//!
//! It takes nothing on trust: the checksums of all chunks and of the data, the lengths, the filters and the end must be
//! right, and no chunk may be there that does not belong to this form; bytes behind the compressed data are passed over, as
//! `image` passes over them. Any other file is left to that crate, which decodes it or says what is wrong with it. What the
//! short way takes, `image` takes with the same pixels, but for codes that no encoder writes (such as one of a single length),
//! which libdeflate may read where others refuse (PNG specification, third edition, sections 5, 7.3, 9 and 10).

use std::fmt;

use libdeflater::{Decompressor, crc32};

use crate::header::{Header, SIGNATURE};

/// Room behind the rows: libdeflate fills all but the last few hundred bytes of its room quickly.
const ROOM: usize = 512;

/// Decodes one file after another without allocating.
pub struct ShortWay {
    inflate: Decompressor,
    /// The rows of an image, each behind the number of its filter.
    rows: Vec<u8>,
}

impl fmt::Debug for ShortWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortWay").finish_non_exhaustive()
    }
}

impl ShortWay {
    /// A decoder.
    pub fn new() -> Self {
        Self { inflate: Decompressor::new(), rows: Vec::new() }
    }

    /// Appends the pixels of a file with this header to `pixels`. `None` says that it is not of the commonest form, or not
    /// whole; then `pixels` is as it was.
    pub fn decode(&mut self, bytes: &[u8], header: Header, pixels: &mut Vec<u8>) -> Option<()> {
        let (first, rest) = chunk(bytes.strip_prefix(SIGNATURE)?)?;
        let (data, rest) = chunk(rest)?;
        let (last, rest) = chunk(rest)?;
        // Width and height, then bit depth, colour type, compression, filter method and interlacing.
        let is_common = first.name == b"IHDR" && first.data.get(8..) == Some(&[8, 0, 0, 0, 0]);
        let is_whole = data.name == b"IDAT" && last.name == b"IEND" && last.data.is_empty() && rest.is_empty();
        let (height, width) = (header.size.height, header.size.width);
        if !is_common || !is_whole || height == 0 || width == 0 {
            return None;
        }
        let bytes_of_rows = height * (width + 1);
        self.rows.resize(bytes_of_rows + ROOM, 0);
        let inflated = self.inflate.zlib_decompress(data.data, &mut self.rows).ok()?;
        let rows = self.rows[..bytes_of_rows].chunks_exact(width + 1);
        if inflated != bytes_of_rows || rows.clone().any(|row| row[0] > 4) {
            return None;
        }
        let start = pixels.len();
        pixels.resize(start + height * width, 0);
        let mut above = &[][..];
        for (index, (filtered, row)) in rows.zip(pixels[start..].chunks_exact_mut(width)).enumerate() {
            row.copy_from_slice(&filtered[1..]);
            unfilter(filtered[0], above, row, index == 0);
            above = row;
        }
        Some(())
    }
}

/// A chunk, and what follows it.
struct Chunk<'a> {
    name: &'a [u8],
    data: &'a [u8],
}

/// The first chunk of `bytes`, if its checksum is right.
fn chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (checked, rest) = rest.split_at_checked(length.checked_add(4)?)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let (name, data) = checked.split_at(4);
    (crc32(checked) == u32::from_be_bytes(*checksum)).then_some((Chunk { name, data }, rest))
}

/// Whether the checksum of the chunk that makes pixels transparent is wrong: `image` passes such a chunk over, and would take
/// other pixels for the file's.
pub fn transparency_is_damaged(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(SIGNATURE.len()..).unwrap_or_default();
    while let Some((length, from_name)) = rest.split_first_chunk() {
        if from_name.starts_with(b"tRNS") {
            return chunk(rest).is_none();
        }
        // It stands before the pixels.
        let next = (u32::from_be_bytes(*length) as usize).checked_add(12).and_then(|bytes| rest.get(bytes..));
        match next {
            Some(next) if !from_name.starts_with(b"IDAT") => rest = next,
            _ => return false,
        }
    }
    false
}

/// Turns the filtered bytes of a row of one-byte pixels into what they were; `above` is the row before.
fn unfilter(filter: u8, above: &[u8], row: &mut [u8], is_first: bool) {
    match (filter, is_first) {
        (0, _) | (2, true) => {}
        // With zeros above, Paeth's predictor is the pixel to the left.
        (1, _) | (4, true) => {
            let mut left = 0_u8;
            for value in row {
                *value = value.wrapping_add(left);
                left = *value;
            }
        }
        (2, false) => row.iter_mut().zip(above).for_each(|(value, up)| *value = value.wrapping_add(*up)),
        (3, _) => {
            let mut left = 0_u8;
            for (index, value) in row.iter_mut().enumerate() {
                let up = if is_first { 0 } else { above[index] };
                *value = value.wrapping_add(left.midpoint(up));
                left = *value;
            }
        }
        _ => {
            let (mut left, mut up_left) = (0_u8, 0_u8);
            for (value, &up) in row.iter_mut().zip(above) {
                *value = value.wrapping_add(paeth(left, up, up_left));
                (left, up_left) = (*value, up);
            }
        }
    }
}

/// Of the three neighbours the one nearest to `left + up - up_left`; of several, in this order.
fn paeth(left: u8, up: u8, up_left: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(up), i16::from(up_left));
    let (to_left, to_up, to_up_left) = ((b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs());
    if to_left <= to_up && to_left <= to_up_left {
        left
    } else if to_up <= to_up_left {
        up
    } else {
        up_left
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{ExtendedColorType, ImageEncoder as _};
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, pixels: &[u8], filter: FilterType) -> Vec<u8> {
        let mut bytes = Vec::new();
        let height = pixels.len() as u32 / width;
        PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, filter)
            .write_image(pixels, width, height, ExtendedColorType::L8)
            .unwrap();
        bytes
    }

    fn short_way(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut pixels = vec![1, 2, 3];
        let taken = ShortWay::new().decode(bytes, Header::read(bytes).ok()?, &mut pixels);
        assert!(pixels.starts_with(&[1, 2, 3]) && (taken.is_some() || pixels.len() == 3));
        taken.map(|()| pixels.split_off(3))
    }

    #[test]
    fn a_transparency_whose_checksum_is_wrong_is_found() {
        let whole = png(4, &[7; 12], FilterType::NoFilter);
        let chunk = [&b"tRNS"[..], &[0, 7]].concat();
        let with =
            |checksum: u32| [&whole[..33], &[0, 0, 0, 2], &chunk, &checksum.to_be_bytes(), &whole[33..]].concat();
        let right = with(crc32(&chunk));
        assert!(!transparency_is_damaged(&whole) && !transparency_is_damaged(&right));
        assert!(transparency_is_damaged(&with(crc32(&chunk) ^ 1)));
        assert!((0..=whole.len()).all(|length| !transparency_is_damaged(&whole[..length])));
        assert!(transparency_is_damaged(&right[..46]), "it is cut in its checksum");
    }

    fn filters() -> impl Strategy<Value = FilterType> {
        use FilterType::{Adaptive, Avg, NoFilter, Paeth, Sub, Up};
        prop::sample::select(vec![NoFilter, Sub, Up, Avg, Paeth, Adaptive])
    }

    proptest! {
        #[test]
        fn images_of_the_commonest_form_keep_their_pixels_whatever_the_filter(
            width in 1..20_u32,
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 20), 1..20),
            filter in filters(),
        ) {
            let pixels: Vec<u8> = rows.iter().flat_map(|row| &row[..width as usize]).copied().collect();
            prop_assert_eq!(short_way(&png(width, &pixels, filter)), Some(pixels));
        }

        /// Also with bytes behind the data, and with a checksum that was made to fit the change.
        #[test]
        fn what_the_short_way_takes_of_damaged_files_image_takes_with_the_same_pixels(
            filter in filters(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            behind in prop::collection::vec(any::<u8>(), 0..3),
            mend in any::<bool>(),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = png(6, &[0, 9, 9, 200, 17, 4, 255, 255, 1, 2, 90, 91, 92, 93, 94, 95, 96, 0], filter);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if mend {
                let (length, name, end) = (33, 37, bytes.len() - 16);
                bytes.splice(end..end, behind.iter().copied());
                let end = end + behind.len();
                let data = (end - name - 4) as u32;
                bytes[length..name].copy_from_slice(&data.to_be_bytes());
                let checksum = crc32(&bytes[name..end]);
                bytes[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Some(pixels) = short_way(&bytes) {
                let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png).unwrap();
                prop_assert_eq!(image.into_luma8().into_raw(), pixels);
            }
        }
    }
}
