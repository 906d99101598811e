//! Drives the `evaluate` binary over images whose predictions are known, and reads its report.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Example, Pair, read_report, stderr};

/// Twelve images of three classes; the figures are those of `src/metrics/tests.rs`, from scikit-learn.
const TWELVE: [Pair; 12] =
    [(0, 0), (1, 1), (2, 2), (0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (0, 2), (1, 0), (2, 2), (0, 0)];

fn twelve() -> Example {
    Example::new(&["A", "B", "C"], &TWELVE).write()
}

/// The files that must be the same bytes each time.
fn reproducible_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = ["report.json", "predictions.npy", "probabilities.npy"];
    names.map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap())).into()
}

#[test]
fn the_report_counts_what_the_model_does() {
    let example = twelve();
    let assert = example.evaluate().assert().success();
    let report = read_report(&example.report());
    assert_eq!(report["kind"], "report.json");
    assert_eq!(report["schema_version"], 1);
    assert_eq!(
        (&report["dataset"], &report["split"], &report["images"]),
        (&json!("example"), &json!("test"), &json!(12))
    );
    assert_eq!(report["confusion_matrix"], json!([[3, 1, 1], [1, 2, 0], [0, 1, 3]]));
    assert_eq!((&report["accuracy"]["correct"], &report["accuracy"]["total"]), (&json!(8), &json!(12)));
    assert_eq!(report["macro_average"]["recall"], json!(0.6722222222222222));
    assert_eq!(report["per_class"][1]["class"], "B");
    assert_eq!(report["per_class"][1]["support"], 3);
    assert_eq!(report["parity"]["images"], 40);
    assert_eq!(report["parity"]["largest_relative_difference"], 0.0);
    // Each image has one pixel of 4 and the rest 3: the loss is log(e + 2), less 1 where the model is right.
    let expected = (std::f64::consts::E + 2.0).ln() - 8.0 / 12.0;
    assert!((report["loss"].as_f64().unwrap() - expected).abs() < 1e-12, "{}", report["loss"]);

    let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let place = example.report();
    // proportion_confint(8, 12, method="wilson")
    assert_eq!(stdout, format!("accuracy 0.6667 (95 % Wilson 0.3906 to 0.8619)\nreport {}\n", place.display()));
}

#[test]
fn the_table_shows_the_terms_of_bayes_theorem() {
    let text = stderr(&twelve().evaluate().assert().success());
    for line in [
        "│ class         ┆ support ┆  prior ┆ recall ┆ false alarms ┆ precision ┆     F1 │",
        "│ A             ┆       5 ┆ 0.4167 ┆ 0.6000 ┆       0.1429 ┆    0.7500 ┆ 0.6667 │",
        "│ macro average ┆      12 ┆        ┆ 0.6722 ┆       0.1634 ┆    0.6667 ┆ 0.6627 │",
        "│ true \\ predicted ┆ A ┆ B ┆ C │",
        "│ B                ┆ 1 ┆ 2 ┆ 0 │",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("images/s") && text.contains("99th percentile"), "{text}");
    twelve().evaluate().arg("-q").assert().success().stderr("");
}

#[test]
fn the_files_beside_the_report_hold_every_image_s_prediction() {
    let example = twelve();
    example.evaluate().assert().success();
    let files = reproducible_files(&example.run().report());
    // A .npy of version 1 has a header of 128 bytes here, then the values.
    let predictions: Vec<u8> = TWELVE.iter().map(|&(_, seen)| seen).collect();
    assert_eq!(files["predictions.npy"][128..], predictions);
    assert_eq!(files["probabilities.npy"].len(), 128 + 12 * 3 * 4);
    let report = read_report(&example.report());
    for name in ["predictions.npy", "probabilities.npy"] {
        assert_eq!(report["files"][name], artifacts::Digest::of(&files[name]).to_string());
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_with_any_number_of_threads_and_in_any_place() {
    let (first, second) = (twelve(), twelve());
    first.evaluate().args(["--threads", "1"]).assert().success();
    let output = second.folder.path().join("elsewhere/report");
    second.evaluate().args(["--threads", "3", "--provider", "cpu"]).arg("--output").arg(&output).assert().success();
    assert_eq!(reproducible_files(&first.run().report()), reproducible_files(&output));
    assert!(!second.run().report().exists());
}

#[test]
fn batches_that_do_not_divide_the_split_lose_no_image() {
    let example = twelve();
    for batch_size in ["1", "5", "12", "4096"] {
        example.evaluate().args(["--batch-size", batch_size]).assert().success();
        let report = read_report(&example.report());
        assert_eq!(report["confusion_matrix"], json!([[3, 1, 1], [1, 2, 0], [0, 1, 3]]), "{batch_size}");
        assert_eq!(report["provenance"]["arguments"]["batch_size"].to_string(), batch_size);
    }
}

#[test]
fn times_stand_in_a_file_of_their_own() {
    let example = twelve();
    example.evaluate().args(["--batch-size", "8", "--threads", "1"]).assert().success();
    let timings = read_report(&example.run().report().join("timings.json"));
    assert_eq!((&timings["kind"], &timings["schema_version"]), (&json!("timings.json"), &json!(1)));
    assert_eq!(
        (&timings["provenance"]["tool"], &timings["provenance"]["version"]),
        (&json!("evaluate"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let inputs = &timings["provenance"]["inputs"];
    assert_eq!(inputs["model.onnx"], artifacts::sha256_file(&example.run().model()).unwrap().to_string());
    assert!(inputs["dataset.json"].is_string() && inputs["training.json"].is_string(), "{timings}");
    assert_eq!((&timings["threads"], &timings["batch_size"], &timings["images"]), (&json!(1), &json!(8), &json!(12)));
    assert_eq!((&timings["batch"]["images"], &timings["one_image"]["images"]), (&json!(8), &json!(1)));
    for latency in [&timings["batch"], &timings["one_image"]] {
        let median = latency["median_seconds"].as_f64().unwrap();
        assert!(median > 0.0 && median <= latency["percentile_99_seconds"].as_f64().unwrap(), "{timings}");
    }
    assert!(timings["images_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_validation_split_can_be_judged_too() {
    let example = twelve();
    example.evaluate().args(["--split", "valid"]).assert().success();
    let report = read_report(&example.report());
    assert_eq!((&report["split"], &report["images"]), (&json!("valid"), &json!(40)));
    assert_eq!(report["provenance"]["arguments"]["split"], "valid");
}

#[test]
fn provenance_names_the_inputs_and_the_runtime() {
    let example = twelve();
    example.evaluate().assert().success();
    let provenance = &read_report(&example.report())["provenance"];
    for (name, path) in [
        ("dataset.json", example.shards().join("dataset.json")),
        ("training.json", example.run().training_record()),
        ("model.onnx", example.run().model()),
        ("reference-logits.npy", example.run().reference_logits()),
    ] {
        assert_eq!(provenance["inputs"][name], artifacts::sha256_file(&path).unwrap().to_string());
    }
    assert_eq!(provenance["inputs"].as_object().unwrap().len(), 4);
    assert!(provenance["arguments"]["onnxruntime"].as_str().unwrap().starts_with("1."), "{provenance}");
}

#[test]
fn what_does_not_exist_is_null_and_a_dash() {
    // C has no image, and B is never said.
    let example = Example::new(&["A", "B", "C"], &[(0, 0), (1, 2), (1, 0)]).write();
    let text = stderr(&example.evaluate().assert().success());
    let report = read_report(&example.report());
    assert_eq!((&report["per_class"][2]["recall"], &report["per_class"][1]["precision"]), (&Value::Null, &Value::Null));
    assert_eq!(report["macro_average"]["recall"], json!(0.5));
    assert!(text.contains("│ C             ┆       0 ┆ 0.0000 ┆      – ┆"), "{text}");
}

#[test]
fn all_right_all_wrong_and_a_single_image_have_a_report() {
    for (test, accuracy) in [
        (vec![(0, 0), (1, 1), (1, 1)], "accuracy 1.0000 (95 % Wilson 0.4385 to 1.0000)"),
        (vec![(0, 1), (1, 0), (1, 0)], "accuracy 0.0000 (95 % Wilson 0.0000 to 0.5615)"),
        (vec![(1, 1)], "accuracy 1.0000 (95 % Wilson 0.2065 to 1.0000)"),
    ] {
        let example = Example::new(&["no", "yes"], &test).write();
        let assert = example.evaluate().assert().success();
        let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(stdout.starts_with(accuracy), "{stdout}");
    }
}

#[test]
fn another_data_set_with_the_same_classes_is_judged_without_parity() {
    let example = twelve();
    example.write_dataset("another");
    let text = stderr(&example.evaluate().assert().success());
    assert!(text.contains("warning: parity cannot be checked on data set `another`"), "{text}");
    let report = read_report(&example.report());
    assert_eq!(report["parity"], Value::Null);
    assert!(report["parity_unchecked"].as_str().unwrap().contains("another data set"));
    assert_eq!(report["provenance"]["inputs"].get("reference-logits.npy"), None);
}

#[test]
fn an_evaluation_that_is_cut_short_leaves_no_older_report_to_vouch_for_its_files() {
    let example = twelve();
    example.evaluate().assert().success();
    let folder = example.run().report();
    fs::write(folder.join("notes.txt"), "a person's own").unwrap();
    // It gets as far as the file before the report.
    fs::remove_file(folder.join("timings.json")).unwrap();
    fs::create_dir(folder.join("timings.json")).unwrap();
    let text = stderr(&example.evaluate().args(["--split", "valid"]).assert().failure().code(1));
    assert!(text.contains("timings.json"), "{text}");
    assert_eq!(fs::read(folder.join("predictions.npy")).unwrap().len(), 128 + 40);
    assert!(!example.report().exists());
    assert!(folder.join("notes.txt").exists());
}

#[test]
fn an_evaluation_that_is_refused_leaves_the_older_report_as_it_was() {
    let example = twelve();
    example.evaluate().assert().success();
    let before = reproducible_files(&example.run().report());
    fs::write(example.run().model(), "not a model").unwrap();
    example.evaluate().assert().failure().code(1);
    assert_eq!(reproducible_files(&example.run().report()), before);
}

#[test]
fn verbose_names_what_was_read_and_how_the_model_is_run() {
    let example = twelve();
    assert!(!stderr(&example.evaluate().assert().success()).contains("SHA-256"));
    let text = stderr(&example.evaluate().args(["-v", "--threads", "2"]).assert().success());
    for path in [
        example.shards().join("dataset.json"),
        example.run().training_record(),
        example.run().model(),
        example.run().reference_logits(),
    ] {
        let digest = artifacts::sha256_file(&path).unwrap();
        assert!(text.contains(&format!("evaluate: `{}` has SHA-256 {digest}", path.display())), "{text}");
    }
    let library = support::library();
    assert!(text.contains(&format!("evaluate: ONNX Runtime is `{}`; ORT Build Info:", library.display())), "{text}");
    assert!(text.contains("evaluate: session on cpu, 2 threads; all graph optimisations"), "{text}");
}
