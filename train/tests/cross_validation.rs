//! Drives the real binary with `--cross-validate`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use artifacts::{CrossValidation, RunDirectory};
use ndarray::Array2;
use support::{Images, write_dataset};
use train::data::Data;

fn train(folder: &Path, run: &str, arguments: &[&str]) -> (RunDirectory, Output) {
    let run = RunDirectory::new(folder.join(run));
    let mut command = Command::new(env!("CARGO_BIN_EXE_train"));
    command.arg("--dataset").arg(folder.join("shards")).arg("--run").arg(run.path());
    let output = command
        .args(["--engine", "cpu", "--hidden", "24", "--batch-size", "64", "--epochs", "6"])
        .args(arguments)
        .output()
        .unwrap();
    (run, output)
}

fn train_well(folder: &Path, run: &str, arguments: &[&str]) -> RunDirectory {
    let (run, output) = train(folder, run, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    run
}

fn out_of_sample(run: &RunDirectory) -> (CrossValidation, Array2<f32>) {
    let (record, _) = artifacts::read_json::<CrossValidation>(&run.cross_validation()).unwrap();
    let logits = record.read_logits(&run.out_of_sample_logits(), &run.cross_validation()).unwrap();
    (record, logits)
}

fn place_of_largest(logits: ndarray::ArrayView1<'_, f32>) -> u8 {
    let places = (0..).zip(logits);
    places.max_by(|(_, one): &(u8, &f32), (_, other)| one.total_cmp(other)).unwrap().0
}

#[test]
fn wrong_labels_are_not_learnt_by_the_networks_that_predict_their_images() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::patterns(600, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &images, &Images::patterns(120, 6, 6, 4, 2), 0.45, 0.25);
    let noise = "--plant-label-noise 0.1 --learning-rate 0.01 --ema-decay 0.9 --ensemble 2";
    let noise: Vec<&str> = noise.split(' ').collect();
    let run = train_well(folder.path(), "run", &[&noise[..], &["--cross-validate", "3", "--threads", "1"]].concat());
    let (record, logits) = out_of_sample(&run);
    assert_eq!((record.folds.len(), record.epochs, logits.dim()), (3, 6, (600, 4)));
    assert_eq!(record.provenance.arguments["cross_validate"], 3);

    // The noise is that of the training; the networks see through it, where those that were fitted to it would not.
    let noisy = Data::open(&folder.path().join("shards")).unwrap().with_label_noise(0.1, 0);
    let planted: Vec<u8> = (0..600).map(|row| noisy.train_label(row)).collect();
    let predicted: Vec<u8> = logits.rows().into_iter().map(place_of_largest).collect();
    let wrong: Vec<usize> = (0..600).filter(|&row| planted[row] != images.labels[row]).collect();
    let seen_through = wrong.iter().filter(|&&row| predicted[row] == images.labels[row]).count();
    assert!(wrong.len() > 40 && seen_through as f64 > 0.9 * wrong.len() as f64, "{seen_through} of {}", wrong.len());
    let right = (0..600).filter(|&row| predicted[row] == planted[row]).count();
    assert_eq!(record.accuracy, right as f64 / 600.0);

    let again =
        train_well(folder.path(), "again", &[&noise[..], &["--cross-validate", "3", "--threads", "2"]].concat());
    assert_eq!(out_of_sample(&again), (record, logits));
    // It belongs to the training, which a resume that trains nothing more leaves as it is.
    train_well(folder.path(), "again", &[&noise[..], &["--resume"]].concat());
    assert_eq!(out_of_sample(&again), out_of_sample(&run));
    // A training that is not cross-validated leaves none that looks like its own.
    train_well(folder.path(), "again", &noise);
    assert!(!again.cross_validation().exists() && !again.out_of_sample_logits().exists());
}

#[test]
fn each_fold_s_accuracy_is_said_and_their_mean_over_the_images_is_the_record_s() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::patterns(600, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &images, &Images::patterns(120, 6, 6, 4, 2), 0.45, 0.25);
    let (run, output) = train(folder.path(), "run", &["--cross-validate", "3", "--epochs", "1"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let (record, _) = out_of_sample(&run);
    let folds = said.lines().filter_map(|line| {
        let (percent, images) = line.split_once(": accuracy ")?.1.split_once(" % on its ")?;
        Some((percent.parse::<f64>().unwrap(), images.strip_suffix(" images")?.parse::<f64>().unwrap()))
    });
    let folds: Vec<(f64, f64)> = folds.collect();
    assert_eq!((folds.len(), folds.iter().map(|(_, images)| images).sum::<f64>()), (3, 600.0), "{said}");
    let mean = folds.iter().map(|(percent, images)| percent * images).sum::<f64>() / 600.0;
    assert!((mean - 100.0 * record.accuracy).abs() < 0.006, "{said}");
    let recorded = record.folds.iter().map(|fold| (fold.accuracy() * 100.0, fold.images as f64));
    for ((said, images), (percent, recorded_images)) in folds.iter().zip(recorded) {
        assert!((said - percent).abs() < 0.006 && *images == recorded_images, "{record:?}");
    }
    let all = format!("out of sample, {:.2} % of the training images", 100.0 * record.accuracy);
    assert!(said.contains(&all), "{said}");
}

#[test]
fn a_cross_validation_that_is_there_is_not_computed_again_unless_it_is_another_one_or_broken() {
    let folder = tempfile::tempdir().unwrap();
    let images = Images::patterns(600, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &images, &Images::patterns(120, 6, 6, 4, 2), 0.45, 0.25);
    let computes = |flags: &[&str]| {
        let (run, output) = train(folder.path(), "run", flags);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("train: out of sample, "), "{said}");
        (said.contains("fold 1 of"), out_of_sample(&run))
    };
    let (_, first) = computes(&["--cross-validate", "3"]);
    assert_eq!(computes(&["--cross-validate", "3", "--resume", "--threads", "1"]), (false, first.clone()));
    let (again, two) = computes(&["--cross-validate", "2", "--resume"]);
    assert!(again && two != first);
    assert_eq!(computes(&["--cross-validate", "3", "--resume"]), (true, first.clone()));
    let logits = RunDirectory::new(folder.path().join("run")).out_of_sample_logits();
    let mut bytes = std::fs::read(&logits).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&logits, bytes).unwrap();
    assert_eq!(computes(&["--cross-validate", "3", "--resume"]), (true, first.clone()));
    // A longer training keeps none of the shorter one's.
    let (again, longer) = computes(&["--cross-validate", "3", "--resume", "--epochs", "7"]);
    assert!(again && longer != first);
}

#[test]
fn what_makes_a_cross_validation_impossible_is_said_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let one = Images::patterns(1, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &one, &Images::patterns(8, 6, 6, 4, 2), 0.45, 0.25);
    let (run, output) = train(folder.path(), "run", &["--cross-validate", "2"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("all training images fall into one of the 2 folds") && text.contains("hint:"), "{text}");
    assert!(!text.contains("epoch 1") && !run.path().exists(), "{text}");
    let (_, output) = train(folder.path(), "run", &["--cross-validate", "1"]);
    assert_eq!(output.status.code(), Some(2));

    let two = Images::patterns(60, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &two, &two, 0.45, 0.25);
    std::fs::write(folder.path().join("shards/train/names-00000.txt"), "0.png\n").unwrap();
    let (run, output) = train(folder.path(), "run", &["--cross-validate", "2", "--no-verify"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("names-00000.txt") && !text.contains("epoch 1") && !run.path().exists(), "{text}");
}
