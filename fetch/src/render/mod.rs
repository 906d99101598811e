//! `fetch render`: an archive in notMNIST's layout out of any folder of fonts.
//!
//! # What notMNIST's glyphs look like
//! Measured on 8,000 images of `notMNIST_small`: 28x28 pixels, 8 bits of grey, white on black. The glyph is cropped to its
//! bounding box and *stretched* to the whole image, each axis by itself: all but 37 of the 8,000 touch the top and the
//! bottom row at a value above 16, all but 281 the left and the right column; a plain `I` is an all-white square. The
//! mean is 0.429 (0 black, 1 white), the standard deviation 0.460. 37 % of the pixels are 0 and 24 % are 255; 12 % lie
//! from 1 to 15 and 10 % from 240 to 254, as the faint rings about every edge that Lanczos' filter leaves.
//!
//! So a glyph is drawn here eight times as large, its bounding box on the edges, and shrunk with that filter.
//!
//! # The same fonts give the same bytes
//! Fonts are taken in the order of their names and digests, wherever they lie; drawing rounds alike on every machine (see
//! [`raster`]); archive entries carry no times and no owners.

mod font;
mod glyph;
mod options;
mod pack;
mod raster;
mod reference;
mod report;
mod selection;

use std::collections::BTreeMap;

use files::{Digest, Lock};
pub use options::RenderOptions;
use terminal::Console;

use self::font::{Font, LeftOut, Unfit};
use crate::error::Error;

/// Renders `options.fonts` to the archive `options.output`, with a list of the fonts beside it.
///
/// # Errors
/// When a folder cannot be read, no font is left, or the archive cannot be written. A font file that cannot be read is
/// left out with a warning.
pub fn render(options: &RenderOptions, console: &Console) -> Result<(), Error> {
    let root = options.archive_root()?;
    let _lock = Lock::beside(&options.output)?;
    let mut left_out = Vec::new();
    let drawn = draw_all(options, &mut left_out, console)?;
    let files = drawn.len() + left_out.len();

    let distinct = selection::without_repetitions(drawn, &mut left_out);
    let letters = selection::without_symbols(distinct, options, &mut left_out, console);
    let fonts = selection::thin_out_families(letters, options.max_per_family.map(|most| most as usize), &mut left_out);
    for (file, reason) in &left_out {
        let line = format!("left out `{}`: {reason}", file.path.display());
        match reason {
            Unfit::Refused(_) => console.warn(line),
            _ => console.detail(line),
        }
    }
    if files == 0 {
        return Err(Error::NoFontFile { folders: options.fonts.clone() });
    }
    if fonts.is_empty() {
        return Err(Error::NoFont { folders: options.fonts.clone(), files });
    }

    let digest = pack::write(&options.output, &root, &fonts, &options.classes.0, options.size)?;
    let list = report::write(&options.output, &fonts, &left_out)?;
    report::show(options, &fonts, &left_out, digest, &list, console);
    Ok(())
}

/// Draws all letters of every font that has them; files of the same bytes once.
fn draw_all(options: &RenderOptions, left_out: &mut Vec<LeftOut>, console: &Console) -> Result<Vec<Font>, Error> {
    let files = font::find(&options.fonts, left_out)?;
    console.say(format!("render: {} font files", files.len()));
    let progress = console.progress(files.len() as u64, "fonts").labelled("render");
    let mut first_with: BTreeMap<Digest, String> = BTreeMap::new();
    let mut fonts = Vec::new();
    for (mut file, digest) in files {
        progress.advance(1);
        if let Some(first) = first_with.get(&digest) {
            left_out.push((file, Unfit::SameFile(first.clone())));
            continue;
        }
        first_with.insert(digest, file.name.clone());
        match font::draw(&mut file, &options.classes.0, usize::from(options.size)) {
            Ok(glyphs) => fonts.push(Font { file, glyphs }),
            Err(reason) => left_out.push((file, reason)),
        }
    }
    Ok(fonts)
}
