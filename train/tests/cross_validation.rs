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
    assert_eq!((record.folds, record.epochs, logits.dim()), (3, 6, (600, 4)));
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
fn images_that_are_all_of_one_fold_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let one = Images::patterns(1, 6, 6, 4, 1);
    write_dataset(&folder.path().join("shards"), &one, &Images::patterns(8, 6, 6, 4, 2), 0.45, 0.25);
    let (_, output) = train(folder.path(), "run", &["--cross-validate", "2"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("all training images fall into one of the 2 folds") && text.contains("hint:"), "{text}");
    let (_, output) = train(folder.path(), "run", &["--cross-validate", "1"]);
    assert_eq!(output.status.code(), Some(2));
}
