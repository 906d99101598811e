//! Drives the real binary over small folders of images that the tests make.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use artifacts::{Dataset, Part, Provenance, RemovedCounts, Role, Source, SplitName};
use files::Digest;
use image::{DynamicImage, GrayImage, Luma, Rgba, RgbaImage};
use tempfile::TempDir;

mod support;
use support::{contents, glyph, png, stderr};

/// Width and height of the images.
const SIZE: [u32; 2] = [4, 3];

/// A folder `in` to preprocess and a place `out` to write to.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        Self(folder)
    }

    /// Two classes of `images` images each, no two alike.
    fn with_letters(images: u32) -> Self {
        let workplace = Self::new();
        for class in ["A", "B"] {
            for index in 0..images {
                workplace.image(&format!("{class}/{index:04}.png"), &glyph(class, index, SIZE));
            }
        }
        workplace
    }

    fn input(&self) -> PathBuf {
        self.0.path().join("in")
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.input().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn image(&self, name: &str, image: &GrayImage) {
        self.file(name, &png(image.clone()));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preprocess"));
        command.arg("--input").arg(self.input()).arg("--output").arg(self.output()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run_well(&self, arguments: &[&str]) -> Dataset {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        Dataset::read(&self.output()).unwrap().0
    }

    /// The names of a split's images.
    fn names(&self, split: SplitName) -> Vec<String> {
        let (dataset, _) = Dataset::read(&self.output()).unwrap();
        dataset.open(&self.output(), split, true).unwrap().names().unwrap()
    }
}

#[test]
fn every_row_of_a_shard_is_the_image_that_its_name_says() {
    let workplace = Workplace::with_letters(60);
    let dataset = workplace.run_well(&["--shard-size", "25"]);
    assert_eq!((dataset.classes, dataset.height, dataset.width), (vec!["A".to_owned(), "B".to_owned()], 3, 4));
    assert_eq!(dataset.splits.train.shards.len(), 4);

    let (dataset, _) = Dataset::read(&workplace.output()).unwrap();
    let mut seen = BTreeSet::new();
    for split in SplitName::ALL {
        let data = dataset.open(&workplace.output(), split, true).unwrap();
        for (row, name) in data.names().unwrap().iter().enumerate() {
            let below = name.strip_prefix("train/").unwrap();
            let image = image::open(workplace.input().join(below)).unwrap().into_luma8();
            assert_eq!(data.image(row), image.as_raw().as_slice(), "{name}");
            assert_eq!(data.label(row), u8::from(below.starts_with('B')), "{name}");
            assert!(seen.insert(name.clone()), "{name} twice");
        }
    }
    assert_eq!(seen.len(), 120);
}

#[test]
fn each_class_keeps_its_share_in_each_split() {
    let dataset = Workplace::with_letters(100).run_well(&["--valid-fraction", "0.2", "--test-fraction", "0.15"]);
    assert_eq!(dataset.splits.train.images_by_class, [65, 65]);
    assert_eq!(dataset.splits.valid.images_by_class, [20, 20]);
    assert_eq!(dataset.splits.test.images_by_class, [15, 15]);
}

#[test]
fn the_same_files_give_the_same_bytes_whatever_their_order_on_disk_and_the_threads() {
    let forwards = Workplace::with_letters(80);
    let backwards = Workplace::new();
    for class in ["B", "A"] {
        for index in (0..80).rev() {
            backwards.image(&format!("{class}/{index:04}.png"), &glyph(class, index, SIZE));
        }
    }
    forwards.run_well(&["--threads", "1"]);
    backwards.run_well(&["--threads", "3"]);
    assert_eq!(contents(&forwards.output()), contents(&backwards.output()));

    backwards.run_well(&["--seed", "1"]);
    assert_ne!(contents(&forwards.output()), contents(&backwards.output()));
}

#[test]
fn folders_that_are_no_classes_are_passed_over_and_links_are_followed() {
    let workplace = Workplace::with_letters(200);
    let elsewhere = workplace.0.path().join("elsewhere");
    fs::rename(workplace.input().join("B"), &elsewhere).unwrap();
    symlink(&elsewhere, workplace.input().join("B")).unwrap();
    workplace.file("__MACOSX/A/._0000.png", b"a resource fork");
    workplace.file(".git/config", b"");
    // The output of the first is no class of the second.
    let output = workplace.input().join("shards");
    let arguments = ["--output", output.to_str().unwrap()];
    for _ in 0..2 {
        let run = workplace.run(&arguments);
        assert!(run.status.success(), "{}", stderr(&run));
        assert_eq!(Dataset::read(&output).unwrap().0.classes, ["A", "B"]);
    }
    symlink("nowhere", workplace.input().join("C")).unwrap();
    let said = stderr(&workplace.run(&arguments));
    assert!(said.contains("cannot read") && said.contains("in/C`"), "{said}");
}

#[test]
fn of_a_split_that_is_left_empty_it_is_said_what_was_removed() {
    let workplace = Workplace::with_letters(20);
    let run = workplace.run(&["--test-input", workplace.input().to_str().unwrap()]);
    let said = stderr(&run);
    assert!(said.contains("the train split has no image; removed were: "), "{said}");
    assert!(said.contains("copies of images to test or validate on"), "{said}");
    assert!(said.contains("hint: are the images to test on the same as those to train on?"), "{said}");
}

#[test]
fn a_name_that_could_be_no_folder_s_is_refused_as_fetch_refuses_it() {
    let workplace = Workplace::with_letters(20);
    for name in ["", "a/b", ".hidden", "two\nlines"] {
        let run = workplace.run(&["--name", name]);
        assert_eq!(run.status.code(), Some(2), "{name}: {}", stderr(&run));
    }
}

#[test]
fn an_earlier_output_in_which_there_is_something_else_is_not_replaced() {
    let workplace = Workplace::with_letters(200);
    workplace.run_well(&[]);
    let before = contents(&workplace.output());
    let thesis = workplace.output().join("thesis.txt");
    fs::write(&thesis, "important").unwrap();
    let said = stderr(&workplace.run(&[]));
    assert!(said.contains("thesis.txt` in it was not written by this tool"), "{said}");
    assert!(said.contains("hint: move it elsewhere, or name another folder"), "{said}");
    fs::remove_file(&thesis).unwrap();
    assert_eq!(contents(&workplace.output()), before);
}

/// A folder of temporary names beside `.` is one of its parent's.
#[test]
fn the_working_folder_is_not_replaced_and_nothing_beside_it_is_touched() {
    let workplace = Workplace::with_letters(20);
    let inside = workplace.0.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let before = contents(workplace.0.path());
    for output in [".", "./", "../inside", ".."] {
        let run = workplace.command(&["--output", output]).current_dir(&inside).output().unwrap();
        assert_eq!(run.status.code(), Some(1));
        let said = stderr(&run);
        assert!(said.contains(&format!("`{output}` is the working folder, or one above it")), "{said}");
        assert_eq!(contents(workplace.0.path()), before);
    }
}

#[test]
fn files_that_are_no_image_are_named_with_the_reason_and_stop_nothing() {
    let workplace = Workplace::with_letters(200);
    let whole = png(glyph("A", 0, SIZE));
    workplace.file("A/empty.png", b"");
    workplace.file("A/text.png", b"not a picture");
    workplace.file("B/cut.png", &whole[..40]);
    workplace.image("B/large.png", &GrayImage::new(5, 5));
    workplace.file("B/.hidden.png", b"passed over");
    let dataset = workplace.run_well(&["--max-rejects", "0.02"]);
    let rejected: Vec<_> = dataset.rejected.iter().map(|file| (file.file.as_str(), file.reason.as_str())).collect();
    assert_eq!(rejected[0], ("train/A/empty.png", "it is empty"));
    assert_eq!(rejected[1], ("train/A/text.png", "it is no PNG file"));
    assert_eq!(rejected[2].0, "train/B/cut.png");
    assert!(rejected[2].1.starts_with("it does not decode: "), "{}", rejected[2].1);
    assert_eq!(rejected[3], ("train/B/large.png", "it is 5 pixels high and 5 wide, not 3 pixels high and 4 wide"));
    assert_eq!(rejected.len(), 4);
}

#[test]
fn too_many_broken_files_fail_and_leave_no_data_set() {
    let workplace = Workplace::with_letters(50);
    workplace.file("A/empty.png", b"");
    workplace.file("A/text.png", b"not a picture");
    let output = workplace.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("2 of 102 files are rejected, more than the 1 % of --max-rejects"), "{message}");
    assert!(message.contains("train/A/empty.png: it is empty") && message.contains("hint:"), "{message}");
    assert_eq!(fs::read_dir(workplace.0.path()).unwrap().count(), 1, "nothing but the input");
}

#[test]
fn a_share_of_rejects_is_allowed_to_the_last_file() {
    let workplace = Workplace::with_letters(35);
    workplace.image("B/one-more.png", &glyph("B", 999, SIZE));
    (0..29).for_each(|number| workplace.file(&format!("A/{number}.txt"), b"not a picture"));
    let said = stderr(&workplace.run(&["--max-rejects", "0.28"]));
    assert!(said.contains("29 of 100 files are rejected, more than the 28 % of --max-rejects"), "{said}");
    workplace.run_well(&["--max-rejects", "0.29"]);
}

/// However many files say in their headers that they have another size.
#[test]
fn files_that_do_not_decode_have_no_say_in_the_images_size() {
    let workplace = Workplace::with_letters(40);
    let small = png(GrayImage::new(3, 2));
    (0..60).for_each(|number| workplace.file(&format!("A/cut-{number}.png"), &small[..40]));
    let dataset = workplace.run_well(&["--max-rejects", "1"]);
    assert_eq!((dataset.height, dataset.width, dataset.rejected.len()), (3, 4, 60));
}

#[test]
fn the_folder_to_test_on_is_no_class_to_train_on() {
    let workplace = Workplace::with_letters(40);
    let test = workplace.input().join("test");
    for class in ["A", "B"] {
        fs::create_dir_all(test.join(class)).unwrap();
        fs::write(test.join(class).join("0.png"), png(glyph(class, 999, SIZE))).unwrap();
    }
    let dataset = workplace.run_well(&["--test-input", test.to_str().unwrap()]);
    assert_eq!((dataset.classes, dataset.splits.test.images), (vec!["A".to_owned(), "B".to_owned()], 2));
}

#[test]
fn splits_that_copies_have_shifted_are_warned_of() {
    let workplace = Workplace::with_letters(40);
    for copy in 0..4 {
        (0..20).for_each(|number| workplace.image(&format!("A/copy-{copy}-{number}.png"), &glyph("A", number, SIZE)));
    }
    let said = stderr(&workplace.run(&[]));
    assert!(said.contains("warning: the test split has") && said.contains("for 10 % that were asked for"), "{said}");
}

#[test]
fn other_colour_types_become_grey_and_are_counted() {
    let workplace = Workplace::with_letters(40);
    let grey = glyph("A", 999, SIZE);
    let colour = DynamicImage::ImageLuma8(grey.clone()).into_rgb8();
    workplace.file("A/colour.png", &png(colour));
    let other = glyph("B", 999, SIZE);
    let deep = DynamicImage::ImageLuma8(other.clone()).into_luma16();
    workplace.file("B/deep.png", &png(deep));
    let dataset = workplace.run_well(&[]);
    assert_eq!(dataset.converted, BTreeMap::from([("grey, 16-bit".to_owned(), 1), ("rgb, 8-bit".to_owned(), 1)]));
    for (file, pixels) in [("train/A/colour.png", &grey), ("train/B/deep.png", &other)] {
        let found = SplitName::ALL.into_iter().find_map(|split| {
            let data = dataset.open(&workplace.output(), split, true).unwrap();
            let row = data.names().unwrap().iter().position(|name| name == file)?;
            Some(data.image(row).to_vec())
        });
        assert_eq!(found.unwrap(), *pixels.as_raw(), "{file}");
    }
}

#[test]
fn one_bit_images_are_counted_and_what_is_transparent_is_white() {
    let workplace = Workplace::with_letters(60);
    // python3 -c "from PIL import Image; Image.new('1', (4, 3), 1).save('bit.png')"
    workplace.file("A/bit.png", include_bytes!("bit.png"));
    let half = RgbaImage::from_fn(4, 3, |x, _| Rgba([0, 0, 0, if x < 2 { 255 } else { 128 }]));
    workplace.file("B/alpha.png", &png(half));
    // python3 -c "from PIL import Image; Image.frombytes('L', (4, 3), bytes(range(12))).save('key.png', transparency=7)"
    workplace.file("B/key.png", include_bytes!("key.png"));
    let dataset = workplace.run_well(&[]);
    let expected = ["grey with a transparent colour, 8-bit", "grey, 1-bit", "rgb with alpha, 8-bit"];
    assert_eq!(dataset.converted, BTreeMap::from(expected.map(|colour| (colour.to_owned(), 1))));
    let mut seen = 0;
    for split in SplitName::ALL {
        let data = dataset.open(&workplace.output(), split, true).unwrap();
        for (row, name) in data.names().unwrap().iter().enumerate() {
            // Black at alpha 128 of 255 over white: 255 - 128 = 127.
            let expected: [u8; 12] = match name.as_str() {
                "train/A/bit.png" => [255; 12],
                "train/B/alpha.png" => [0, 0, 127, 127, 0, 0, 127, 127, 0, 0, 127, 127],
                "train/B/key.png" => [0, 1, 2, 3, 4, 5, 6, 255, 8, 9, 10, 11],
                _ => continue,
            };
            assert_eq!(data.image(row), expected, "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_size_is_that_of_most_images_wherever_they_stand() {
    let workplace = Workplace::with_letters(50);
    for index in 0..40 {
        workplace.image(&format!("0-first/{index}.png"), &GrayImage::from_pixel(9, 9, Luma([index])));
    }
    let output = workplace.run(&[]);
    assert!(stderr(&output).contains("40 of 140 files are rejected"), "{}", stderr(&output));
    assert!(stderr(&output).contains("it is 9 pixels high and 9 wide, not 3 pixels high and 4 wide"));
    assert!(stderr(&output).contains("hint: images of one data set have one size: bring them to it first"));
}

#[test]
fn folders_of_training_and_test_images_are_told_how_to_be_named() {
    let workplace = Workplace::with_letters(20);
    let parts = workplace.0.path().join("parts");
    for part in ["train", "test"] {
        fs::create_dir_all(&parts).unwrap();
        fs::rename(workplace.input(), parts.join(part)).unwrap();
        fs::create_dir_all(workplace.input().join("A")).unwrap();
    }
    fs::remove_dir_all(workplace.input()).unwrap();
    fs::rename(&parts, workplace.input()).unwrap();
    let said = stderr(&workplace.run(&[]));
    assert!(said.contains("hint: class folders are looked for in the folder itself"), "{said}");
    assert!(said.contains("`--input FOLDER/train --test-input FOLDER/test`"), "{said}");
}

#[test]
fn an_image_of_the_test_archive_under_another_label_in_training_is_said() {
    let workplace = Workplace::with_letters(60);
    let test = workplace.0.path().join("test");
    for class in ["A", "B"] {
        fs::create_dir_all(test.join(class)).unwrap();
        fs::write(test.join(class).join("other.png"), png(glyph(class, 1007, SIZE))).unwrap();
        if class == "B" {
            fs::write(test.join("B/mislabelled.png"), png(glyph("A", 7, SIZE))).unwrap();
        }
    }
    let dataset = workplace.run_well(&["--test-input", test.to_str().unwrap()]);
    assert_eq!((dataset.removed.conflicting_leaks, dataset.removed.leaks), (1, 0));
    let list = fs::read_to_string(workplace.output().join("removed.jsonl")).unwrap();
    assert!(list.contains(r#""reason":"conflicting-leak","same_as":"test/B/mislabelled.png""#), "{list}");
}

#[test]
fn what_is_no_regular_file_is_named_and_does_not_hang() {
    let workplace = Workplace::with_letters(120);
    fs::create_dir(workplace.input().join("A/folder.png")).unwrap();
    assert!(Command::new("mkfifo").arg(workplace.input().join("B/pipe.png")).status().unwrap().success());
    let dataset = workplace.run_well(&[]);
    let rejected: Vec<_> = dataset.rejected.iter().map(|file| (file.file.as_str(), file.reason.as_str())).collect();
    let folder = "it is a folder: images are read in class folders alone";
    assert_eq!(rejected, [("train/A/folder.png", folder), ("train/B/pipe.png", "it is no regular file")]);
}

#[test]
fn a_folder_that_is_no_data_set_is_not_replaced() {
    let workplace = Workplace::with_letters(40);
    fs::create_dir(workplace.output()).unwrap();
    fs::write(workplace.output().join("thesis.txt"), "important").unwrap();
    for output in [workplace.output(), workplace.input(), workplace.0.path().to_owned()] {
        let before = contents(workplace.0.path());
        let refused = workplace.command(&["--output", output.to_str().unwrap()]).output().unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            stderr(&refused).contains("is there and has no dataset.json: it is not replaced"),
            "{}",
            stderr(&refused)
        );
        assert_eq!(contents(workplace.0.path()), before);
    }
}

#[test]
fn duplicates_and_conflicts_are_removed_and_listed() {
    let workplace = Workplace::with_letters(100);
    workplace.image("A/twice.png", &glyph("A", 7, SIZE));
    workplace.image("B/mislabelled.png", &glyph("A", 8, SIZE));
    let dataset = workplace.run_well(&[]);
    let list = fs::read_to_string(workplace.output().join("removed.jsonl")).unwrap();
    assert_eq!(Digest::of(list.as_bytes()), dataset.removed_list);
    let pairs: Vec<_> = list
        .lines()
        .map(|line| serde_json::from_str::<artifacts::RemovedImage>(line).unwrap())
        .map(|removed| (removed.file, removed.same_as))
        .collect();
    // Of twins in two splits, the one in training goes; of contested ones in training, both.
    assert!(
        pairs.iter().any(|(file, same)| file == "train/A/twice.png" && same == "train/A/0007.png")
            || pairs.iter().any(|(file, same)| file == "train/A/0007.png" && same == "train/A/twice.png")
    );
    assert!(pairs.iter().any(|(file, _)| file == "train/A/0008.png" || file == "train/B/mislabelled.png"));
    let kept: usize = SplitName::ALL.map(|split| dataset.split(split).images).iter().sum();
    let RemovedCounts { duplicates, leaks, conflicting_leaks, conflicts, .. } = dataset.removed;
    let removed = duplicates + leaks + conflicting_leaks + conflicts;
    assert_eq!(kept as u64 + removed, 202);
}

#[test]
fn no_font_is_in_two_splits_and_classes_keep_their_share() {
    let workplace = Workplace::new();
    for font in 0..120 {
        // printf '%03d.ttf' N | base64, whose last byte pads with "=".
        let encoded = base64_of(&format!("{font:03}.ttf"));
        for class in ["A", "B", "C"] {
            workplace.image(&format!("{class}/{encoded}.png"), &glyph(class, font, SIZE));
        }
    }
    let dataset = workplace.run_well(&[]);
    assert_eq!((dataset.fonts.fonts, dataset.fonts.images, dataset.fonts.shared_with_test), (120, 360, 0));
    assert_eq!(dataset.splits.test.images_by_class, [12, 12, 12]);
    assert_eq!(dataset.splits.valid.images_by_class, [12, 12, 12]);
    let fonts = SplitName::ALL.map(|split| {
        let stems = workplace.names(split).into_iter().map(|name| name["train/A/".len()..].to_owned());
        stems.collect::<BTreeSet<_>>()
    });
    assert!(fonts[0].is_disjoint(&fonts[1]) && fonts[0].is_disjoint(&fonts[2]) && fonts[1].is_disjoint(&fonts[2]));
}

fn base64_of(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[test]
fn a_test_archive_is_the_test_split_and_its_images_leave_the_training() {
    let workplace = Workplace::new();
    for class in ["A", "B"] {
        for index in 0..50 {
            workplace.image(&format!("train/{class}/{index:04}.png"), &glyph(class, index, SIZE));
        }
        for index in 45..60 {
            workplace.image(&format!("test/{class}/{index:04}.png"), &glyph(class, index, SIZE));
        }
    }
    let part = |role: Role, archive: &str, files: u64| Part {
        role,
        directory: role.directory().to_owned(),
        archive: archive.to_owned(),
        bytes: 1,
        files,
    };
    let source = Source {
        provenance: Provenance::new("fetch", "0").with_input("large.tar.gz", Digest::of(b"large")),
        name: "letters".to_owned(),
        parts: vec![part(Role::Train, "large.tar.gz", 100), part(Role::Test, "small.tar.gz", 30)],
    };
    artifacts::write_json(&workplace.input().join("source.json"), &source).unwrap();
    let dataset = workplace.run_well(&[]);
    assert_eq!(dataset.name, "letters");
    assert_eq!(dataset.provenance.inputs["large.tar.gz"], Digest::of(b"large"));
    assert!(dataset.provenance.inputs.contains_key("source.json"));
    assert_eq!(dataset.splits.test.images, 30);
    assert_eq!(dataset.removed.leaks, 10);
    assert_eq!(dataset.splits.train.images + dataset.splits.valid.images, 90);
    let list = fs::read_to_string(workplace.output().join("removed.jsonl")).unwrap();
    let first = r#"{"file":"train/A/0045.png","split":"train","reason":"leak","same_as":"test/A/0045.png"}"#;
    assert_eq!(list.lines().next().unwrap().replace("\"valid\"", "\"train\""), first);
    assert_eq!(list.lines().count(), 10);
    assert!(workplace.names(SplitName::Test).iter().all(|name| name.starts_with("test/")));
}

#[test]
fn an_archive_whose_images_are_not_tested_on_is_no_input() {
    let workplace = Workplace::new();
    let other = workplace.0.path().join("other");
    for class in ["A", "B"] {
        (0..40).for_each(|index| workplace.image(&format!("train/{class}/{index}.png"), &glyph(class, index, SIZE)));
        workplace.image(&format!("test/{class}/40.png"), &glyph(class, 40, SIZE));
        fs::create_dir_all(other.join(class)).unwrap();
        fs::write(other.join(class).join("50.png"), png(glyph(class, 50, SIZE))).unwrap();
    }
    let source = Source::new("letters").with_part(Role::Train, "large.tar.gz", Digest::of(b"large"), 1, 80);
    let source = source.with_part(Role::Test, "small.tar.gz", Digest::of(b"small"), 1, 2);
    artifacts::write_json(&workplace.input().join("source.json"), &source).unwrap();
    let inputs = |dataset: Dataset| dataset.provenance.inputs.into_keys().collect::<Vec<_>>();
    assert_eq!(inputs(workplace.run_well(&[])), ["files", "large.tar.gz", "small.tar.gz", "source.json"]);
    let dataset = workplace.run_well(&["--test-input", other.to_str().unwrap()]);
    assert_eq!(inputs(dataset), ["files", "large.tar.gz", "source.json"]);
    assert_eq!(BTreeSet::from_iter(workplace.names(SplitName::Test)).len(), 2);
    assert!(workplace.names(SplitName::Test).iter().all(|name| name.ends_with("/50.png")));
}

#[test]
fn shares_that_leave_nothing_are_refused_before_an_image_is_looked_at() {
    let workplace = Workplace::new();
    for class in ["A", "B"] {
        workplace.file(&format!("{class}/text.png"), b"not a picture");
    }
    let run = workplace.run(&["--valid-fraction", "0.5", "--test-fraction", "0.5"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(stderr(&run).contains("leave nothing to train on"), "{}", stderr(&run));
}

#[test]
fn a_second_run_replaces_the_data_set_and_a_failed_one_leaves_it() {
    let workplace = Workplace::with_letters(50);
    workplace.run_well(&[]);
    let before = contents(&workplace.output());
    for name in ["A/empty.png", "A/none.png", "B/empty.png"] {
        workplace.file(name, b"");
    }
    assert_eq!(workplace.run(&[]).status.code(), Some(1));
    assert_eq!(contents(&workplace.output()), before);
    workplace.run_well(&["--max-rejects", "0.1"]);
    assert_ne!(contents(&workplace.output()), before);
}

#[test]
fn a_killed_run_leaves_nothing_that_looks_finished_and_a_rerun_gives_the_whole() {
    let workplace = Workplace::with_letters(1500);
    workplace.run_well(&[]);
    let whole = contents(&workplace.output());
    fs::remove_dir_all(workplace.output()).unwrap();
    for delay in [1, 5, 10, 20, 40, 80] {
        let mut child = workplace.command(&[]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        child.wait().unwrap();
        if workplace.output().exists() {
            assert_eq!(contents(&workplace.output()), whole, "killed after {delay} ms");
            fs::remove_dir_all(workplace.output()).unwrap();
        }
    }
    workplace.run_well(&[]);
    assert_eq!(contents(&workplace.output()), whole);
    assert_eq!(fs::read_dir(workplace.0.path()).unwrap().count(), 2, "no scratch is left");
}

#[test]
fn what_cannot_work_is_said_with_a_hint_and_an_exit_code() {
    let empty = Workplace::new();
    let cases: [(&Workplace, &[&str], i32, &str); 5] = [
        (&empty, &[], 1, "has 0 class folders; 2 to 256 are possible"),
        (&Workplace::with_letters(3), &["--valid-fraction", "1"], 2, "leave nothing to train on"),
        (&Workplace::with_letters(3), &["--valid-fraction", "2"], 2, "a share is a number from 0 to 1"),
        (&Workplace::with_letters(3), &["--test-fraction", "0"], 1, "split has no image"),
        (&Workplace::with_letters(3), &["--threads", "0"], 2, "--threads"),
    ];
    for (workplace, arguments, code, expected) in cases {
        let output = workplace.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!workplace.output().exists());
    }
}

#[test]
fn quiet_says_nothing_and_verbose_names_the_rejected() {
    let workplace = Workplace::with_letters(60);
    workplace.file("A/empty.png", b"");
    assert_eq!(stderr(&workplace.run(&["-q"])), "");
    assert!(stderr(&workplace.run(&["-v"])).contains("train/A/empty.png: it is empty"));
}
