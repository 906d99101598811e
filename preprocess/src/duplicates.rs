//! Images with the same pixels: within a split one is enough, across splits none may be, under two labels none can be
//! trusted.

use std::path::Path;

use artifacts::{Removed, RemovedCounts, SplitName};
use rayon::prelude::*;
use scratch::FileVec;

use crate::error::Error;
use crate::split::Assigned;

/// An image that is to go, or only to be reported.
#[derive(Debug, Clone, Copy)]
pub struct Finding {
    /// Its index.
    pub image: usize,
    /// Why.
    pub reason: Removed,
    /// The index of the first image with the same pixels that stands against it.
    pub same_as: usize,
}

/// Takes `kept` from what is to go, and lists it by name. The first of several by name stays. The list is kept in `scratch`.
pub fn remove(images: &mut [Assigned], scratch: &Path) -> Result<(FileVec<Finding>, RemovedCounts), Error> {
    let mut by_pixels = FileVec::from_fn(scratch, images.len(), |index| (images[index].pixels, index))?;
    by_pixels.par_sort_unstable();

    let mut findings = FileVec::new(scratch)?;
    let mut of_same = Vec::new();
    for same in by_pixels.chunk_by(|(one, _), (other, _)| one == other) {
        if same.len() > 1 {
            let same: Vec<usize> = same.iter().map(|&(_, index)| index).collect();
            judge(&same, images, &mut of_same);
            findings.extend(&of_same)?;
            of_same.clear();
        }
    }
    findings.sort_unstable_by_key(|finding: &Finding| finding.image);

    let mut counts = RemovedCounts::default();
    for &Finding { image, reason, .. } in findings.iter() {
        *match reason {
            Removed::Duplicate => &mut counts.duplicates,
            Removed::Leak => &mut counts.leaks,
            Removed::ConflictingLeak => &mut counts.conflicting_leaks,
            Removed::Conflict => &mut counts.conflicts,
            Removed::TestConflict => &mut counts.test_conflicts,
        } += 1;
        images[image].kept = reason == Removed::TestConflict;
    }
    Ok((findings, counts))
}

/// What becomes of images with the same pixels, given in the order of their names.
fn judge(same: &[usize], images: &[Assigned], findings: &mut Vec<Finding>) {
    let finding = |image, reason, same_as| Finding { image, reason, same_as };
    let of_split = |split| same.iter().copied().filter(move |&index| images[index].split == split);
    let seen_in_training = || same.iter().copied().filter(|&index| images[index].split != SplitName::Test);
    let label = |index: usize| images[index].label;

    let mut kept_in_test: Vec<usize> = Vec::new();
    for index in of_split(SplitName::Test) {
        match kept_in_test.iter().find(|&&kept| label(kept) == label(index)) {
            Some(&kept) => findings.push(finding(index, Removed::Duplicate, kept)),
            None => {
                if let Some(&first) = kept_in_test.first() {
                    findings.push(finding(index, Removed::TestConflict, first));
                }
                kept_in_test.push(index);
            }
        }
    }
    if let Some(&first) = kept_in_test.first() {
        findings.extend(seen_in_training().map(|index| {
            let agreeing = kept_in_test.iter().find(|&&test| label(test) == label(index));
            agreeing.map_or_else(
                || finding(index, Removed::ConflictingLeak, first),
                |&test| finding(index, Removed::Leak, test),
            )
        }));
        return;
    }
    let other_label = |index: usize| seen_in_training().find(|&other| label(other) != label(index));
    if other_label(same[0]).is_some() {
        let conflict = |index| Some(finding(index, Removed::Conflict, other_label(index)?));
        findings.extend(seen_in_training().filter_map(conflict));
        return;
    }
    // Validation stands against training, so its first image stays where there is one.
    let kept = of_split(SplitName::Valid).chain(of_split(SplitName::Train)).next();
    let kept = kept.expect("images with the same pixels are in some split");
    findings.extend(same.iter().copied().filter(|&index| index != kept).map(|index| {
        let reason = if images[index].split == images[kept].split { Removed::Duplicate } else { Removed::Leak };
        finding(index, reason, kept)
    }));
}

#[cfg(test)]
mod tests {
    use files::Digest;
    use proptest::prelude::*;
    use scratch::Name;

    use super::*;
    use SplitName::{Test, Train, Valid};

    /// Images of the given (split, label, pixels).
    fn images(of: &[(SplitName, u8, u8)]) -> Vec<Assigned> {
        let assigned = |(row, &(split, label, pixels)): (usize, &(SplitName, u8, u8))| Assigned {
            name: Name::default(),
            at: row as u64,
            pixels: Digest::of(&[pixels]),
            label,
            is_test: false,
            split,
            kept: true,
        };
        of.iter().enumerate().map(assigned).collect()
    }

    fn removed(images: &mut [Assigned]) -> (Vec<Finding>, RemovedCounts) {
        let (findings, counts) = remove(images, tempfile::tempdir().unwrap().path()).unwrap();
        (findings.to_vec(), counts)
    }

    fn judged(of: &[(SplitName, u8, u8)]) -> Vec<String> {
        let mut images = images(of);
        let (findings, _) = removed(&mut images);
        let told = |&Finding { image, reason, same_as }: &Finding| {
            let kept = if images[image].kept { " kept" } else { "" };
            format!("{image} {reason:?} of {same_as}{kept}")
        };
        findings.iter().map(told).collect()
    }

    #[test]
    fn images_that_differ_all_stay() {
        assert!(judged(&[(Train, 0, 1), (Valid, 0, 2), (Test, 0, 3), (Train, 1, 4)]).is_empty());
    }

    #[test]
    fn the_first_of_several_in_a_split_stays() {
        let found = judged(&[
            (Train, 0, 1),
            (Test, 0, 2),
            (Train, 0, 1),
            (Test, 0, 2),
            (Train, 0, 1),
            (Valid, 0, 3),
            (Valid, 0, 3),
        ]);
        assert_eq!(found, ["2 Duplicate of 0", "3 Duplicate of 1", "4 Duplicate of 0", "6 Duplicate of 5"]);
    }

    #[test]
    fn an_image_of_the_test_split_is_nowhere_else_whatever_its_label() {
        let found = judged(&[(Train, 0, 1), (Valid, 1, 1), (Test, 0, 1), (Train, 2, 1)]);
        assert_eq!(found, ["0 Leak of 2", "1 ConflictingLeak of 2", "3 ConflictingLeak of 2"]);
    }

    #[test]
    fn an_image_of_the_validation_split_is_not_trained_on() {
        assert_eq!(judged(&[(Train, 0, 1), (Valid, 0, 1), (Valid, 0, 1)]), ["0 Leak of 1", "2 Duplicate of 1"]);
    }

    #[test]
    fn pixels_under_two_labels_are_dropped_from_training_and_validation_and_reported_in_the_test_split() {
        let found = judged(&[(Train, 0, 1), (Train, 0, 1), (Valid, 1, 1), (Test, 0, 2), (Test, 1, 2), (Test, 1, 2)]);
        assert_eq!(
            found,
            ["0 Conflict of 2", "1 Conflict of 2", "2 Conflict of 0", "4 TestConflict of 3 kept", "5 Duplicate of 4"]
        );
    }

    proptest! {
        #[test]
        fn what_stays_is_seen_once_has_one_label_and_loses_nothing_but_the_contested(
            of in prop::collection::vec((0..3usize, 0..2u8, 0..12u8), 0..60)
        ) {
            let of: Vec<_> = of.into_iter().map(|(split, label, pixels)| (SplitName::ALL[split], label, pixels)).collect();
            let mut images = images(&of);
            let (_, counts) = removed(&mut images);
            for pixels in 0..12 {
                let all: Vec<_> = images.iter().filter(|image| image.pixels == Digest::of(&[pixels])).collect();
                let kept: Vec<_> = all.iter().filter(|image| image.kept).collect();
                let in_test = all.iter().any(|image| image.split == Test);
                prop_assert!(kept.iter().all(|image| (image.split == Test) == in_test));
                let mut labels: Vec<_> = all.iter().filter(|image| !in_test || image.split == Test).map(|image| image.label).collect();
                labels.sort_unstable();
                labels.dedup();
                let expected = match (in_test, labels.len()) {
                    (true, labels) => labels,
                    (false, 2) => 0,
                    (false, labels) => labels,
                };
                prop_assert_eq!(kept.len(), expected);
            }
            let removed = images.iter().filter(|image| !image.kept).count() as u64;
            prop_assert_eq!(removed, counts.duplicates + counts.leaks + counts.conflicting_leaks + counts.conflicts);
        }
    }
}
