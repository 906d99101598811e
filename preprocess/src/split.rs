//! Which image is for training, validation or testing.
//!
//! Images of one font go to the same split, and every class keeps its share in each. The order in which fonts are dealt
//! is that of the digests of their names with the seed, so it depends on nothing else: not on the order of the files, and
//! hardly on the other fonts.

use std::path::Path;

use artifacts::{SplitName, font_of};
use files::Digest;
use rayon::prelude::*;
use scratch::{FileVec, Name, Names};

use crate::decode::DecodedImage;
use crate::error::Error;
use crate::folders::{Folders, ImageFile};
use crate::options::Options;

/// An image with its place in the data set.
#[derive(Debug, Clone, Copy)]
pub struct Assigned {
    /// Its name in every artifact.
    pub name: Name,
    /// Where its pixels begin in the scratch file.
    pub at: u64,
    /// SHA-256 of its pixels.
    pub pixels: Digest,
    /// The index of its class.
    pub label: u8,
    /// Whether it is of the test part, and so in the test split from the beginning.
    pub is_test: bool,
    /// Its split.
    pub split: SplitName,
    /// Whether it stays in it.
    pub kept: bool,
}

/// An image in the group that it must not be separated from: the images of its font, or itself alone where its name tells
/// no font. The order is that of the groups' keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Of the font or the name, random.
    key: Digest,
    /// Whether its name tells a font.
    pub has_font: bool,
    /// The image's index.
    pub image: usize,
}

impl Member {
    /// Whether both are in one group.
    pub fn is_with(&self, other: &Self) -> bool {
        (self.key, self.has_font) == (other.key, other.has_font)
    }
}

/// The shares of the training part's images to test and to validate on.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    test: f64,
    valid: f64,
}

impl Shares {
    /// Those of `options`; where there is a test part, that is tested on.
    ///
    /// # Errors
    /// When they leave nothing to train on.
    pub fn of(options: &Options, has_test_part: bool) -> Result<Self, Error> {
        let test_fraction = if has_test_part { 0.0 } else { options.test_fraction };
        let valid_fraction = options.valid_fraction;
        if test_fraction + valid_fraction >= 1.0 {
            return Err(Error::Fractions { test_fraction, valid_fraction });
        }
        Ok(Self { test: test_fraction, valid: valid_fraction })
    }
}

/// Gives every image a split, by `seed`; returns them with their groups. Both are kept in `scratch`.
pub fn assign(
    folders: &Folders,
    images: &[DecodedImage],
    shares: Shares,
    seed: u64,
    scratch: &Path,
) -> Result<(FileVec<Assigned>, FileVec<Member>), Error> {
    let mut assigned = FileVec::from_fn(scratch, images.len(), |index| {
        let DecodedImage { file, at, pixels } = images[index];
        let ImageFile { name, label, is_test } = folders.files[file];
        let split = if is_test { SplitName::Test } else { SplitName::Train };
        Assigned { name, at, pixels, label, is_test, split, kept: true }
    })?;
    let groups = groups_in_random_order(&assigned, &folders.names, seed, scratch)?;
    for (split, fraction) in [(SplitName::Test, shares.test), (SplitName::Valid, shares.valid)] {
        deal(&mut assigned, &groups, folders.classes.len(), split, fraction);
    }
    Ok((assigned, groups))
}

/// All images, group by group, in the order of the digests of the groups' fonts or names.
fn groups_in_random_order(
    images: &[Assigned],
    names: &Names,
    seed: u64,
    scratch: &Path,
) -> Result<FileVec<Member>, Error> {
    let random_key = random_keys(seed, "split");
    let mut members = FileVec::from_fn(scratch, images.len(), |image| {
        let name = names.text(images[image].name);
        let font = font_of(name);
        Member { key: random_key(font.as_deref().unwrap_or(name).as_bytes()), has_font: font.is_some(), image }
    })?;
    members.par_sort_unstable();
    Ok(members)
}

/// Gives groups of the training part to a split that is to have `fraction` of each class: in order, every group that no
/// other split has and that brings the counts nearer to their targets, as the sum of absolute differences over the classes.
fn deal(images: &mut [Assigned], groups: &[Member], classes: usize, split: SplitName, fraction: f64) {
    let mut totals = vec![0.0; classes];
    images.iter().filter(|image| !image.is_test).for_each(|image| totals[usize::from(image.label)] += 1.0);
    let mut missing: Vec<f64> = totals.iter().map(|total| (total * fraction).round()).collect();
    let mut counts = vec![0.0; classes];
    for group in groups.chunk_by(Member::is_with) {
        counts.fill(0.0);
        let on_offer = |image: &Assigned| !image.is_test && image.split == SplitName::Train;
        for image in group.iter().map(|member| &images[member.image]).filter(|image| on_offer(image)) {
            counts[usize::from(image.label)] += 1.0;
        }
        let gain: f64 =
            missing.iter().zip(&counts).map(|(missing, count)| missing.abs() - (missing - count).abs()).sum();
        if gain > 0.0 {
            missing.iter_mut().zip(&counts).for_each(|(missing, count)| *missing -= count);
            for member in group {
                let image = &mut images[member.image];
                if on_offer(image) {
                    image.split = split;
                }
            }
        }
    }
}

/// Sort keys that are random in a text, and differ by seed and purpose.
pub fn random_keys(seed: u64, purpose: &str) -> impl Fn(&[u8]) -> Digest + Sync {
    let start = format!("{seed} {purpose} ");
    move |text| Digest::of_parts(&[start.as_bytes(), text])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// The split of each image, by (whether it has a font, font, class): every fourth font's images have names of their own.
    fn splits_by_name(of: &[(u8, u8)], seed: u64) -> BTreeMap<(bool, String, u8), SplitName> {
        let is_named = |font: u8| !font.is_multiple_of(4);
        let name = |font: u8, class: u8| {
            let font =
                if is_named(font) { STANDARD.encode(format!("{font:03}.ttf")) } else { format!("{font}-{class}") };
            format!("{class}/{font}.png")
        };
        let scratch = tempfile::tempdir().unwrap();
        let (mut names, mut files) = (Names::new(scratch.path()).unwrap(), FileVec::new(scratch.path()).unwrap());
        let mut images = Vec::new();
        for (file, &(font, label)) in of.iter().enumerate() {
            let name = name(font, label);
            images.push(DecodedImage { file, at: 0, pixels: Digest::of(name.as_bytes()) });
            files.push(ImageFile { name: names.add(&[name.as_bytes()]).unwrap(), label, is_test: false }).unwrap();
        }
        let folders = Folders {
            name: String::new(),
            classes: ["0", "1", "2"].map(str::to_owned).to_vec(),
            names,
            files,
            has_test_part: false,
            source_digests: BTreeMap::new(),
            place: PathBuf::new(),
        };
        let (assigned, _) = assign(&folders, &images, Shares { test: 0.2, valid: 0.2 }, seed, scratch.path()).unwrap();
        let key = |&(font, class): &(u8, u8)| {
            let group = if is_named(font) { format!("{font:03}") } else { format!("{font}-{class}") };
            (is_named(font), group, class)
        };
        of.iter().zip(assigned.iter()).map(|(of, image)| (key(of), image.split)).collect()
    }

    /// Groups of so many images of each class, as one with a font and one without are.
    fn images_of(sizes: &[Vec<usize>]) -> (Vec<Assigned>, Vec<Member>) {
        let (mut images, mut members) = (Vec::new(), Vec::new());
        for (group, sizes) in sizes.iter().enumerate() {
            let key = Digest::of(&group.to_be_bytes());
            for (label, &size) in (0..).zip(sizes) {
                for _ in 0..size {
                    members.push(Member { key, has_font: group % 2 == 0, image: images.len() });
                    let (split, is_test, kept) = (SplitName::Train, false, true);
                    images.push(Assigned {
                        name: Name::default(),
                        at: group as u64,
                        pixels: key,
                        label,
                        is_test,
                        split,
                        kept,
                    });
                }
            }
        }
        (images, members)
    }

    /// The groups of a split; all images of a group are in the same one.
    fn groups_in(split: SplitName, images: &[Assigned]) -> Vec<usize> {
        let groups = images.chunk_by(|one, other| one.at == other.at);
        let is_in = |group: &&[Assigned]| {
            assert!(group.iter().all(|image| image.split == group[0].split));
            group[0].split == split
        };
        groups.filter(is_in).map(|group| group[0].at as usize).collect()
    }

    #[test]
    fn images_that_stand_alone_are_dealt_to_the_very_share() {
        let sizes = vec![vec![1, 0]; 200].into_iter().chain(vec![vec![0, 1]; 50]).collect::<Vec<_>>();
        let (mut images, groups) = images_of(&sizes);
        deal(&mut images, &groups, 2, SplitName::Test, 0.1);
        let chosen = groups_in(SplitName::Test, &images);
        assert_eq!(chosen.iter().filter(|&&group| group < 200).count(), 20);
        assert_eq!(chosen.iter().filter(|&&group| group >= 200).count(), 5);
    }

    #[test]
    fn images_of_the_test_part_stay_where_they_are_and_count_for_nothing() {
        let (mut images, groups) = images_of(&vec![vec![2]; 40]);
        for image in images.iter_mut().step_by(2) {
            (image.is_test, image.split) = (true, SplitName::Test);
        }
        deal(&mut images, &groups, 1, SplitName::Valid, 0.25);
        assert_eq!(images.iter().filter(|image| image.split == SplitName::Valid).count(), 10);
        assert!(images.iter().all(|image| image.is_test == (image.split == SplitName::Test)));
    }

    proptest! {
        /// Once the groups on offer can fill a class, no class is off its target by more than the largest group.
        #[test]
        fn every_class_is_within_the_largest_font_of_its_share(
            sizes in prop::collection::vec(1..4usize, 100..300),
            fraction in 0.05..0.3,
        ) {
            let fonts: Vec<_> = sizes.iter().map(|&size| vec![size; 3]).collect();
            let (mut images, groups) = images_of(&fonts);
            deal(&mut images, &groups, 3, SplitName::Valid, fraction);
            let chosen = groups_in(SplitName::Valid, &images);
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
            let (mut images, groups) = images_of(&sizes.iter().map(|&size| vec![size]).collect::<Vec<_>>());
            deal(&mut images, &groups, 1, SplitName::Test, fraction);
            let test = groups_in(SplitName::Test, &images);
            deal(&mut images, &groups, 1, SplitName::Valid, fraction);
            prop_assert_eq!(groups_in(SplitName::Test, &images), test);
        }
    }
}
