//! Archives of this machine: unpacking, refusing, and being done already.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;

use artifacts::{Role, Source, read_json};
use support::{Workplace, append, gzip, letters, letters_of, sha256sum, tar};
use tar::EntryType;

const TWO_CLASSES: [(&str, &[u8]); 3] =
    [("set/A/1.png", b"one"), ("set/B/2.png", b"two"), ("./set/B/./3.png", b"three")];

#[test]
fn tar_tgz_and_tar_gz_give_the_same_class_folders() {
    let workplace = Workplace::new();
    let plain = tar(&TWO_CLASSES);
    for (name, bytes) in [("a.tar", plain.clone()), ("b.tgz", gzip(&plain)), ("c.tar.gz", gzip(&plain))] {
        workplace.file(name, &bytes);
        workplace.run_well(&["--archive", name, "--output", "raw"]);
        let mut tree = workplace.tree("raw");
        tree.remove("source.json");
        let expected = [("train/A/1.png", "one"), ("train/B/2.png", "two"), ("train/B/3.png", "three")];
        assert_eq!(tree, expected.map(|(name, text)| (name.to_owned(), text.into())).into(), "{name}");
    }
}

#[test]
fn a_path_a_file_url_and_an_archive_of_the_system_s_tar_are_one_road() {
    let workplace = Workplace::new();
    workplace.file("folder/deep/er/A/1.png", b"one");
    workplace.file("folder/deep/er/B/2.png", b"two");
    let made = std::process::Command::new("tar")
        .args(["czf", "a set.tar.gz", "-C", "folder", "deep"])
        .current_dir(workplace.path(""))
        .status()
        .unwrap();
    assert!(made.success());
    let path = workplace.path("a set.tar.gz");
    let url = format!("file://{}", path.display()).replace(' ', "%20");
    workplace.run_well(&["--archive", path.to_str().unwrap(), "--output", "one/raw"]);
    workplace.run_well(&["--archive", &url, "--output", "two/raw"]);
    assert_eq!(workplace.tree("one/raw"), workplace.tree("two/raw"));
    assert_eq!(workplace.names("one/raw"), ["source.json", "train/A/1.png", "train/B/2.png"]);
    assert_eq!(workplace.names("two"), ["raw/source.json", "raw/train/A/1.png", "raw/train/B/2.png"]);
}

#[test]
fn source_json_names_the_archives_with_the_digests_that_sha256sum_gives() {
    let workplace = Workplace::new();
    let train = workplace.file("mine.tar.gz", &letters());
    let test = workplace.file("other.tar.gz", &letters_of(2, 1));
    workplace.run_well(&["--archive", "mine.tar.gz", "--test-archive", "other.tar.gz"]);
    let (source, _) = read_json::<Source>(&workplace.path("data/mine/raw/source.json")).unwrap();
    assert_eq!(source.name, "mine");
    for (part, role, path, files) in
        [(&source.parts[0], Role::Train, train, 80), (&source.parts[1], Role::Test, test, 4)]
    {
        assert_eq!((part.role, part.files), (role, files));
        assert_eq!(part.bytes, fs::metadata(&path).unwrap().len());
        assert_eq!(source.provenance.inputs[&part.archive].to_string(), sha256sum(&path));
    }
    assert_eq!(workplace.names("data/mine/raw/test/A"), ["0.png", "1.png"]);
    let text = fs::read_to_string(workplace.path("data/mine/raw/source.json")).unwrap();
    assert!(!text.contains(workplace.path("").to_str().unwrap()), "{text}");
}

#[test]
fn what_is_there_already_is_left_alone_until_the_archive_changes() {
    let workplace = Workplace::new();
    let arguments = ["--archive", "set.tar.gz", "--output", "raw"];
    workplace.file("set.tar.gz", &letters_of(2, 1));
    workplace.run_well(&arguments);
    let marker = workplace.file("raw/train/marker", b"");
    assert!(workplace.run_well(&arguments).contains("is already in `raw`"));
    assert!(marker.exists());

    let folder = fs::read_dir(workplace.path("raw/train/A")).unwrap();
    folder.for_each(|file| fs::remove_file(file.unwrap().path()).unwrap());
    fs::remove_file(marker).unwrap();
    let said = workplace.run_well(&arguments);
    assert!(said.contains("where `set.tar.gz` had 4: unpacking anew") && !said.contains("already"), "{said}");
    assert!(workplace.run_well(&arguments).contains("is already in `raw`"));

    let marker = workplace.file("raw/train/marker", b"");
    workplace.file("set.tar.gz", &letters_of(2, 2));
    let said = workplace.run_well(&arguments);
    assert!(!said.contains("already"), "{said}");
    assert!(!marker.exists());

    let marker = workplace.file("raw/train/marker", b"");
    workplace.run_well(&[&arguments[..], &["--force"]].concat());
    assert!(!marker.exists());
}

#[test]
fn a_wrong_digest_is_refused_before_anything_takes_its_place() {
    let workplace = Workplace::new();
    workplace.file("set.tar.gz", &letters());
    let digest = "0".repeat(64);
    let said = workplace.run_badly(&["--archive", "set.tar.gz", "--output", "out/raw", "--sha256", &digest], 1);
    assert!(said.contains(&format!("has SHA-256 {}", sha256sum(&workplace.path("set.tar.gz")))), "{said}");
    assert!(said.contains(&digest) && said.contains("hint: look for yourself: `sha256sum"), "{said}");
    assert!(!workplace.path("out").exists());

    let digest = sha256sum(&workplace.path("set.tar.gz"));
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "out/raw", "--sha256", &digest]);
}

#[test]
fn entries_that_lead_outside_or_are_no_files_are_refused_by_name() {
    let long = format!("set/A/{}", "x".repeat(90));
    for (name, kind, target, expected) in [
        (&b"../evil.png"[..], EntryType::Regular, None, "`../evil.png` leads out of the folder"),
        (b"set/A/../../../evil.png", EntryType::Regular, None, "leads out of the folder"),
        (b"/tmp/evil.png", EntryType::Regular, None, "`/tmp/evil.png` has an absolute path"),
        (b"set/../../evil/", EntryType::Directory, None, "leads out of the folder"),
        (
            b"set/link",
            EntryType::Symlink,
            Some("/etc"),
            "is a symbolic link; only files and folders are unpacked\nhint: pack",
        ),
        (b"set/hard", EntryType::Link, Some("/etc/passwd"), "`set/hard` is a hard link"),
        (b"set/A/tty", EntryType::Char, None, "is a device"),
        (b"set/A/sda", EntryType::Block, None, "is a device"),
        (b"set/A/pipe", EntryType::Fifo, None, "is a pipe"),
        (b"set/A/1.png", EntryType::Regular, None, "`set/A/1.png` comes twice"),
        (b"set/A", EntryType::Regular, None, "is a file and a folder"),
        (b"set/A/1.png/2.png", EntryType::Regular, None, "is a file and a folder"),
        (b"set/A/\xff.png", EntryType::Regular, None, "`set/A/\\xff.png` has a name that is not UTF-8"),
        (b"set/A/\x1b[31m.png", EntryType::Regular, None, "`set/A/\\x1b[31m.png` has a name"),
        (long.as_bytes(), EntryType::Fifo, None, "is a pipe"),
    ] {
        let workplace = Workplace::new();
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, b"set/A/1.png", b"one", EntryType::Regular, None);
        append(&mut builder, name, b"", kind, target);
        workplace.file("deep/down/set.tar", &builder.into_inner().unwrap());
        let said = workplace.run_badly(&["--archive", "deep/down/set.tar", "--output", "deep/down/raw"], 1);
        assert!(said.contains("is refused: its entry `") && said.contains(expected), "{expected}: {said}");
        assert_eq!(workplace.names(""), ["deep/down/set.tar"], "{expected}");
    }
}

#[test]
fn an_archive_of_more_than_the_limits_is_refused() {
    let workplace = Workplace::new();
    workplace.file("set.tar", &tar(&TWO_CLASSES));
    let said = workplace.run_badly(&["--archive", "set.tar", "--output", "raw", "--max-files", "2"], 1);
    assert!(said.contains("is one file more than the 2 of --max-files"), "{said}");
    let said = workplace.run_badly(&["--archive", "set.tar", "--output", "raw", "--max-unpacked-bytes", "10"], 1);
    assert!(said.contains("more than the 10 bytes of --max-unpacked-bytes"), "{said}");
    workplace.run_well(&["--archive", "set.tar", "--output", "raw", "--max-files", "3", "--max-unpacked-bytes", "11"]);
}

#[test]
fn a_cut_or_corrupt_archive_leaves_what_was_there_before() {
    let workplace = Workplace::new();
    let good = letters();
    workplace.file("set.tar.gz", &good);
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "raw"]);
    let before = workplace.tree("raw");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for bytes in [&good[..good.len() - 5], &good[..good.len() / 3], &flipped] {
        workplace.file("set.tar.gz", bytes);
        let said = workplace.run_badly(&["--archive", "set.tar.gz", "--output", "raw"], 1);
        assert!(said.contains("`set.tar.gz` is damaged after"), "{said}");
        assert_eq!(workplace.tree("raw"), before);
    }
    assert_eq!(workplace.names("").len(), before.len() + 1);
}

#[test]
fn what_is_no_archive_is_told_by_its_contents() {
    let workplace = Workplace::new();
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (b"  <!doctype html><html>", "it is a web page\nhint: the site may want a login"),
        (b"PK\x03\x04....", "it is a zip file\nhint: unpack it"),
        (b"BZh9....", "it is compressed with bzip2"),
        (b"\xfd7zXZ\0..", "it is compressed with xz\nhint: unpack it"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS\nhint: `git lfs pull`"),
    ] {
        workplace.file("set.tar.gz", bytes);
        let said = workplace.run_badly(&["--archive", "set.tar.gz", "--output", "raw"], 1);
        assert!(said.contains(&format!("is no .tar.gz, .tgz or .tar: {expected}")), "{said}");
    }
    let text = b"root:x:0:0:root:/root:/bin/bash\n".repeat(100);
    let mut wrong_sum = tar(&TWO_CLASSES);
    wrong_sum[0] ^= 1;
    for (bytes, expected) in [
        (text.clone(), "it is neither compressed with gzip nor a tar archive"),
        (b"short".to_vec(), "it is neither compressed with gzip nor a tar archive"),
        (wrong_sum, "it is neither compressed with gzip nor a tar archive"),
        (gzip(&text), "what is compressed in it is no tar archive"),
        (gzip(b"short"), "what is compressed in it is no tar archive"),
    ] {
        workplace.file("set.tar.gz", &bytes);
        let said = workplace.run_badly(&["--archive", "set.tar.gz", "--output", "raw"], 1);
        assert!(said.contains(&format!("is no .tar.gz, .tgz or .tar: {expected}")), "{said}");
        assert!(!said.contains("root") && !said.contains("caused by"), "{said}");
    }
    // Text where the second entry should start.
    let mut later = tar(&[("set/A/1.png", b"one")]);
    later.truncate(1024);
    later.extend(&text);
    workplace.file("set.tar", &later);
    let said = workplace.run_badly(&["--archive", "set.tar", "--output", "raw"], 1);
    assert!(said.contains("is damaged after 1 files") && !said.contains("root"), "{said}");

    workplace.file("flat.tar", &tar(&[("1.png", b"one"), ("2.png", b"two")]));
    let said = workplace.run_badly(&["--archive", "flat.tar", "--output", "raw"], 1);
    assert!(said.contains("has no class folders"), "{said}");
}

#[test]
fn hidden_files_are_passed_over_and_said() {
    let workplace = Workplace::new();
    let entries: [(&str, &[u8]); 5] = [
        ("set/.DS_Store", b"x"),
        ("set/A/1.png", b"1"),
        ("set/A/._1.png", b"x"),
        ("set/B/2.png", b"2"),
        ("__MACOSX/set/A/1.png", b"x"),
    ];
    workplace.file("set.tar", &tar(&entries));
    let said = workplace.run_well(&["--archive", "set.tar", "--output", "raw"]);
    assert!(said.contains("3 hidden files were passed over"), "{said}");
    assert_eq!(workplace.names("raw/train"), ["A/1.png", "B/2.png"]);
}

#[test]
fn a_folder_with_files_of_somebody_else_is_not_replaced() {
    let workplace = Workplace::new();
    workplace.file("set.tar.gz", &letters());
    workplace.file("home/thesis.txt", b"ten years");
    let said = workplace.run_badly(&["--archive", "set.tar.gz", "--output", "home"], 1);
    assert!(said.contains("`home` is there and has no source.json: it is not replaced"), "{said}");
    assert_eq!(workplace.names("home"), ["thesis.txt"]);
}

#[test]
fn a_folder_for_archives_that_was_there_before_stays() {
    let workplace = Workplace::new();
    workplace.file("set.tar.gz", &letters_of(1, 1));
    fs::create_dir_all(workplace.path("mine/empty")).unwrap();
    let arguments = ["--archive", "set.tar.gz", "--output", "raw", "--archives", "mine/empty"];
    workplace.run_well(&arguments);
    assert!(workplace.path("mine/empty").is_dir());
}

#[test]
fn what_a_killed_run_left_in_staging_is_not_taken_for_whole() {
    let workplace = Workplace::new();
    workplace.file("set.tar.gz", &letters());
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "whole/raw"]);
    workplace.file("killed/.raw.partial/train/A/half.png", b"h");
    workplace.file("killed/.raw.partial/source.json", b"{}");
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "killed/raw"]);
    assert_eq!(workplace.tree("killed"), workplace.tree("whole"));
}

#[test]
fn a_run_killed_while_it_unpacks_gives_the_same_when_it_is_run_again() {
    use std::thread;
    use std::time::Duration;

    let workplace = Workplace::new();
    let arguments = ["--archive", "set.tar.gz", "--output", "killed/raw"];
    workplace.file("set.tar.gz", &letters_of(4000, 3));
    workplace.run_well(&["--archive", "set.tar.gz", "--output", "whole/raw"]);
    let mut child = workplace.command(&arguments).spawn().unwrap();
    while !workplace.path("killed/.raw.partial/train.unpacking/letters/A/100.png").exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it is still at work");
        thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!workplace.path("killed/raw").exists());
    workplace.run_well(&arguments);
    assert!(workplace.tree("killed") == workplace.tree("whole"));
}

#[test]
fn the_sample_comes_with_the_program_and_has_a_thousand_glyphs_a_class() {
    let workplace = Workplace::new();
    workplace.run_well(&["--dataset", "sample", "--output", "one/raw"]);
    workplace.run_well(&["--dataset", "sample", "--output", "two/raw", "--keep-archive"]);
    let tree = workplace.tree("one/raw");
    assert!(tree == workplace.tree("two/raw"));
    for class in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"] {
        let of_class = tree.iter().filter(|(name, _)| name.starts_with(&format!("train/{class}/")));
        assert!(of_class.count() > 900, "{class}");
    }
    let (name, bytes) = tree.iter().find(|(name, _)| name.starts_with("train/A/")).unwrap();
    let image = image::load_from_memory(bytes).unwrap();
    assert_eq!((image.width(), image.height(), image.color()), (28, 28, image::ColorType::L8), "{name}");
    let recorded = include_str!("../sample/notMNIST_sample.sha256").trim();
    assert_eq!(sha256sum(&workplace.path("two/archives/notMNIST_sample.tar.gz")), recorded);
    assert!(workplace.run_well(&["--dataset", "sample", "--output", "one/raw"]).contains("already"));
}

#[test]
fn arguments_that_make_no_sense_end_with_2_and_say_what_would() {
    const DIGEST: &str = "1e8261b75484b520dc76027f5c22af50fe608e3bb16277caec086eb928f9b61c";
    let workplace = Workplace::new();
    for (arguments, expected) in [
        (&[][..], "--dataset <NAME>|--archive <PATH_OR_URL>"),
        (&["--output", "raw"], "--dataset <NAME>|--archive <PATH_OR_URL>"),
        (&["--dataset", "notmist"], "notmnist"),
        (&["--dataset", "sample", "--archive", "a.tar"], "cannot be used with"),
        (&["--archive", "a.tar", "--sha256", "abc"], "64 hexadecimal digits"),
        (&["--dataset", "sample", "--sha256", DIGEST], "'--dataset <NAME>' cannot be used with '--sha256 <HEX>'"),
        (&["--dataset", "sample", "--test-archive", "a.tar", "--test-sha256", DIGEST], "cannot be used with"),
        (&["--dataset", "sample", "--test-sha256", DIGEST], "'--dataset <NAME>' cannot be used with"),
        (&["--dataset", "sample", "--test-archive", "a.tar"], "'--dataset <NAME>' cannot be used with"),
        (&["--dataset", "sample", "--name", "mine"], "'--dataset <NAME>' cannot be used with"),
        (&["--archive", "a.tar", "--test-sha256", DIGEST], "--test-archive <PATH_OR_URL>"),
        (&["--archive", "a.tar", "--name", ""], "is not empty"),
        (&["--archive", "a.tar", "--name", "a/b"], "one folder's, without separators"),
        (&["--archive", "a.tar", "--name", "/"], "one folder's, without separators"),
        (&["--archive", "a.tar", "--name", "."], "does not start with a full stop"),
        (&["--archive", "a.tar", "--name", ".."], "does not start with a full stop"),
        (&["--archive", "a.tar", "--name", ".hidden"], "does not start with a full stop"),
        (&["--archive", "a.tar", "--name", "a\nb"], "holds no control characters"),
        (&["--archive", "ftp://host/a.tar"], "the scheme `ftp`"),
        (&["--archive", "https://host/"], "does not end in the name of a file"),
        (&["--archive", "x/a.tar", "--test-archive", "y/a.tar"], "both called `a.tar`"),
    ] {
        let said = workplace.run_badly(arguments, 2);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(workplace.names(""), Vec::<String>::new());
    let said = workplace.run_badly(&["--archive", "absent.tar.gz"], 1);
    assert!(said.contains("cannot read `absent.tar.gz`"), "{said}");
}

#[test]
fn a_folder_for_archives_within_the_output_is_refused_where_one_may_be_stored_there() {
    let workplace = Workplace::new();
    workplace.file("letters.tar", &tar(&[("A/1.png", b"one"), ("B/2.png", b"two")]));
    fs::create_dir(workplace.path("real")).unwrap();
    std::os::unix::fs::symlink("real", workplace.path("link")).unwrap();
    let (url, file) = ("http://127.0.0.1:1/letters.tar", "letters.tar");
    for (archive, places) in [
        (url, &["--output", "out/archives"][..]),
        (url, &["--output", "raw", "--archives", "./raw/kept"]),
        (url, &["--output", "real", "--archives", "link/kept"]),
    ] {
        let said = workplace.run_badly(&[&["--archive", archive][..], places].concat(), 2);
        assert!(said.contains("archives cannot be kept in `") && said.contains("hint: name another folder"), "{said}");
    }
    workplace.run_well(&["--archive", file, "--output", "out/archives"]);
    workplace.run_well(&["--dataset", "sample", "--output", "archives"]);
    let said = workplace.run_badly(&["--dataset", "sample", "--output", "other/archives", "--keep-archive"], 2);
    assert!(said.contains("archives cannot be kept in `"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_list_that_is_lost_on_a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_fetch")).arg("list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_list_of_known_data_sets_is_lines_with_tabs_on_stdout() {
    let output = Workplace::new().run(&["list", "-q"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let small = text.lines().find(|line| line.starts_with("notmnist-small\t")).unwrap();
    let fields: Vec<_> = small.split('\t').collect();
    let digest = "76b2ef7ccc56452964780569db37b279c9cbe1bf442c3b38be784752683b3cec";
    assert_eq!(fields[1..5], ["train", "notMNIST_small.tar.gz", "8458043", digest]);
    assert!(output.stderr.is_empty());
}
