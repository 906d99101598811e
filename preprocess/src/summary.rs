//! The table at the end.

use artifacts::{Dataset, SplitName};
use terminal::{Align, Console, Table, counted};

use crate::options::Options;

/// A split of so many times its share is worth a warning.
const MOST_BEYOND_ASKED: f64 = 1.25;

/// Shows what is in the data set and what was left out.
pub fn show(dataset: &Dataset, options: &Options, console: &Console) {
    let mut table =
        Table::new(&[("class", Align::Left), ("train", Align::Right), ("valid", Align::Right), ("test", Align::Right)]);
    for (label, class) in dataset.classes.iter().enumerate() {
        let counts = SplitName::ALL.map(|name| dataset.split(name).images_by_class[label].to_string());
        table.row([class.clone()].into_iter().chain(counts));
    }
    let totals = SplitName::ALL.map(|name| dataset.split(name).images.to_string());
    table.row(["all".to_owned()].into_iter().chain(totals));
    console.table(&table);

    let Dataset { removed, fonts, rejected, converted, .. } = dataset;
    let rejects_detail = if rejected.is_empty() { "" } else { "; dataset.json names them with the reasons" };
    console.say(format!("rejected    {}{rejects_detail}", counted(rejected.len() as u64, "file")));
    rejected.iter().for_each(|file| console.detail(format!("            {}: {}", file.file, file.reason)));
    console.say(format!(
        "removed     {}, {} between splits, {} under two labels",
        counted(removed.duplicates, "exact duplicate"),
        counted(removed.leaks + removed.conflicting_leaks, "leak"),
        counted(removed.conflicts, "image")
    ));
    warn_of_other_shares(dataset, options, console);
    if removed.conflicting_leaks > 0 {
        console.say(format!(
            "            {} of the leaks had another label than the same image of the test split",
            removed.conflicting_leaks
        ));
    }
    if removed.test_conflicts > 0 {
        console.warn(format!(
            "images of the test split with the pixels of another one under a different label: {} (see {})",
            removed.test_conflicts,
            Dataset::REMOVED_LIST
        ));
    }
    for (colour, count) in converted {
        console.say(format!("converted   {} from {colour} to 8-bit grey", counted(*count, "image")));
    }
    match (fonts.fonts, fonts.shared_with_test) {
        (0, _) => console.say("fonts       the file names tell none: the splits are by image"),
        (fonts, 0) => console.say(format!("fonts       {fonts}; no font is in two splits")),
        (fonts, shared) => {
            console.say(format!("fonts       {fonts}; none is in training and validation"));
            console.warn(format!("fonts of the test images that are in training or validation too: {shared}"));
        }
    }
    console.say(format!(
        "pixels      {}x{}, mean {:.4}, standard deviation {:.4}",
        dataset.height, dataset.width, dataset.mean, dataset.standard_deviation
    ));
    console.say(format!("preprocess: `{}`", options.output.join(Dataset::FILE_NAME).display()));
}

/// Copies of an image are removed from training first, after the images were dealt to the splits: where there are many, the
/// splits have other shares than were asked for.
fn warn_of_other_shares(dataset: &Dataset, options: &Options, console: &Console) {
    let asked = [
        (SplitName::Valid, Some(options.valid_fraction)),
        (SplitName::Test, dataset.provenance.arguments.contains_key("test_fraction").then_some(options.test_fraction)),
    ];
    let images: usize = SplitName::ALL.into_iter().map(|name| dataset.split(name).images).sum();
    for (name, asked) in asked.into_iter().filter_map(|(name, asked)| Some((name, asked?))) {
        let found = dataset.split(name).images as f64 / images as f64;
        if found > MOST_BEYOND_ASKED * asked && dataset.removed.leaks > 0 {
            console.warn(format!(
                "the {name} split has {:.0} % of the images, for {:.0} % that were asked for: copies of its images were removed \
                 from training",
                found * 100.0,
                asked * 100.0
            ));
        }
    }
}
