//! Files that are cut, changed bit by bit, or lie: each is refused by name, or says what it said before.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use artifacts::{
    Checkpoint, Dataset, Error, Fonts, LinearLayer, ModelDescription, Part, Provenance, RemovedCounts, Role, Shard,
    ShardFile, Source, Split, SplitName, Splits, TrainingRecord, logits, npy,
};
use files::Digest;
use ndarray::{Array1, Array2, Array3};
use serde_json::{Value, json};
use tempfile::TempDir;

const HEIGHT: usize = 3;
const WIDTH: usize = 4;

/// A data set of a few rows in each split.
struct Example {
    folder: TempDir,
    dataset: Dataset,
}

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let split = |name: SplitName, rows: usize| {
            let write = |what: &str, write: &dyn Fn(&Path) -> files::Result<Digest>| {
                let path = format!("{name}/{what}");
                ShardFile { sha256: write(&folder.path().join(&path)).unwrap(), path }
            };
            let images = Array3::from_shape_fn((rows, HEIGHT, WIDTH), |(n, y, x)| (50 * n + 10 * y + x) as u8);
            let labels = Array1::from_shape_fn(rows, |row| (row % 2) as u8);
            let names: String = (0..rows).map(|row| format!("A/{row}.png\n")).collect();
            let shard = Shard {
                rows,
                images: write("images-00000.npy", &|path| npy::write(path, &images)),
                labels: write("labels-00000.npy", &|path| npy::write(path, &labels)),
                names: write("names-00000.txt", &|path| {
                    files::write_file(path, |file| file.write_all(names.as_bytes()))
                }),
            };
            Split { images: rows, images_by_class: vec![rows.div_ceil(2), rows / 2], shards: vec![shard] }
        };
        let [train, valid, test] = SplitName::ALL.map(|name| split(name, 3 + name as usize));
        let dataset = Dataset {
            provenance: Provenance::new("preprocess", "0.1.0").with_input("files", Digest::of(b"")),
            name: "example".into(),
            classes: vec!["A".into(), "B".into()],
            height: HEIGHT,
            width: WIDTH,
            mean: 0.25,
            standard_deviation: 0.5,
            splits: Splits { train, valid, test },
            fonts: Fonts::default(),
            removed: RemovedCounts::default(),
            removed_list: Digest::of(b""),
            converted: [].into(),
            rejected: vec![],
        };
        artifacts::write_json(&folder.path().join(Dataset::FILE_NAME), &dataset).unwrap();
        Self { folder, dataset }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The pixels, labels and names of all splits.
    fn rows(&self, dataset: &Dataset, verify: bool) -> Result<Vec<(Vec<u8>, u8, String)>, Error> {
        let mut rows = Vec::new();
        for name in SplitName::ALL {
            let data = dataset.open(self.folder.path(), name, verify)?;
            let names = data.names()?;
            rows.extend((0..data.len()).map(|row| (data.image(row).to_vec(), data.label(row), names[row].clone())));
        }
        Ok(rows)
    }
}

fn checkpoint() -> Checkpoint {
    let model = ModelDescription {
        classes: vec!["A".into(), "B".into()],
        height: 2,
        width: 3,
        mean: 0.25,
        standard_deviation: 0.5,
        hidden: vec![3],
        groups: NonZeroUsize::MIN,
    };
    let layer = |outputs: usize, inputs: usize| {
        LinearLayer::full(
            Array2::from_shape_fn((outputs, inputs), |(o, i)| o as f32 - i as f32 / 8.0),
            Array1::from_shape_fn(outputs, |o| o as f32),
        )
    };
    Checkpoint {
        model,
        provenance: Provenance::new("train", "0.1.0").with_seed(3),
        layers: vec![layer(3, 6), layer(2, 3)],
    }
}

/// The file with each of its bits changed in turn.
fn with_flipped_bits(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..8 * bytes.len()).map(|bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        (bit, changed)
    })
}

fn assert_names(error: &Error, path: &Path, case: impl std::fmt::Debug) {
    let message = error.to_string();
    assert!(message.contains(path.to_str().unwrap()), "{case:?}: {message}");
}

#[test]
fn a_checkpoint_that_is_cut_or_has_one_bit_changed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    checkpoint().write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    assert_eq!(Checkpoint::parse(&whole, &path).unwrap(), checkpoint());
    for cut in 0..whole.len() {
        assert_names(&Checkpoint::parse(&whole[..cut], &path).unwrap_err(), &path, cut);
    }
    for (bit, changed) in with_flipped_bits(&whole) {
        let error = Checkpoint::parse(&changed, &path).expect_err(&format!("bit {bit}"));
        assert_names(&error, &path, bit);
    }
    let longer = [&whole[..], &[0]].concat();
    assert_names(&Checkpoint::parse(&longer, &path).unwrap_err(), &path, "longer");
}

/// What is made of a checkpoint, and what is said of it then.
type Lie = (fn(&mut Checkpoint), &'static str);

#[test]
fn a_checkpoint_whose_description_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let lies: [Lie; 12] = [
        (|lie| lie.model.hidden = vec![4], "tensor `0.weight` has shape [3, 6]; its description says [4, 6]"),
        (|lie| lie.model.hidden = vec![], "tensor `0.weight` has shape [3, 6]; its description says [2, 6]"),
        (|lie| (lie.model.height, lie.model.width) = (usize::MAX, 2), "its images are 18446744073709551615x2 pixels"),
        (|lie| lie.model.width = 0, "its images are 2x0 pixels"),
        (|lie| lie.model.classes.clear(), "it has no class"),
        (|lie| lie.model.standard_deviation = 0.0, "its pixels have the mean 0.25 and the standard deviation 0"),
        (|lie| lie.model.hidden = vec![0], "its hidden layer of 0 units has no 1 equal groups"),
        (
            |lie| lie.model.groups = NonZeroUsize::MAX,
            "its hidden layer of 3 units has no 18446744073709551615 equal groups",
        ),
        (|lie| lie.model.groups = NonZeroUsize::new(3).unwrap(), "it has 3 groups, but no two hidden layers"),
        (
            |lie| {
                lie.model =
                    ModelDescription { hidden: vec![3, 3], groups: NonZeroUsize::new(3).unwrap(), ..lie.model.clone() }
            },
            "tensor `2.weight` has shape [2, 3]; its description says [3, 1]",
        ),
        (|lie| lie.layers[0].weight[[1, 2]] = f32::NAN, "tensor `0.weight` holds NaN"),
        (|lie| lie.layers[1].bias[0] = f32::NEG_INFINITY, "tensor `2.bias` holds -inf"),
    ];
    for (lie, expected) in lies {
        let mut lying = checkpoint();
        lie(&mut lying);
        lying.write(&path).unwrap();
        let message = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn a_shard_that_is_cut_or_has_one_bit_changed_is_refused() {
    let example = Example::new();
    let rows = example.rows(&example.dataset, true).unwrap();
    assert_eq!(rows.len(), 12);
    for name in ["train/images-00000.npy", "valid/labels-00000.npy", "test/names-00000.txt"] {
        let path = example.path(name);
        let whole = fs::read(&path).unwrap();
        // A killed process's file, put in its place by hand: what is mapped stays as it was.
        let replace = |bytes: &[u8]| {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        };
        for cut in 0..whole.len() {
            replace(&whole[..cut]);
            assert_names(&example.rows(&example.dataset, true).unwrap_err(), &path, cut);
        }
        // All bits of the header, and some of the values.
        for (bit, changed) in with_flipped_bits(&whole).filter(|(bit, _)| *bit < 1024 || bit % 7 == 0) {
            replace(&changed);
            assert_names(&example.rows(&example.dataset, true).unwrap_err(), &path, bit);
            // Without the digest it may pass, or not; it may not panic.
            let _whatever = example.rows(&example.dataset, false);
        }
        replace(&whole);
        assert_eq!(example.rows(&example.dataset, true).unwrap(), rows);
    }
}

#[test]
fn a_dataset_json_that_is_cut_or_has_one_bit_changed_is_refused_or_opens_the_same_rows() {
    let example = Example::new();
    let rows = example.rows(&example.dataset, true).unwrap();
    let path = example.path(Dataset::FILE_NAME);
    let whole = fs::read(&path).unwrap();
    // The last byte is a line feed.
    for cut in 0..whole.len() - 1 {
        assert_names(&Dataset::parse(&whole[..cut], &path).unwrap_err(), &path, cut);
    }
    let mut refused = 0;
    for (bit, changed) in with_flipped_bits(&whole) {
        match Dataset::parse(&changed, &path) {
            Err(error) => assert_names(&error, &path, bit),
            Ok(dataset) => match example.rows(&dataset, true) {
                Err(_) => {}
                Ok(found) => {
                    assert_eq!(found, rows, "bit {bit}");
                    continue;
                }
            },
        }
        refused += 1;
    }
    // Names and counts of what was left out may be others; most of the file is bound to something.
    assert!(refused > 5 * whole.len(), "{refused} of {}", 8 * whole.len());
}

#[test]
fn a_dataset_json_that_lies_is_refused() {
    let example = Example::new();
    let path = example.path(Dataset::FILE_NAME);
    let honest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let many: Vec<String> = (0..1000).map(|class| class.to_string()).collect();
    let cases: [(&str, Value, &str); 14] = [
        ("/kind", json!("training.json"), "is a training.json, not a dataset.json"),
        ("/schema_version", json!(2), "has schema version 2, but this build reads version 1"),
        ("/schema_version", json!(u64::MAX), "has schema version 18446744073709551615"),
        ("/classes", json!(["A"]), "it has 1 classes; 2 to 256 are possible"),
        ("/classes", json!(many), "it has 1000 classes; 2 to 256 are possible"),
        ("/height", json!(0), "its images are 0x4 pixels"),
        ("/height", json!(usize::MAX), "its images are 18446744073709551615x4 pixels"),
        ("/height", json!(-1), "invalid value"),
        ("/standard_deviation", json!(0.0), "standard deviation 0"),
        ("/mean", Value::Null, "invalid type: null"),
        ("/splits/train/shards/0/rows", json!(usize::MAX), "the counts of its train split contradict one another"),
        ("/splits/test/images_by_class/0", json!(usize::MAX), "the counts of its test split contradict one another"),
        ("/splits/valid/shards/0/images/path", json!("../../etc/passwd"), "does not lie beside it"),
        ("/splits/valid/shards/0/labels/path", json!("/etc/passwd"), "does not lie beside it"),
    ];
    for (place, value, expected) in cases {
        let mut lying = honest.clone();
        *lying.pointer_mut(place).unwrap() = value;
        let error = Dataset::parse(lying.to_string().as_bytes(), &path).unwrap_err();
        assert_names(&error, &path, place);
        assert!(error.to_string().contains(expected), "{place}: {error}");
    }
    let deep = "[".repeat(1 << 20);
    assert_names(&Dataset::parse(deep.as_bytes(), &path).unwrap_err(), &path, "deep");
}

/// A `.npy` file, version 1.0, with that header (NEP 1).
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let padding = 64 - (10 + header.len() + 1) % 64;
    let header = format!("{header}{}\n", " ".repeat(padding));
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), values].concat()
}

#[test]
fn a_shard_whose_header_lies_is_refused_without_an_allocation() {
    let mut example = Example::new();
    let path = example.path("train/images-00000.npy");
    let whole = fs::read(&path).unwrap();
    let values = &whole[whole.len() - 3 * HEIGHT * WIDTH..];
    for (header, expected) in [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 3, 4), }", None),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 4, 3), }", Some("dataset.json says [3, 3, 4]")),
        ("{'descr': '|u1', 'fortran_order': True, 'shape': (3, 3, 4), }", Some("it is in Fortran order")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (36,), }", Some("")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000000, 3, 4), }", Some("")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (18446744073709551615, 3, 4), }", Some("")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999999999, 3, 4), }", Some("")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-3, -3, 4), }", Some("")),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3, 1), }", Some("")),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (3, 3, 4), }", Some("")),
        ("{'descr': '|u1', 'shape': (3, 3, 4), }", Some("")),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 3, 4), ", Some("")),
        ("__import__('os').system('true')", Some("")),
    ] {
        let file = npy(header, values);
        fs::write(&path, &file).unwrap();
        example.dataset.splits.train.shards[0].images.sha256 = Digest::of(&file);
        match (example.rows(&example.dataset, true), expected) {
            (Ok(_), None) => {}
            (Err(error), Some(expected)) => {
                assert_names(&error, &path, header);
                assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains(expected), "{error}");
            }
            (found, _) => panic!("{header}: {found:?}"),
        }
    }
}

#[test]
fn reference_logits_that_lie_are_refused_in_little_memory_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reference-logits.npy");
    let logits = Array2::from_shape_fn((4, 2), |(row, class)| row as f32 - class as f32);
    logits::write(&path, &logits).unwrap();
    assert_eq!(logits::read(&path).unwrap().0, logits);
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_names(&logits::read(&path).unwrap_err(), &path, cut);
    }
    for shape in ["(1152921504606846976, 1)", "(4000000000000, 2)", "(4, 2, 1)", "(4,)", "(4, 3)"] {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        fs::write(&path, npy(&header, &whole[whole.len() - 32..])).unwrap();
        assert_names(&logits::read(&path).unwrap_err(), &path, shape);
    }
    let claims = |version: u8, length: u32| [b"\x93NUMPY", &[version, 0][..], &length.to_le_bytes()].concat();
    let nested = npy(&["[", "{", "("].map(|bracket| bracket.repeat(60)).concat(), &[]);
    for (file, expected) in [
        (claims(2, 0xb1d8_9e27), "claims 2983763495 bytes"),
        (claims(3, u32::MAX), "claims 4294967295 bytes"),
        (claims(1, 9_999), "ends before its header's 9999 bytes"),
        (nested, "nests too many brackets"),
    ] {
        fs::write(&path, file).unwrap();
        let error = logits::read(&path).unwrap_err();
        assert_names(&error, &path, expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    for (bit, changed) in with_flipped_bits(&whole) {
        fs::write(&path, changed).unwrap();
        if let Err(error) = logits::read(&path) {
            assert_names(&error, &path, bit);
        }
    }
}

#[test]
fn a_shard_of_another_data_set_is_found_by_its_digest() {
    let (one, other) = (Example::new(), Example::new());
    let shard = other.path("train/images-00000.npy");
    let mut bytes = fs::read(&shard).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let path = one.path("train/images-00000.npy");
    fs::write(&path, bytes).unwrap();
    let error = one.rows(&one.dataset, true).unwrap_err();
    assert!(matches!(error, Error::File(files::Error::Digest { .. })));
    // A make that is asked again compares the record alone; without that, the folder would not be replaced.
    let hint = format!("remove `{}` and run `make preprocess`", path.display());
    assert!(error.hint().unwrap().ends_with(&hint), "{error:?}");
    assert!(one.rows(&one.dataset, false).is_ok(), "--no-verify");
}

#[test]
fn a_shard_that_is_written_to_while_it_is_mapped_is_found_out() {
    let example = Example::new();
    let data = example.dataset.open(example.folder.path(), SplitName::Train, true).unwrap();
    data.check_unchanged().unwrap();
    // In its place, as no stage does: a row more, and the last label of none of the classes.
    let path = example.path("train/labels-00000.npy");
    let mut longer = [&fs::read(&path).unwrap()[..], &[1]].concat();
    let last = longer.len() - 2;
    longer[last] = 255;
    fs::write(&path, longer).unwrap();
    assert_eq!(usize::from(data.label(data.len() - 1)), example.dataset.classes.len() - 1);
    let error = data.check_unchanged().unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` was changed while it was read", path.display()));
    assert!(artifacts::hint(&error).unwrap().contains("make preprocess"));

    // As the stages do it.
    let images = example.path("valid/images-00000.npy");
    let data = example.dataset.open(example.folder.path(), SplitName::Valid, true).unwrap();
    let before = data.image(0).to_vec();
    files::write_file(&images, |writer| std::io::Write::write_all(writer, b"something else")).unwrap();
    data.check_unchanged().unwrap();
    assert_eq!(data.image(0), before);
}

#[test]
fn another_document_under_the_name_of_a_record_is_refused() {
    let example = Example::new();
    let path = example.path(Dataset::FILE_NAME);
    let message = artifacts::read_json::<TrainingRecord>(&path).unwrap_err().to_string();
    assert!(message.ends_with("is a dataset.json, not a training.json"), "{message}");
}

#[test]
fn a_damaged_file_is_to_be_removed_and_a_damaged_record_to_stay() {
    let hint = |name: &str| {
        let path = Path::new("some").join(name);
        Error::Malformed { path, kind: "file", reason: String::new() }.hint().unwrap()
    };
    for (record, stage) in [
        ("source.json", "fetch"),
        ("dataset.json", "preprocess"),
        ("training.json", "train"),
        ("export.json", "export"),
        ("report.json", "evaluate"),
    ] {
        assert_eq!(hint(record), format!("write it anew: run `make {stage}`"));
    }
    for (file, stage) in [
        ("labels-00000.npy", "preprocess"),
        ("removed.jsonl", "preprocess"),
        ("checkpoint.safetensors", "train"),
        ("metrics.jsonl", "train"),
        ("model.onnx", "export"),
    ] {
        assert_eq!(hint(file), format!("write it anew: remove `some/{file}` and run `make {stage}`"));
    }
}

#[test]
fn a_source_json_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Source::FILE_NAME);
    let part = |role: Role, directory: &str| Part {
        role,
        directory: directory.to_owned(),
        archive: "letters.tar".to_owned(),
        bytes: 1,
        files: 1,
    };
    let (train, test) = (part(Role::Train, "train"), part(Role::Test, "test"));
    for parts in [vec![train.clone()], vec![train.clone(), test.clone()]] {
        let honest = Source { parts, ..Source::new("letters") };
        artifacts::write_json(&path, &honest).unwrap();
        assert_eq!(Source::parse(&fs::read(&path).unwrap(), &path).unwrap(), honest);
    }
    let order = "not one to train on and at most one to test on";
    for (parts, expected) in [
        (vec![], order),
        (vec![test.clone()], order),
        (vec![test.clone(), train.clone()], order),
        (vec![train.clone(), train.clone()], order),
        (vec![train.clone(), test.clone(), test], order),
        (vec![part(Role::Train, "/etc")], "its part `train` lies in `/etc`"),
        (vec![train, part(Role::Test, "../..")], "its part `test` lies in `../..`"),
    ] {
        artifacts::write_json(&path, &Source { parts, ..Source::new("letters") }).unwrap();
        let error = artifacts::read_json::<Source>(&path).unwrap_err();
        assert_names(&error, &path, expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
}
