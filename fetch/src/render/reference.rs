//! The mean letters of the sample that this program carries, to judge a few fonts by.

use std::io::{self, Read as _};
use std::ops::RangeInclusive;

use flate2::read::MultiGzDecoder;
use image::ImageFormat;

use super::selection::{Means, standardised};
use crate::datasets::{self, KnownSupply};

/// The sample's letters.
const LETTERS: RangeInclusive<char> = 'A'..='J';
/// Width and height of the sample's images in pixels.
const SIZE: u16 = 28;

/// The mean letters, if the sample has all of `letters` in that size.
pub fn means(letters: &[char], size: u16) -> Option<Means> {
    if size != SIZE || !letters.iter().all(|letter| LETTERS.contains(letter)) {
        return None;
    }
    let own = letters.iter().map(|&letter| place(letter)).collect();
    let sums = sums().expect("the sample can be decoded, as a test does");
    Some(Means { means: sums.into_iter().map(standardised).collect(), own })
}

fn place(letter: char) -> usize {
    letter as usize - *LETTERS.start() as usize
}

/// The sum of each letter's images.
fn sums() -> io::Result<Vec<Vec<u32>>> {
    let mut sums = vec![vec![0; usize::from(SIZE) * usize::from(SIZE)]; LETTERS.count()];
    let parts = datasets::find("sample").map_or(&[][..], |sample| sample.parts);
    for part in parts {
        let KnownSupply::Embedded(archive) = part.supply else { continue };
        let mut tar = tar::Archive::new(MultiGzDecoder::new(archive));
        let mut png = Vec::new();
        for entry in tar.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let class = path.parent().and_then(|class| class.file_name()?.to_str()?.chars().next());
            let Some(letter) = class.filter(|letter| LETTERS.contains(letter)) else { continue };
            png.clear();
            entry.read_to_end(&mut png)?;
            let image = image::load_from_memory_with_format(&png, ImageFormat::Png).map_err(io::Error::other)?;
            let pixels = image.into_luma8();
            for (sum, &pixel) in sums[place(letter)].iter_mut().zip(pixels.as_raw()) {
                *sum += u32::from(pixel);
            }
        }
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_a_mean_of_each_letter_that_is_most_like_itself() {
        let Means { means, own } = means(&['B', 'J'], 28).unwrap();
        assert_eq!((means.len(), own), (10, vec![1, 9]));
        for (one, mean) in means.iter().enumerate() {
            for (other, another) in means.iter().enumerate() {
                let coefficient: f64 = mean.iter().zip(another).map(|(a, b)| a * b).sum();
                assert!(if one == other { (coefficient - 1.0).abs() < 1e-9 } else { coefficient < 0.95 });
            }
        }
    }

    #[test]
    fn other_letters_or_sizes_have_no_reference() {
        assert!(means(&['A', 'K'], 28).is_none());
        assert!(means(&['a', 'b'], 28).is_none());
        assert!(means(&['A', 'B'], 32).is_none());
    }
}
