//! Which of the fonts that draw all letters are taken.

use std::collections::{BTreeMap, BTreeSet};

use super::font::{Font, FontFile, Unfit};

/// With fewer fonts than this their mean letters are too much each font's own to judge it by.
const FEWEST_TO_COMPARE: usize = 20;

/// A font that was left out, and why.
pub type LeftOut = (FontFile, Unfit);

/// Leaves out fonts that draw the same glyphs as one before them, or have its name: `A.otf` and `A.ttf` are one design.
pub fn without_repetitions(fonts: Vec<Font>, left_out: &mut Vec<LeftOut>) -> Vec<Font> {
    let mut names = BTreeSet::new();
    let mut first_with: BTreeMap<Vec<Vec<u8>>, String> = BTreeMap::new();
    let mut taken = Vec::new();
    for font in fonts {
        if let Some(first) = first_with.get(&font.glyphs) {
            let first = first.clone();
            left_out.push((font.file, Unfit::SameGlyphs(first)));
        } else if !names.insert(stem(&font.file.name).to_lowercase()) {
            left_out.push((font.file, Unfit::SameName));
        } else {
            first_with.insert(font.glyphs.clone(), font.file.name.clone());
            taken.push(font);
        }
    }
    taken
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Leaves out fonts with pictures or another script in the letters' places.
///
/// Each glyph is correlated with the mean image of each letter over all fonts (Pearson's coefficient over the pixels, so
/// that a hairline counts as much as a fat face). Of a font of letters most glyphs are most like their own letter, of a
/// font of symbols about one in as many as there are letters. A font stays if at least 4 in 10 are. The means are then
/// taken anew without the fonts that went, until none goes.
pub fn without_symbols(mut fonts: Vec<Font>, left_out: &mut Vec<LeftOut>) -> Vec<Font> {
    while fonts.len() >= FEWEST_TO_COMPARE {
        let means = mean_glyphs(&fonts);
        let of = means.len();
        let (stay, go): (Vec<_>, Vec<_>) = fonts
            .into_iter()
            .map(|font| (letters_like_the_mean(&font, &means), font))
            .partition(|&(like, _)| 10 * like >= 4 * of);
        fonts = stay.into_iter().map(|(_, font)| font).collect();
        if go.is_empty() {
            break;
        }
        left_out.extend(go.into_iter().map(|(like, font)| (font.file, Unfit::Symbols { like, of })));
    }
    fonts
}

/// Leaves `most` fonts of each family: evenly spaced in the order of their names, so that a family's light, bold and
/// italic fonts all have their chance.
pub fn thin_out_families(fonts: Vec<Font>, most: Option<usize>, left_out: &mut Vec<LeftOut>) -> Vec<Font> {
    let Some(most) = most else { return fonts };
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for font in &fonts {
        *sizes.entry(font.file.family.clone()).or_default() += 1;
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let (taken, surplus): (Vec<_>, Vec<_>) = fonts.into_iter().partition(|font| {
        let size = sizes[&font.file.family];
        let place = places.entry(font.file.family.clone()).or_default();
        *place += 1;
        // The place-th of size fonts is taken where the line from 0 to `most` steps over a whole number.
        *place * most.min(size) / size > (*place - 1) * most.min(size) / size
    });
    left_out.extend(surplus.into_iter().map(|font| (font.file, Unfit::Family(most))));
    taken
}

/// The mean of each letter over all fonts, less its own mean over the pixels and of length 1.
fn mean_glyphs(fonts: &[Font]) -> Vec<Vec<f64>> {
    let letters = fonts[0].glyphs.len();
    let mut sums = vec![vec![0_u32; fonts[0].glyphs[0].len()]; letters];
    for font in fonts {
        for (sum, glyph) in sums.iter_mut().zip(&font.glyphs) {
            sum.iter_mut().zip(glyph).for_each(|(sum, &pixel)| *sum += u32::from(pixel));
        }
    }
    let standardised = |sum: Vec<u32>| {
        let mean = sum.iter().copied().map(f64::from).sum::<f64>() / sum.len() as f64;
        let centred: Vec<f64> = sum.into_iter().map(|value| f64::from(value) - mean).collect();
        let length = centred.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        centred.into_iter().map(|value| value / length).collect()
    };
    sums.into_iter().map(standardised).collect()
}

/// How many of the font's letters are more like their own mean than like another letter's.
fn letters_like_the_mean(font: &Font, means: &[Vec<f64>]) -> usize {
    // The means are centred and of length 1, so the product differs from the coefficient by a factor of the glyph's.
    let likeness =
        |glyph: &[u8], mean: &[f64]| glyph.iter().zip(mean).map(|(&pixel, mean)| f64::from(pixel) * mean).sum::<f64>();
    let is_own = |(index, glyph): &(usize, &Vec<u8>)| {
        let own = likeness(glyph, &means[*index]);
        means.iter().enumerate().all(|(other, mean)| other == *index || likeness(glyph, mean) < own)
    };
    font.glyphs.iter().enumerate().filter(is_own).count()
}
