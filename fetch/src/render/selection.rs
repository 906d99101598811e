//! Which of the fonts that draw all letters are taken.

use std::collections::{BTreeMap, BTreeSet};

use terminal::Console;

use super::font::{Font, LeftOut, Unfit};
use super::options::RenderOptions;
use super::reference;

/// With fewer fonts than this their mean letters are too much each font's own to judge it by.
const FEWEST_TO_COMPARE: usize = 20;

/// Mean letters to judge fonts by.
#[derive(Debug)]
pub struct Means {
    /// Standardised images of `size * size` pixels.
    pub means: Vec<Vec<f64>>,
    /// Which of them is the one of a font's first letter, of its second letter, and so on.
    pub own: Vec<usize>,
}

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
///
/// A few fonts are compared with the sample's mean letters instead, where it has these letters in this size. Where it has
/// not, a warning says that they were not compared.
pub fn without_symbols(
    mut fonts: Vec<Font>,
    options: &RenderOptions,
    left_out: &mut Vec<LeftOut>,
    console: &Console,
) -> Vec<Font> {
    if options.keep_symbols || fonts.is_empty() {
        return fonts;
    }
    if fonts.len() < FEWEST_TO_COMPARE {
        if let Some(means) = reference::means(&options.classes.0, options.size) {
            return those_like(&means, fonts, left_out);
        }
        console.warn(format!(
            "whether the fonts show letters or symbols was not checked: that takes {FEWEST_TO_COMPARE} fonts, or letters \
             among A-J of 28 pixels"
        ));
        return fonts;
    }
    while fonts.len() >= FEWEST_TO_COMPARE {
        let before = fonts.len();
        let means = mean_glyphs(&fonts);
        fonts = those_like(&means, fonts, left_out);
        if fonts.len() == before {
            break;
        }
    }
    fonts
}

/// The fonts of whose letters at least 4 in 10 are most like their own mean.
fn those_like(means: &Means, fonts: Vec<Font>, left_out: &mut Vec<LeftOut>) -> Vec<Font> {
    let of = means.own.len();
    let (stay, go): (Vec<_>, Vec<_>) = fonts
        .into_iter()
        .map(|font| (letters_like_the_mean(&font, means), font))
        .partition(|&(like, _)| 10 * like >= 4 * of);
    left_out.extend(go.into_iter().map(|(like, font)| (font.file, Unfit::Symbols { like, of })));
    stay.into_iter().map(|(_, font)| font).collect()
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

/// The mean of each letter over all fonts.
fn mean_glyphs(fonts: &[Font]) -> Means {
    let letters = fonts[0].glyphs.len();
    let mut sums = vec![vec![0_u32; fonts[0].glyphs[0].len()]; letters];
    for font in fonts {
        for (sum, glyph) in sums.iter_mut().zip(&font.glyphs) {
            sum.iter_mut().zip(glyph).for_each(|(sum, &pixel)| *sum += u32::from(pixel));
        }
    }
    Means { means: sums.into_iter().map(standardised).collect(), own: (0..letters).collect() }
}

/// A sum of images, less its own mean over the pixels and of length 1.
pub fn standardised(sum: Vec<u32>) -> Vec<f64> {
    let mean = sum.iter().copied().map(f64::from).sum::<f64>() / sum.len() as f64;
    let centred: Vec<f64> = sum.into_iter().map(|value| f64::from(value) - mean).collect();
    let length = centred.iter().map(|value| value * value).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    centred.into_iter().map(|value| value / length).collect()
}

/// How many of the font's letters are more like their own mean than like another letter's.
fn letters_like_the_mean(font: &Font, Means { means, own }: &Means) -> usize {
    // The means are centred and of length 1, so the product differs from the coefficient by a factor of the glyph's.
    let likeness =
        |glyph: &[u8], mean: &[f64]| glyph.iter().zip(mean).map(|(&pixel, mean)| f64::from(pixel) * mean).sum::<f64>();
    let is_own = |(glyph, own): &(&Vec<u8>, &usize)| {
        let to_own = likeness(glyph, &means[**own]);
        means.iter().enumerate().all(|(other, mean)| other == **own || likeness(glyph, mean) < to_own)
    };
    font.glyphs.iter().zip(own).filter(is_own).count()
}
