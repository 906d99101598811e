//! Images with the same pixels: within a split one is enough, across splits none may be, under two labels none can be
//! trusted.

use artifacts::{Removed, RemovedCounts, RemovedImage, SplitName};
use rayon::prelude::*;

use crate::split::Assigned;

/// Takes `kept` from what is to go, and lists it by name. The first of several by name stays.
pub fn remove(images: &mut [Assigned<'_>]) -> (Vec<RemovedImage>, RemovedCounts) {
    let mut by_pixels: Vec<usize> = (0..images.len()).collect();
    by_pixels.par_sort_unstable_by_key(|&index| (images[index].pixels, index));

    let mut findings = Vec::new();
    for same in by_pixels.chunk_by(|&one, &other| images[one].pixels == images[other].pixels) {
        if same.len() > 1 {
            judge(same, images, &mut findings);
        }
    }
    findings.sort_unstable_by_key(|&(index, ..)| index);

    let mut counts = RemovedCounts::default();
    let mut list = Vec::with_capacity(findings.len());
    for (index, reason, same_as) in findings {
        *match reason {
            Removed::Duplicate => &mut counts.duplicates,
            Removed::Leak => &mut counts.leaks,
            Removed::ConflictingLeak => &mut counts.conflicting_leaks,
            Removed::Conflict => &mut counts.conflicts,
            Removed::TestConflict => &mut counts.test_conflicts,
        } += 1;
        images[index].kept = reason == Removed::TestConflict;
        let (file, split) = (images[index].name.to_owned(), images[index].split);
        list.push(RemovedImage { file, split, reason, same_as: images[same_as].name.to_owned() });
    }
    (list, counts)
}

/// What becomes of images with the same pixels, given in the order of their names.
fn judge(same: &[usize], images: &[Assigned<'_>], findings: &mut Vec<(usize, Removed, usize)>) {
    let of_split = |split| same.iter().copied().filter(move |&index| images[index].split == split);
    let seen_in_training = || same.iter().copied().filter(|&index| images[index].split != SplitName::Test);
    let label = |index: usize| images[index].label;

    let mut kept_in_test: Vec<usize> = Vec::new();
    for index in of_split(SplitName::Test) {
        match kept_in_test.iter().find(|&&kept| label(kept) == label(index)) {
            Some(&kept) => findings.push((index, Removed::Duplicate, kept)),
            None => {
                if let Some(&first) = kept_in_test.first() {
                    findings.push((index, Removed::TestConflict, first));
                }
                kept_in_test.push(index);
            }
        }
    }
    if let Some(&first) = kept_in_test.first() {
        findings.extend(seen_in_training().map(|index| {
            let agreeing = kept_in_test.iter().find(|&&test| label(test) == label(index));
            agreeing.map_or((index, Removed::ConflictingLeak, first), |&test| (index, Removed::Leak, test))
        }));
        return;
    }
    let other_label = |index: usize| seen_in_training().find(|&other| label(other) != label(index));
    if other_label(same[0]).is_some() {
        findings.extend(seen_in_training().filter_map(|index| Some((index, Removed::Conflict, other_label(index)?))));
        return;
    }
    // Validation stands against training, so its first image stays where there is one.
    let kept = of_split(SplitName::Valid).chain(of_split(SplitName::Train)).next();
    let kept = kept.expect("images with the same pixels are in some split");
    findings.extend(same.iter().copied().filter(|&index| index != kept).map(|index| {
        let reason = if images[index].split == images[kept].split { Removed::Duplicate } else { Removed::Leak };
        (index, reason, kept)
    }));
}

#[cfg(test)]
mod tests {
    use artifacts::Digest;
    use proptest::prelude::*;

    use super::*;
    use SplitName::{Test, Train, Valid};

    /// Images named 0, 1, 2, ... of the given (split, label, pixels).
    fn images(of: &[(SplitName, u8, u8)]) -> Vec<Assigned<'static>> {
        const NAMES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let assigned = |(row, &(split, label, pixels)): (usize, &(SplitName, u8, u8))| Assigned {
            name: NAMES[row % 10],
            at: row as u64,
            pixels: Digest::of(&[pixels]),
            label,
            font: None,
            split,
            kept: true,
        };
        of.iter().enumerate().map(assigned).collect()
    }

    fn judged(of: &[(SplitName, u8, u8)]) -> Vec<String> {
        let mut images = images(of);
        let (list, _) = remove(&mut images);
        list.iter()
            .map(|found| {
                let kept = if images[found.file.parse::<usize>().unwrap()].kept { " kept" } else { "" };
                format!("{} {:?} of {}{kept}", found.file, found.reason, found.same_as)
            })
            .collect()
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
            let (_, counts) = remove(&mut images);
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
