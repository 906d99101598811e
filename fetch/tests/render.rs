//! Rendering small fonts whose pixels are known; `fonts/make.py` made them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::Workplace;

fn fonts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fonts")
}

/// Copies some of the fonts to a folder.
fn copy(workplace: &Workplace, names: &[(&str, &str)]) {
    for (from, to) in names {
        workplace.file(to, &fs::read(fonts().join(from)).unwrap());
    }
}

/// The pixels of a letter of a font, by the image crate.
fn glyph(workplace: &Workplace, letter: char, font: &str) -> image::GrayImage {
    use base64::Engine as _;
    let name = base64::engine::general_purpose::STANDARD.encode(font);
    image::open(workplace.path(&format!("raw/train/{letter}/{name}.png"))).unwrap().to_luma8()
}

#[test]
fn what_render_writes_fetch_unpacks_and_the_pixels_are_the_font_s() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Blocks.ttf", "fonts/Blocks.ttf")]);
    workplace.run_well(&["render", "--fonts", "fonts", "--keep-symbols", "--output", "mine.tar.gz"]);
    workplace.run_well(&["--archive", "mine.tar.gz", "--output", "raw"]);
    // `printf %s Blocks.ttf | base64`
    let expected: Vec<_> = ('A'..='J').map(|letter| format!("{letter}/QmxvY2tzLnR0Zg==.png")).collect();
    assert_eq!(workplace.names("raw/train"), expected);

    // 28 pixels for 400 by 700 units: the bar is 14 wide, the foot 4 high, a square 7 by 4. A is 0: no square. B is 1:
    // the topmost. Away from the edges, where the filter rings, values are exact.
    let (a, b) = (glyph(&workplace, 'A', "Blocks.ttf"), glyph(&workplace, 'B', "Blocks.ttf"));
    assert_eq!(a.dimensions(), (28, 28));
    for image in [&a, &b] {
        assert_eq!((image.get_pixel(5, 5).0, image.get_pixel(5, 27).0), ([255], [255]));
        assert_eq!((image.get_pixel(27, 27).0, image.get_pixel(17, 12).0), ([255], [0]));
    }
    assert_eq!((a.get_pixel(27, 0).0, b.get_pixel(27, 0).0), ([0], [255]));
}

#[test]
fn the_same_fonts_give_the_same_bytes_wherever_they_lie() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Blocks.ttf", "one/z/Blocks.ttf"), ("Blocks Wide.ttf", "one/a/Blocks Wide.ttf")]);
    copy(&workplace, &[("Blocks Wide.ttf", "two/y/Blocks Wide.ttf"), ("Blocks.ttf", "two/x/y/z/Blocks.ttf")]);
    workplace.run_well(&["render", "--fonts", "one", "--keep-symbols", "--output", "first/set.tar.gz"]);
    workplace.run_well(&["render", "--fonts", "two/y", "two/x", "--keep-symbols", "--output", "second/set.tar.gz"]);
    assert!(workplace.tree("first") == workplace.tree("second"));
    assert_eq!(workplace.names("first"), ["set.tar.gz", "set.tar.gz.fonts.tsv"]);
    let mut list = std::process::Command::new("tar");
    let listed = list.args(["tvzf", "first/set.tar.gz"]).env("TZ", "UTC").current_dir(workplace.path("")).output();
    let listed = listed.unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 20);
    assert!(listed.lines().all(|line| line.starts_with("-rw-r--r-- 0/0") && line.contains("1970-01-01 00:00 set/")));
}

#[test]
fn the_rendered_bytes_are_those_of_every_other_machine() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Blocks.ttf", "fonts/Blocks.ttf"), ("Blocks Wide.ttf", "fonts/Blocks Wide.ttf")]);
    workplace.run_well(&["render", "--fonts", "fonts", "--keep-symbols", "--output", "set.tar.gz"]);
    // Changes with the drawing or with the compressor, and then the sample is to be made anew.
    let recorded = "b34844f8cef9415292dd11ca64e9f5c09d23495e94191c64d1c9cc56da4affc7";
    assert_eq!(support::sha256sum(&workplace.path("set.tar.gz")), recorded);
}

#[test]
fn a_font_that_is_left_out_is_said_with_its_reason() {
    let workplace = Workplace::new();
    for name in ["Blocks.ttf", "Lacking.ttf", "Boxes.ttf", "Symbols.ttf"] {
        copy(&workplace, &[(name, &format!("fonts/{name}"))]);
    }
    copy(&workplace, &[("Blocks.ttf", "fonts/Copy.ttf")]);
    workplace.file("fonts/Broken.otf", b"OTTO and nothing more");
    workplace.file("fonts/README.txt", b"not a font");
    let said = workplace.run_well(&["render", "--fonts", "fonts", "--output", "set.tar.gz", "--keep-symbols", "-v"]);
    let list = fs::read_to_string(workplace.path("set.tar.gz.fonts.tsv")).unwrap();
    for (font, reason) in [
        ("Lacking.ttf", "has no `J`"),
        ("Boxes.ttf", "`A` and `B` look the same"),
        ("Symbols.ttf", "its character map is not Unicode: a symbol font"),
        ("Copy.ttf", "the same file as `Blocks.ttf`"),
        ("Broken.otf", "cannot be read as a font"),
    ] {
        assert!(said.contains(&format!("left out `fonts/{font}`: {reason}")), "{said}");
        let line = list.lines().find(|line| line.starts_with(&format!("{font}\t"))).unwrap();
        assert!(line.contains(&format!("\tleft out: {reason}")), "{line}");
    }
    assert!(list.contains("\ttaken\tBlocks\tMIT\n"), "{list}");
    assert!(!list.contains("README"), "{list}");
}

#[test]
fn a_family_is_thinned_out_evenly_in_the_order_of_its_names() {
    let workplace = Workplace::new();
    for name in ["Blocks.ttf", "Blocks Wide.ttf", "Blocks Narrow.ttf"] {
        copy(&workplace, &[(name, &format!("fonts/{name}"))]);
    }
    workplace.run_well(&[
        "render",
        "--fonts",
        "fonts",
        "--max-per-family",
        "2",
        "--keep-symbols",
        "--output",
        "set.tar.gz",
    ]);
    let list = fs::read_to_string(workplace.path("set.tar.gz.fonts.tsv")).unwrap();
    let taken: Vec<_> = list.lines().filter(|line| line.contains("\ttaken\t")).collect();
    assert_eq!(taken.len(), 2);
    assert!(list.contains("left out: 2 fonts of its family were taken"), "{list}");
}

#[test]
fn the_classes_and_the_size_are_as_asked_for() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Lacking.ttf", "fonts/Lacking.ttf")]);
    let arguments = ["render", "--fonts", "fonts", "--classes", "A-BI", "--size", "32", "--output", "set.tgz"];
    let said = workplace.run_well(&arguments);
    assert!(said.contains("warning: whether the fonts show letters or symbols was not checked"), "{said}");
    workplace.run_well(&["--archive", "set.tgz", "--output", "raw"]);
    assert_eq!(workplace.names("raw/train").len(), 3);
    assert_eq!(glyph(&workplace, 'I', "Lacking.ttf").dimensions(), (32, 32));
}

#[test]
fn a_folder_without_a_font_of_all_letters_is_an_error_that_counts_them() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Lacking.ttf", "fonts/Lacking.ttf")]);
    let said = workplace.run_badly(&["render", "--fonts", "fonts", "--output", "set.tar.gz"], 1);
    assert!(said.contains("none of 1 font files is used, under `fonts`"), "{said}");
    let said = workplace.run_badly(&["render", "--fonts", "absent", "--output", "set.tar.gz"], 1);
    assert!(said.contains("cannot read the folder `absent`"), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
    workplace.file("empty/README.txt", b"not a font");
    let said = workplace.run_badly(&["render", "--fonts", "empty", "--output", "set.tar.gz"], 1);
    assert!(said.contains("error: there is no .ttf or .otf file under `empty`"), "{said}");
    let said = workplace.run_badly(&["render", "--fonts", "fonts", "--output", "set.zip"], 2);
    assert!(said.contains("`set.zip` does not end in .tar.gz or .tgz"), "{said}");
    let said = workplace.run_badly(&["render", "--fonts", "fonts", "--classes", "J-A", "--output", "set.tgz"], 2);
    assert!(said.contains("the range `J-A` runs backwards"), "{said}");
}

#[test]
fn a_symbol_font_among_a_few_is_told_by_the_sample_s_letters() {
    let workplace = Workplace::new();
    for name in ["Letters.ttf", "Letters Bold.ttf", "Blocks.ttf"] {
        copy(&workplace, &[(name, &format!("fonts/{name}"))]);
    }
    for classes in ["A-J", "BD-F"] {
        let arguments = ["render", "--fonts", "fonts", "--classes", classes, "--output", "set.tar.gz"];
        let said = workplace.run_well(&arguments);
        assert!(said.contains("left out: symbols or another script") && !said.contains("warning"), "{said}");
        let list = fs::read_to_string(workplace.path("set.tar.gz.fonts.tsv")).unwrap();
        assert_eq!(list.matches("\ttaken\t").count(), 2, "{list}");
        let line = list.lines().find(|line| line.starts_with("Blocks.ttf\t")).unwrap();
        assert!(line.contains("letters look like letters: symbols or another script"), "{line}");
    }
    let said = workplace.run_well(&["render", "--fonts", "fonts", "--size", "32", "--output", "set.tar.gz"]);
    assert!(said.contains("warning: whether the fonts show letters or symbols was not checked"), "{said}");
}

#[test]
fn a_font_file_that_cannot_be_read_is_left_out_with_a_warning() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Letters.ttf", "fonts/Letters.ttf")]);
    std::os::unix::fs::symlink("nowhere", workplace.path("fonts/Dangling.ttf")).unwrap();
    fs::create_dir(workplace.path("fonts/Folder.ttf")).unwrap();
    let said = workplace.run_well(&["render", "--fonts", "fonts", "--output", "set.tar.gz", "-q"]);
    let expected = "warning: left out `fonts/Dangling.ttf`: cannot be read: No such file or directory";
    assert!(said.starts_with(expected) && said.lines().count() == 1, "{said}");
    let list = fs::read_to_string(workplace.path("set.tar.gz.fonts.tsv")).unwrap();
    assert!(list.contains("Dangling.ttf\t-\tleft out: cannot be read"), "{list}");
    assert_eq!(list.lines().count(), 3, "{list}");
}

#[test]
fn quiet_stands_before_the_command_or_behind_it() {
    let workplace = Workplace::new();
    copy(&workplace, &[("Letters.ttf", "fonts/Letters.ttf")]);
    let render = ["render", "--fonts", "fonts", "--output", "set.tar.gz"];
    assert_eq!(workplace.run_well(&[&["-q"], &render[..]].concat()), "");
    assert_eq!(workplace.run_well(&[&render[..], &["-q"]].concat()), "");
    assert!(workplace.run_well(&[&render[..], &["-v"]].concat()).contains("wrote 10 glyphs"));
    assert_eq!(workplace.run_well(&["--quiet", "list"]), "");
    workplace.run_badly(&[&["-q"], &render[..], &["-v"]].concat(), 2);
    let said = workplace.run_badly(&[&["--dataset", "sample"], &render[..]].concat(), 2);
    assert!(said.contains("cannot be used with"), "{said}");
}
