//! Drives the real binary over archives that the tests make.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use artifacts::{Dataset, Role, Source};
use files::Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayImage};
use tempfile::TempDir;

mod support;
use support::{contents, glyph, png, stderr};

/// Width and height of the images.
const SIZE: [u32; 2] = [4, 3];

type Files = BTreeMap<String, Vec<u8>>;

struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preprocess"));
        command.args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    }

    /// Unpacks an archive with the system's tar into `raw/ROLE`, as `fetch` would, and returns `source` with it.
    fn unpack(&self, source: Source, role: Role, archive: &str, root: &str, files: u64) -> Source {
        let place = self.path("raw").join(role.directory());
        fs::create_dir_all(&place).unwrap();
        let strip = format!("--strip-components={}", root.split('/').filter(|part| !part.is_empty()).count());
        let mut tar = Command::new("tar");
        tar.args(["xf", archive, &strip, "--exclude=.*", "-C"]).arg(&place).current_dir(self.0.path());
        assert!(tar.status().unwrap().success());
        let bytes = fs::read(self.path(archive)).unwrap();
        source.with_part(role, archive, Digest::of(&bytes), bytes.len() as u64, files)
    }
}

/// Two classes of `images` glyphs each under `root`, the first of them `first`.
fn letters(root: &str, first: u32, images: u32) -> Files {
    let numbered = |class: &'static str| {
        (first..first + images)
            .map(move |index| (format!("{root}{class}/{index:04}.png"), png(glyph(class, index, SIZE))))
    };
    ["A", "B"].into_iter().flat_map(numbered).collect()
}

/// In the order of their names backwards, which is nobody's.
fn tar(files: &Files) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files.iter().rev() {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a hand-made archive may hold: broken files, other sizes and colours, duplicates, conflicts, files that are in no
/// class folder, and folders within one.
fn with_trouble(root: &str) -> Files {
    let mut files = letters(root, 0, 300);
    let whole = png(glyph("A", 0, SIZE));
    let mut add = |name: &str, bytes: Vec<u8>| files.insert(format!("{root}{name}"), bytes);
    add("A/empty.png", Vec::new());
    add("A/text.png", b"not a picture".to_vec());
    add("B/cut.png", whole[..40].to_vec());
    add("B/large.png", png(GrayImage::new(5, 5)));
    add("B/colour.png", png(DynamicImage::ImageLuma8(glyph("B", 999, SIZE)).into_rgb8()));
    add("A/deeper/1.png", whole.clone());
    add("A/deeper/than/2.png", whole.clone());
    add("A/twice.png", png(glyph("A", 7, SIZE)));
    add("B/mislabelled.png", png(glyph("A", 8, SIZE)));
    add("A/.hidden.png", whole.clone());
    add("__MACOSX/A/1.png", whole.clone());
    add("A/__MACOSX/1.png", whole.clone());
    add("README", b"not in a class".to_vec());
    files
}

#[test]
fn an_archive_gives_the_bytes_that_the_folders_unpacked_from_it_give() {
    for (root, name) in [("letters/", "letters.tar.gz"), ("", "letters.tar"), ("deep/er/", "letters.tgz")] {
        let workplace = Workplace::new();
        let plain = tar(&with_trouble(root));
        fs::write(workplace.path(name), if name.ends_with("tar") { plain } else { gzip(&plain) }).unwrap();
        // All but the hidden ones.
        let source = workplace.unpack(Source::new("letters"), Role::Train, name, root, 600 + 10);
        artifacts::write_json(&workplace.path("raw/source.json"), &source).unwrap();
        let rest = ["--max-rejects", "0.05", "--shard-size", "100"];
        workplace.run_well(&[&["--input", "raw", "--output", "of-folders"][..], &rest].concat());
        for threads in ["1", "3"] {
            let arguments = ["--archive", name, "--output", "of-archive", "--threads", threads];
            let said = workplace.run_well(&[&arguments[..], &rest].concat());
            assert!(said.contains("3 hidden files were passed over"), "{said}");
            assert_eq!(contents(&workplace.path("of-archive")), contents(&workplace.path("of-folders")), "{name}");
        }
        let (dataset, _) = Dataset::read(&workplace.path("of-archive")).unwrap();
        let rejected: Vec<_> = dataset.rejected.iter().map(|file| file.file.as_str()).collect();
        let expected = ["A/deeper", "A/empty.png", "A/text.png", "B/cut.png", "B/large.png"];
        assert_eq!(rejected, expected.map(|file| format!("train/{file}")));
    }
}

#[test]
fn a_folder_that_has_lost_files_of_its_archive_is_not_taken_for_what_was_unpacked() {
    let workplace = Workplace::new();
    fs::write(workplace.path("set.tar.gz"), gzip(&tar(&letters("", 0, 60)))).unwrap();
    let source = workplace.unpack(Source::new("set"), Role::Train, "set.tar.gz", "", 120);
    artifacts::write_json(&workplace.path("raw/source.json"), &source).unwrap();
    workplace.run_well(&["--input", "raw", "--output", "out"]);
    let some = fs::read_dir(workplace.path("raw/train/A")).unwrap().next().unwrap().unwrap().path();
    let (lost, other) = (fs::read(&some).unwrap(), workplace.path("raw/train/B/deeper"));
    fs::remove_file(&some).unwrap();
    for (files, change) in [("119 files", None), ("121 files", Some(lost))] {
        if let Some(lost) = change {
            fs::write(&some, lost).unwrap();
            fs::create_dir(&other).unwrap();
            fs::write(other.join("new"), "").unwrap();
        }
        let output = workplace.run(&["--input", "raw", "--output", "other"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let expected = format!("`raw/train` has {files}, but `set.tar.gz` had 120, as source.json says");
        assert!(said.contains(&expected) && said.contains("hint: unpack it anew"), "{said}");
    }
    workplace.run_well(&["--input", "raw/train", "--output", "other", "--max-rejects", "0.1"]);
}

#[test]
fn a_test_archive_gives_the_bytes_that_its_folders_give() {
    let workplace = Workplace::new();
    fs::write(workplace.path("large.tar.gz"), gzip(&tar(&with_trouble("large/")))).unwrap();
    let mut test = letters("small/", 290, 40);
    test.insert("small/B/contested.png".to_owned(), png(glyph("A", 3, SIZE)));
    test.insert("small/B/empty.png".to_owned(), Vec::new());
    fs::write(workplace.path("small.tar.gz"), gzip(&tar(&test))).unwrap();

    let source = workplace.unpack(Source::new("mine"), Role::Train, "large.tar.gz", "large/", 610);
    let source = workplace.unpack(source, Role::Test, "small.tar.gz", "small/", 82);
    artifacts::write_json(&workplace.path("raw/source.json"), &source).unwrap();
    let rest = ["--max-rejects", "0.05", "--seed", "4"];
    workplace.run_well(&[&["--input", "raw", "--output", "of-folders"][..], &rest].concat());
    let archives = ["--archive", "large.tar.gz", "--test-archive", "small.tar.gz", "--name", "mine"];
    workplace.run_well(&[&archives[..], &["--output", "of-archives"], &rest].concat());
    assert_eq!(contents(&workplace.path("of-archives")), contents(&workplace.path("of-folders")));

    let (dataset, _) = Dataset::read(&workplace.path("of-archives")).unwrap();
    assert_eq!(dataset.splits.test.images, 81);
    assert_eq!((dataset.removed.leaks, dataset.removed.conflicting_leaks), (20, 1));
}

/// But for what dataset.json says of where they come from.
#[test]
fn class_folders_give_what_an_archive_of_them_gives() {
    let workplace = Workplace::new();
    for (name, files) in [("large.tar", with_trouble("large/")), ("small.tar", letters("small/", 290, 40))] {
        fs::write(workplace.path(name), tar(&files)).unwrap();
    }
    workplace.unpack(Source::new("mine"), Role::Train, "large.tar", "large/", 610);
    workplace.unpack(Source::new("mine"), Role::Test, "small.tar", "small/", 80);
    let folders = ["--input", "raw/train", "--test-input", "raw/test"];
    let archives = ["--archive", "large.tar", "--test-archive", "small.tar"];
    for parts in [2, 4] {
        let [of_folders, of_archives] = [("of-folders", folders), ("of-archives", archives)].map(|(output, source)| {
            let rest = ["--output", output, "--max-rejects", "0.05", "--name", "mine"];
            workplace.run_well(&[&source[..parts], &rest].concat());
            let mut files = contents(&workplace.path(output));
            files.remove(&PathBuf::from(Dataset::FILE_NAME)).unwrap();
            let (mut dataset, _) = Dataset::read(&workplace.path(output)).unwrap();
            dataset.provenance.inputs.retain(|name, _| name == "files");
            (files, dataset)
        });
        assert_eq!(of_folders, of_archives);
    }
}

#[test]
fn what_is_no_archive_of_class_folders_is_said_as_fetch_says_it_and_leaves_nothing() {
    let good = gzip(&tar(&letters("set/", 0, 40)));
    let outside = tar(&[("set/A/1.png".to_owned(), Vec::new()), ("set/../../evil.png".to_owned(), Vec::new())].into());
    let one_class = tar(&[("set/A/1.png".to_owned(), Vec::new()), ("set/A/2.png".to_owned(), Vec::new())].into());
    let no_image = tar(&[("A/1.png".to_owned(), Vec::new()), ("B/2.png".to_owned(), b"text".to_vec())].into());
    let flat = tar(&[("1.png".to_owned(), Vec::new())].into());
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("cut", &good[..good.len() / 2], &["`set.tar.gz` is damaged after", "hint: the file may have been cut"]),
        ("end cut", &good[..good.len() - 5], &["`set.tar.gz` is damaged after", "hint: the file may have been cut"]),
        ("text", &b"some text\n".repeat(100), &["is no .tar.gz, .tgz or .tar: it is neither compressed"]),
        ("web page", b"<html>", &["it is a web page"]),
        ("outside", &outside, &["is refused: its entry `set/../../evil.png` leads out of the folder"]),
        ("flat", &flat, &["has no class folders: 1 files", "hint: images lie in class folders"]),
        ("one class", &one_class, &["`set.tar.gz` has 1 class folders; 2 to 256 are possible"]),
        (
            "no image",
            &no_image,
            &["none of the 2 files under `set.tar.gz` is an image that can be read", "train/A/1.png: it is empty"],
        ),
        ("too much", &good, &["is one file more than the 79 of --max-files", "hint: if the archive is to be trusted"]),
    ];
    for (case, bytes, expected) in cases {
        let workplace = Workplace::new();
        fs::write(workplace.path("set.tar.gz"), bytes).unwrap();
        let limit = if case == "too much" { "79" } else { "80" };
        let output = workplace.run(&["--archive", "set.tar.gz", "--output", "out", "--max-files", limit]);
        assert_eq!(output.status.code(), Some(1), "{case}");
        let said = stderr(&output);
        assert!(expected.iter().all(|part| said.contains(part)), "{case}: {said}");
        assert_eq!(fs::read_dir(workplace.0.path()).unwrap().count(), 1, "{case}: nothing but the archive");
    }
}

#[test]
fn an_archive_that_fails_leaves_the_data_set_that_was_there() {
    let workplace = Workplace::new();
    let good = gzip(&tar(&letters("set/", 0, 40)));
    fs::write(workplace.path("set.tar.gz"), &good).unwrap();
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "out"]);
    let before = contents(&workplace.path("out"));
    fs::write(workplace.path("set.tar.gz"), &good[..good.len() - 5]).unwrap();
    assert_eq!(workplace.run(&["--archive", "set.tar.gz", "--output", "out"]).status.code(), Some(1));
    assert_eq!(contents(&workplace.path("out")), before);
    assert_eq!(fs::read_dir(workplace.0.path()).unwrap().count(), 2);
}

#[test]
fn a_class_of_the_test_archive_that_the_training_archive_lacks_is_named() {
    let workplace = Workplace::new();
    fs::write(workplace.path("one.tar"), tar(&letters("set/", 0, 40))).unwrap();
    let mut test = letters("set/", 40, 5);
    test.insert("set/C/1.png".to_owned(), png(glyph("C", 1, SIZE)));
    fs::write(workplace.path("two.tar"), tar(&test)).unwrap();
    let output = workplace.run(&["--archive", "one.tar", "--test-archive", "two.tar", "--output", "out"]);
    assert!(stderr(&output).contains("`two.tar` has a class `C` that `one.tar` lacks"), "{}", stderr(&output));
}

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    let workplace = Workplace::new();
    fs::create_dir(workplace.path("a")).unwrap();
    for (arguments, expected) in [
        (&[][..], "--input <DIR>|--archive <PATH>"),
        (&["--input", "in", "--archive", "a.tar"], "cannot be used with"),
        (&["--input", "in", "--test-archive", "a.tar"], "cannot be used with"),
        (&["--archive", "a.tar", "--test-input", "in"], "cannot be used with"),
        (
            &["--archive", "a/b.tar", "--test-archive", "b.tar"],
            "the archive and the test archive are both called `b.tar`",
        ),
        (&["--archive", "a/.."], "does not end in the name of a file"),
        (&["--archive", "a/files"], "an archive cannot be called `files`"),
    ] {
        let output = workplace.run(&[arguments, &["--output", "out"]].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_file_too_large_for_an_image_is_rejected_in_both_routes_without_being_held_in_memory() {
    let workplace = Workplace::new();
    let mut files = letters("", 0, 60);
    let huge = (1 << 26) + 1;
    files.insert("A/huge.png".to_owned(), vec![0; huge]);
    fs::write(workplace.path("set.tar.gz"), gzip(&tar(&files))).unwrap();
    let source = workplace.unpack(Source::new("set"), Role::Train, "set.tar.gz", "", 121);
    artifacts::write_json(&workplace.path("raw/source.json"), &source).unwrap();
    workplace.run_well(&["--input", "raw", "--output", "of-folders"]);
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "of-archive"]);
    assert_eq!(contents(&workplace.path("of-archive")), contents(&workplace.path("of-folders")));
    let (dataset, _) = Dataset::read(&workplace.path("of-archive")).unwrap();
    assert_eq!(dataset.rejected[0].reason, format!("it has {huge} bytes; at most 67108864 are read"));
}
