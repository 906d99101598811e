//! Which image is for training, validation or testing.
//!
//! Images of one font go to the same split, and every class keeps its share in each. The order in which fonts are dealt
//! is that of the digests of their names with the seed, so it depends on nothing else: not on the order of the files, and
//! hardly on the other fonts.

use artifacts::{Digest, SplitName, font_of};
use rayon::prelude::*;

use crate::decode::DecodedImage;
use crate::error::Error;
use crate::folders::Folders;
use crate::options::Options;

/// An image with its place in the data set.
#[derive(Debug)]
pub struct Assigned<'a> {
    /// Its name in every artifact.
    pub name: &'a str,
    /// Where its pixels begin in the scratch file.
    pub at: u64,
    /// SHA-256 of its pixels.
    pub pixels: Digest,
    /// The index of its class.
    pub label: u8,
    /// The font that its name tells.
    pub font: Option<String>,
    /// Its split.
    pub split: SplitName,
    /// Whether it stays in it.
    pub kept: bool,
}

/// Gives every image a split.
pub fn assign<'a>(
    folders: &'a Folders,
    images: &[DecodedImage],
    options: &Options,
) -> Result<Vec<Assigned<'a>>, Error> {
    let test_fraction = if folders.has_test_part { 0.0 } else { options.test_fraction };
    let valid_fraction = options.valid_fraction;
    if test_fraction + valid_fraction >= 1.0 {
        return Err(Error::Fractions { test_fraction, valid_fraction });
    }
    let mut assigned: Vec<_> = images
        .par_iter()
        .map(|image| {
            let file = &folders.files[image.file];
            let split = if file.is_test { SplitName::Test } else { SplitName::Train };
            let (font, label) = (font_of(&file.name), file.label);
            Assigned { name: &file.name, at: image.at, pixels: image.pixels, label, font, split, kept: true }
        })
        .collect();

    let groups = groups_in_random_order(&assigned, options.seed);
    let classes = folders.classes.len();
    let mut dealt = vec![false; groups.len()];
    for (split, fraction) in [(SplitName::Test, test_fraction), (SplitName::Valid, valid_fraction)] {
        for group in deal(&groups, &mut dealt, classes, fraction) {
            for &image in &groups[group].images {
                assigned[image].split = split;
            }
        }
    }
    Ok(assigned)
}

/// Images that must not be separated.
#[derive(Debug)]
struct Group {
    images: Vec<usize>,
    /// How many images of which label.
    labels: Vec<(u8, usize)>,
}

/// The training part's images by font, in the order of the digests of their keys; an image without a font is a group
/// of its own.
fn groups_in_random_order(images: &[Assigned<'_>], seed: u64) -> Vec<Group> {
    let mut keyed: Vec<_> = images
        .par_iter()
        .enumerate()
        .filter(|(_, image)| image.split == SplitName::Train)
        .map(|(index, image)| {
            let key = image.font.as_deref().map_or((false, image.name), |font| (true, font));
            (random_key(seed, "split", key.1), key, index)
        })
        .collect();
    keyed.par_sort_unstable();
    let groups: Vec<_> = keyed.chunk_by(|(_, one, _), (_, other, _)| one == other).collect();
    groups
        .into_par_iter()
        .map(|group| {
            let members: Vec<usize> = group.iter().map(|&(.., index)| index).collect();
            let mut labels: Vec<(u8, usize)> = Vec::new();
            for &member in &members {
                let label = images[member].label;
                match labels.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, count)) => *count += 1,
                    None => labels.push((label, 1)),
                }
            }
            Group { images: members, labels }
        })
        .collect()
}

/// Chooses groups for a split that is to have `fraction` of each class: in order, every group that brings the counts
/// nearer to their targets, as the sum of absolute differences over the classes.
fn deal(groups: &[Group], dealt: &mut [bool], classes: usize, fraction: f64) -> Vec<usize> {
    let mut totals = vec![0.0; classes];
    for (label, count) in groups.iter().flat_map(|group| &group.labels) {
        totals[usize::from(*label)] += *count as f64;
    }
    let mut missing: Vec<f64> = totals.iter().map(|total| (total * fraction).round()).collect();
    let mut chosen = Vec::new();
    for (index, group) in groups.iter().enumerate().filter(|&(index, _)| !dealt[index]) {
        let gain: f64 = group
            .labels
            .iter()
            .map(|&(label, count)| {
                let missing = missing[usize::from(label)];
                missing.abs() - (missing - count as f64).abs()
            })
            .sum();
        if gain > 0.0 {
            group.labels.iter().for_each(|&(label, count)| missing[usize::from(label)] -= count as f64);
            chosen.push(index);
        }
    }
    chosen.iter().for_each(|&index| dealt[index] = true);
    chosen
}

/// A sort key that is random in `text`, and differs by seed and purpose.
pub fn random_key(seed: u64, purpose: &str, text: &str) -> Digest {
    Digest::of(format!("{seed} {purpose} {text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::folders::ImageFile;

    /// The split of each image, by (whether it has a font, font, class): every fourth font's images have names of their own.
    fn splits_by_name(of: &[(u8, u8)], seed: u64) -> BTreeMap<(bool, String, u8), SplitName> {
        let is_named = |font: u8| font % 4 != 0;
        let name = |font: u8, class: u8| {
            let font =
                if is_named(font) { STANDARD.encode(format!("{font:03}.ttf")) } else { format!("{font}-{class}") };
            format!("{class}/{font}.png")
        };
        let file = |&(font, label): &(u8, u8)| ImageFile { name: name(font, label), label, is_test: false };
        let folders = Folders {
            name: String::new(),
            classes: ["0", "1", "2"].map(str::to_owned).to_vec(),
            files: of.iter().map(file).collect(),
            has_test_part: false,
            source_digests: BTreeMap::new(),
            place: PathBuf::new(),
        };
        let images: Vec<_> = (0..of.len())
            .map(|file| DecodedImage { file, at: 0, pixels: Digest::of(folders.files[file].name.as_bytes()) })
            .collect();
        let options = Options {
            input: None,
            test_input: None,
            archive: None,
            test_archive: None,
            output: PathBuf::new(),
            name: None,
            valid_fraction: 0.2,
            test_fraction: 0.2,
            max_rejects: 0.0,
            shard_size: 1,
            seed,
            threads: None,
            limits: archive::Limits { max_files: 0, max_unpacked_bytes: 0 },
        };
        let assigned = assign(&folders, &images, &options).unwrap();
        let key = |&(font, class): &(u8, u8)| {
            let group = if is_named(font) { format!("{font:03}") } else { format!("{font}-{class}") };
            (is_named(font), group, class)
        };
        of.iter().zip(&assigned).map(|(of, image)| (key(of), image.split)).collect()
    }

    fn groups_of(sizes: &[Vec<usize>]) -> Vec<Group> {
        let labelled =
            |counts: &Vec<usize>| (0..=u8::MAX).zip(counts.iter().copied()).filter(|&(_, count)| count > 0).collect();
        sizes.iter().map(|counts| Group { images: Vec::new(), labels: labelled(counts) }).collect()
    }

    #[test]
    fn images_that_stand_alone_are_dealt_to_the_very_share() {
        let groups = groups_of(&vec![vec![1, 0]; 200].into_iter().chain(vec![vec![0, 1]; 50]).collect::<Vec<_>>());
        let chosen = deal(&groups, &mut vec![false; 250], 2, 0.1);
        assert_eq!(chosen.iter().filter(|&&group| group < 200).count(), 20);
        assert_eq!(chosen.iter().filter(|&&group| group >= 200).count(), 5);
    }

    proptest! {
        /// Once the groups on offer can fill a class, no class is off its target by more than the largest group.
        #[test]
        fn every_class_is_within_the_largest_font_of_its_share(
            sizes in prop::collection::vec(1..4usize, 100..300),
            fraction in 0.05..0.3,
        ) {
            let fonts: Vec<_> = sizes.iter().map(|&size| vec![size; 3]).collect();
            let groups = groups_of(&fonts);
            let chosen = deal(&groups, &mut vec![false; groups.len()], 3, fraction);
            let target = sizes.iter().sum::<usize>() as f64 * fraction;
            let found = chosen.iter().map(|&group| sizes[group]).sum::<usize>() as f64;
            prop_assert!((found - target).abs() <= 3.0, "{found} of {target}");
        }

        /// Whatever the order in which the files are listed.
        #[test]
        fn every_font_is_in_one_split_and_an_image_s_split_is_its_name_s(
            of in prop::collection::btree_set((0..40_u8, 0..3_u8), 1..60),
            swaps in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 0..80),
            seed in any::<u64>(),
        ) {
            let mut of: Vec<_> = of.into_iter().collect();
            let splits = splits_by_name(&of, seed);
            for ((one, split), (other, other_split)) in splits.iter().zip(splits.iter().skip(1)) {
                prop_assert!(one.1 != other.1 || split == other_split, "{one:?} and {other:?}");
            }
            for (one, other) in swaps {
                let (one, other) = (one.index(of.len()), other.index(of.len()));
                of.swap(one, other);
            }
            prop_assert_eq!(splits_by_name(&of, seed), splits);
        }

        /// A group that one split has taken is on offer to no other.
        #[test]
        fn no_font_is_dealt_twice(sizes in prop::collection::vec(1..9usize, 1..200), fraction in 0.0..0.5) {
            let groups = groups_of(&sizes.iter().map(|&size| vec![size]).collect::<Vec<_>>());
            let mut dealt = vec![false; groups.len()];
            let test = deal(&groups, &mut dealt, 1, fraction);
            let valid = deal(&groups, &mut dealt, 1, fraction);
            prop_assert!(test.iter().all(|group| !valid.contains(group)));
        }
    }
}
