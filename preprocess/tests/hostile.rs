//! Images and archives that are broken, or made to do harm: each is decoded, or named with the reason.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use artifacts::{Dataset, SplitName};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use image::{GrayImage, Luma};
use tempfile::TempDir;

mod support;
use support::{contents, glyph, png, stderr};

const WIDTH: u32 = 5;
const HEIGHT: u32 = 6;
const SIZE: [u32; 2] = [WIDTH, HEIGHT];

/// Bytes of address space that the decoder of hostile images is given: what a broken file claims is more.
const ADDRESS_SPACE: u64 = 400 << 20;

/// A folder of two classes with 100 good images each, beside those that a test adds.
struct Workplace(TempDir);

impl Workplace {
    fn new() -> Self {
        let workplace = Self(tempfile::tempdir().unwrap());
        for class in ["A", "B"] {
            for index in 0..100 {
                workplace.file(&format!("{class}/good-{index:03}.png"), &png(glyph(class, index, SIZE)));
            }
        }
        workplace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Runs the binary within little memory, which on Linux the shell can see to.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {}; exec \"$@\"", ADDRESS_SPACE / 1024), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_preprocess")).args(["--threads", "1", "--output", "out", "--max-rejects", "1"]);
        command.args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    /// The reasons of the rejected files, and the pixels of the others, by name; the good ones, which are all there, left
    /// out.
    fn outcome(&self) -> (BTreeMap<String, String>, BTreeMap<String, Vec<u8>>) {
        let output = self.run(&["--input", "in"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let (dataset, _) = Dataset::read(&self.path("out")).unwrap();
        let below = |name: &str| name.strip_prefix("train/").unwrap().to_owned();
        let mut decoded = BTreeMap::new();
        for split in SplitName::ALL {
            let data = dataset.open(&self.path("out"), split, true).unwrap();
            let names = data.names().unwrap().into_iter().enumerate();
            decoded.extend(names.map(|(row, name)| (below(&name), data.image(row).to_vec())));
        }
        let all = decoded.len();
        decoded.retain(|name, _| !name.contains("good-"));
        assert_eq!(all - decoded.len(), 200);
        (dataset.rejected.into_iter().map(|file| (below(&file.file), file.reason)).collect(), decoded)
    }
}

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A chunk with its length and checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(name);
    checksum.update(data);
    [&(data.len() as u32).to_be_bytes(), &name[..], data, &checksum.sum().to_be_bytes()].concat()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The header of an image of that size; `form` is bit depth, colour type and interlacing.
fn header(width: u32, height: u32, form: [u8; 3]) -> Vec<u8> {
    let [depth, colour, interlacing] = form;
    let rest = [depth, colour, 0, 0, interlacing];
    chunk(b"IHDR", &[&width.to_be_bytes(), &height.to_be_bytes(), &rest[..]].concat())
}

/// A file of these chunks, with the end behind them.
fn assembled(chunks: &[Vec<u8>]) -> Vec<u8> {
    [SIGNATURE, &chunks.concat(), &chunk(b"IEND", b"")].concat()
}

/// The rows of an image, each behind the number of the filter that does nothing.
fn unfiltered(pixels: &[u8], row: usize) -> Vec<u8> {
    pixels.chunks(row).flat_map(|row| [&[0], row].concat()).collect()
}

/// The pixels in the order of the seven passes of Adam7 (PNG specification, third edition, section 8.1).
fn interlaced(image: &GrayImage) -> Vec<u8> {
    let passes = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)];
    let mut data = Vec::new();
    for (left, across, top, down) in passes {
        for y in (top..HEIGHT).step_by(down) {
            let row: Vec<u8> = (left..WIDTH).step_by(across).map(|x| image.get_pixel(x, y).0[0]).collect();
            if !row.is_empty() {
                data.extend([&[0], &row[..]].concat());
            }
        }
    }
    data
}

#[test]
fn an_image_that_is_cut_at_any_byte_is_named_and_stops_nothing() {
    let workplace = Workplace::new();
    let whole = png(glyph("A", 999, SIZE));
    for cut in 0..whole.len() {
        workplace.file(&format!("A/{cut:03}.png"), &whole[..cut]);
    }
    workplace.file("A/whole.png", &whole);
    let (rejected, decoded) = workplace.outcome();
    // Without its last chunk, which is empty, an image is whole but for the word of it.
    let end = whole.len() - 12;
    for cut in 0..end {
        let reason = &rejected[&format!("A/{cut:03}.png")];
        let expected = match cut {
            0 => "it is empty",
            1..8 => "it is no PNG file",
            8..26 => "it ends within its header",
            _ => "it does not decode: ",
        };
        assert!(reason.starts_with(expected), "{cut}: {reason}");
    }
    assert!(decoded.keys().all(|name| name == "A/whole.png" || name[2..5].parse().is_ok_and(|cut: usize| cut >= end)));
    for pixels in decoded.values() {
        assert_eq!(pixels, glyph("A", 999, SIZE).as_raw());
    }
}

#[test]
fn every_changed_byte_gives_pixels_or_a_reason() {
    let workplace = Workplace::new();
    let whole = png(glyph("A", 999, SIZE));
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        workplace.file(&format!("A/{at:03}.png"), &changed);
    }
    let (rejected, decoded) = workplace.outcome();
    // Every byte but those of the last chunk, of which nothing comes, belongs to a checksum.
    for at in 0..whole.len() - 12 {
        assert!(rejected.contains_key(&format!("A/{at:03}.png")), "{at}");
    }
    assert!(decoded.values().all(|pixels| pixels == glyph("A", 999, SIZE).as_raw()));
}

#[test]
fn what_claims_to_be_huge_is_refused_before_it_is_allocated() {
    let workplace = Workplace::new();
    let data = chunk(b"IDAT", &zlib(&[0; 100]));
    let grey = [8, 0, 0];
    for (name, width, height) in [("30000", 30_000, 30_000), ("most", u32::MAX, u32::MAX), ("wide", 1 << 31, 1)] {
        workplace.file(&format!("A/{name}.png"), &assembled(&[header(width, height, grey), data.clone()]));
    }
    workplace.file("A/nothing.png", &assembled(&[header(0, 0, grey), data.clone()]));
    // More of a colour profile than there is memory, and as much of a text.
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    (0..512).for_each(|_| encoder.write_all(&[0; 1 << 20]).unwrap());
    let zeros = encoder.finish().unwrap();
    let size = header(WIDTH, HEIGHT, grey);
    let rows = |index| chunk(b"IDAT", &zlib(&unfiltered(glyph("B", index, SIZE).as_raw(), WIDTH as usize)));
    let profile = chunk(b"iCCP", &[b"profile\0\0", &zeros[..]].concat());
    let text = chunk(b"zTXt", &[b"text\0\0", &zeros[..]].concat());
    workplace.file("B/profile.png", &assembled(&[size.clone(), profile, rows(998)]));
    workplace.file("B/text.png", &assembled(&[size.clone(), text, rows(999)]));
    // Rows without end.
    workplace.file("B/rows.png", &assembled(&[size, chunk(b"IDAT", &zeros)]));
    let (rejected, decoded) = workplace.outcome();
    assert_eq!(rejected["A/30000.png"], "it is 30000 pixels high and 30000 wide; at most 2048 a side are read");
    for name in ["A/most.png", "A/wide.png"] {
        assert!(rejected[name].ends_with("; at most 2048 a side are read"), "{name}: {}", rejected[name]);
    }
    assert!(rejected.contains_key("A/nothing.png"));
    // What comes of the others is the decoder's to say, as long as it is an image's own pixels.
    for (name, pixels) in
        [("profile", glyph("B", 998, SIZE)), ("text", glyph("B", 999, SIZE)), ("rows", GrayImage::new(5, 6))]
    {
        let name = format!("B/{name}.png");
        let is_own = decoded.get(&name).is_some_and(|found| found == pixels.as_raw());
        assert!(is_own || rejected.contains_key(&name), "{name}");
    }
}

#[test]
fn every_form_of_png_becomes_grey_and_what_only_looks_like_one_is_named() {
    let workplace = Workplace::new();
    let (grey, row) = (glyph("B", 998, SIZE), WIDTH as usize);
    let data = |bytes: &[u8]| chunk(b"IDAT", &zlib(bytes));
    let rows = data(&unfiltered(grey.as_raw(), row));
    let plain = header(WIDTH, HEIGHT, [8, 0, 0]);
    // Each pixel is its own place in a palette whose colours are grey.
    let palette: Vec<u8> = grey.as_raw().iter().flat_map(|&value| [value; 3]).collect();
    let places: Vec<u8> = (0..palette.len() as u8 / 3).collect();
    let sixteen: Vec<u8> = grey.as_raw().iter().flat_map(|&value| [value; 2]).collect();
    let opaque: Vec<u8> = grey.as_raw().iter().flat_map(|&value| [value, 255]).collect();
    let colour: Vec<u8> = grey.as_raw().iter().flat_map(|&value| [value; 3]).collect();
    let next_frame = [&[0, 0, 0, 1][..], &zlib(&unfiltered(&[7; 30], row))].concat();
    let frame = |number: u8| {
        let size = [&[0, 0, 0, number][..], &WIDTH.to_be_bytes(), &HEIGHT.to_be_bytes(), &[0; 8]].concat();
        chunk(b"fcTL", &[&size[..], &[0, 1, 0, 1, 0, 0]].concat())
    };
    let good = [
        ("plain", vec![plain.clone(), rows.clone()]),
        ("interlaced", vec![header(WIDTH, HEIGHT, [8, 0, 1]), data(&interlaced(&grey))]),
        ("palette", vec![header(WIDTH, HEIGHT, [8, 3, 0]), chunk(b"PLTE", &palette), data(&unfiltered(&places, row))]),
        ("sixteen", vec![header(WIDTH, HEIGHT, [16, 0, 0]), data(&unfiltered(&sixteen, 2 * row))]),
        ("alpha", vec![header(WIDTH, HEIGHT, [8, 4, 0]), data(&unfiltered(&opaque, 2 * row))]),
        ("colour", vec![header(WIDTH, HEIGHT, [8, 2, 0]), data(&unfiltered(&colour, 3 * row))]),
        (
            "animated",
            vec![
                plain.clone(),
                chunk(b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
                frame(0),
                rows.clone(),
                frame(1),
                chunk(b"fdAT", &next_frame),
            ],
        ),
        ("private-chunk", vec![plain.clone(), chunk(b"abCd", b"whatever"), rows.clone(), chunk(b"teST", b"")]),
        (
            "split-data",
            vec![plain.clone(), chunk(b"IDAT", &zlib(&unfiltered(grey.as_raw(), row))[..5]), {
                chunk(b"IDAT", &zlib(&unfiltered(grey.as_raw(), row))[5..])
            }],
        ),
    ];
    for (name, chunks) in &good {
        // Under two labels the same pixels would be removed, and as duplicates too: one form a run.
        let workplace = Workplace::new();
        workplace.file("B/form.png", &assembled(chunks));
        let (rejected, decoded) = workplace.outcome();
        assert_eq!((rejected.len(), decoded.len()), (0, 1), "{name}: {rejected:?}");
        assert_eq!(&decoded["B/form.png"], grey.as_raw(), "{name}");
    }

    let mut wrong_checksum = rows.clone();
    *wrong_checksum.last_mut().unwrap() ^= 1;
    let jpeg_start = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01".to_vec();
    let bad = [
        ("jpeg", jpeg_start, "it is no PNG file but image/jpeg"),
        (
            "magic",
            [b"\x89PNX\r\n\x1a\n", &assembled(&[plain.clone(), rows.clone()])[8..]].concat(),
            "it is no PNG file",
        ),
        ("checksum", assembled(&[plain.clone(), wrong_checksum]), "it does not decode: "),
        ("critical-chunk", assembled(&[plain.clone(), chunk(b"ABCD", b"x"), rows.clone()]), "it does not decode: "),
        ("no-data", assembled(std::slice::from_ref(&plain)), "it does not decode: "),
        ("no-palette", assembled(&[header(WIDTH, HEIGHT, [8, 3, 0]), rows.clone()]), "it does not decode: "),
        ("unknown-colour", assembled(&[header(WIDTH, HEIGHT, [8, 5, 0]), rows.clone()]), "it does not decode: "),
        ("unknown-filter", assembled(&[plain.clone(), data(&[9; 36])]), "it does not decode: "),
        ("few-rows", assembled(&[plain.clone(), data(&unfiltered(&grey.as_raw()[..10], row))]), "it does not decode: "),
        ("one-pixel", assembled(&[header(1, 1, [8, 0, 0]), data(&[0, 7])]), "it is 1 pixels high and 1 wide, not 6"),
    ];
    for (name, bytes, _) in &bad {
        workplace.file(&format!("B/{name}.png"), bytes);
    }
    let (rejected, decoded) = workplace.outcome();
    assert!(decoded.is_empty(), "{:?}", decoded.keys());
    for (name, _, expected) in bad {
        let reason = &rejected[&format!("B/{name}.png")];
        assert!(reason.starts_with(expected), "{name}: {reason}");
    }
}

#[test]
fn a_name_that_no_line_can_hold_is_written_with_escapes_and_its_image_is_read() {
    let workplace = Workplace::new();
    let glyphs = [("A", 998), ("B", 999)].map(|(class, index)| glyph(class, index, SIZE));
    workplace.file("B/line\nbreak.png", &png(glyphs[1].clone()));
    let no_text = workplace.path("in/A").join(OsStr::from_bytes(b"\xff.png"));
    fs::write(no_text, png(glyphs[0].clone())).unwrap();
    let (rejected, decoded) = workplace.outcome();
    assert!(rejected.is_empty(), "{rejected:?}");
    let expected =
        ["A/\u{fffd}.png", "B/line\\nbreak.png"].map(str::to_owned).into_iter().zip(glyphs.map(GrayImage::into_raw));
    assert_eq!(decoded, expected.collect());
}

#[test]
fn images_of_one_pixel_are_images() {
    let workplace = Workplace(tempfile::tempdir().unwrap());
    for (class, first) in [("A", 0), ("B", 100)] {
        for index in 0..100 {
            let pixel = GrayImage::from_pixel(1, 1, Luma([first + index]));
            workplace.file(&format!("{class}/{index}.png"), &png(pixel));
        }
    }
    let output = workplace.run(&["--input", "in"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let (dataset, _) = Dataset::read(&workplace.path("out")).unwrap();
    assert_eq!((dataset.height, dataset.width, dataset.rejected.len()), (1, 1, 0));
}

#[test]
fn shards_of_large_images_have_fewer_rows() {
    const SIDE: u32 = 2048;
    let workplace = Workplace(tempfile::tempdir().unwrap());
    let mut glyph = GrayImage::new(SIDE, SIDE);
    for (index, class) in (0..40).zip(["A", "B"].into_iter().cycle()) {
        glyph.put_pixel(index, 0, Luma([1]));
        workplace.file(&format!("{class}/{index}.png"), &png(glyph.clone()));
    }
    let mut preprocess = Command::new(env!("CARGO_BIN_EXE_preprocess"));
    let output =
        preprocess.args(["--input", "in", "--output", "out"]).current_dir(workplace.0.path()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let (dataset, _) = Dataset::read(&workplace.path("out")).unwrap();
    let rows: Vec<usize> = dataset.splits.train.shards.iter().map(|shard| shard.rows).collect();
    assert!(rows.len() > 1 && rows.iter().all(|rows| rows * (SIDE * SIDE) as usize <= 1 << 26), "{rows:?}");
}

#[test]
fn the_number_of_classes_is_limited_and_the_limit_named() {
    let glyph = png(glyph("A", 0, SIZE));
    for (classes, expected) in [(1, "has 1 class folders"), (257, "has 257 class"), (1000, "has 1000 class folders")] {
        let workplace = Workplace(tempfile::tempdir().unwrap());
        let mut builder = tar::Builder::new(Vec::new());
        for class in 0..classes {
            workplace.file(&format!("{class}/1.png"), &glyph);
            let mut header = tar::Header::new_ustar();
            header.set_size(glyph.len() as u64);
            builder.append_data(&mut header, format!("set/{class}/1.png"), &glyph[..]).unwrap();
        }
        fs::write(workplace.path("set.tar"), builder.into_inner().unwrap()).unwrap();
        for source in [["--input", "in"], ["--archive", "set.tar"]] {
            let output = workplace.run(&source);
            assert_eq!(output.status.code(), Some(1));
            let said = stderr(&output);
            assert!(said.contains(expected) && said.contains("2 to 256 are possible"), "{said}");
            assert!(!workplace.path("out").exists());
        }
    }
}

#[test]
fn a_class_without_images_is_said() {
    let workplace = Workplace::new();
    workplace.file("C/text.png", b"not a picture");
    let output = workplace.run(&["--input", "in"]);
    assert!(output.status.success());
    assert!(stderr(&output).contains("class `C` has no image in the train split"), "{}", stderr(&output));
}

/// An archive holds no empty folders, or none that is looked at.
#[test]
fn folders_with_nothing_in_them_are_no_classes_and_no_label_depends_on_them() {
    let workplace = Workplace::new();
    assert!(workplace.run(&["--input", "in"]).status.success());
    let before = contents(&workplace.path("out"));
    fs::create_dir(workplace.path("in/0")).unwrap();
    workplace.file("Aa/.DS_Store", b"");
    let output = workplace.run(&["--input", "in"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for folder in ["in/0", "in/Aa"] {
        let expected = format!("warning: `{folder}` is no class: there is nothing in it");
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
    }
    assert_eq!(contents(&workplace.path("out")), before);
}
