//! Drives the `evaluate` binary over images whose predictions are known, and reads its report.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use artifacts::{Removed, RemovedImage, SplitName};
use serde_json::{Value, json};
use support::{Example, Pair, read_report, stderr};

/// Twelve images of three classes; the figures are those of `src/measures/by_class/tests.rs`, from scikit-learn.
const TWELVE: [Pair; 12] =
    [(0, 0), (1, 1), (2, 2), (0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (0, 2), (1, 0), (2, 2), (0, 0)];

fn twelve() -> Example {
    Example::new(&["A", "B", "C"], &TWELVE).write()
}

/// Why a figure is `null`.
fn reason_of<'a>(report: &'a Value, figure: &str) -> Option<&'a str> {
    let undefined = report["undefined"].as_array().unwrap();
    undefined.iter().find(|undefined| undefined["figure"] == figure)?["reason"].as_str()
}

/// The files that must be the same bytes each time.
fn reproducible_files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names =
        ["report.json", "predictions.npy", "probabilities.npy", "logits.npy", "validation-logits.npy", "saliency.npy"];
    names.map(|name| (name.to_owned(), fs::read(folder.join(name)).unwrap())).into()
}

#[test]
fn the_report_counts_what_the_model_does() {
    let example = twelve();
    let assert = example.evaluate().assert().success();
    let report = read_report(&example.report());
    assert_eq!(report["kind"], "report.json");
    assert_eq!(report["schema_version"], 7);
    assert_eq!(
        (&report["dataset"], &report["split"], &report["images"]),
        (&json!("example"), &json!("test"), &json!(12))
    );
    assert_eq!(report["by_class"]["confusion_matrix"], json!([[3, 1, 1], [1, 2, 0], [0, 1, 3]]));
    let quality = &report["overall"]["without_duplicates"];
    assert_eq!((&quality["accuracy"]["count"], &quality["accuracy"]["total"]), (&json!(8), &json!(12)));
    assert_eq!(report["by_class"]["macro_average"]["recall"], json!(0.6722222222222222));
    assert_eq!(report["by_class"]["classes"][1]["class"], "B");
    assert_eq!(report["by_class"]["classes"][1]["support"], 3);
    // All are equally sure: the first row comes first.
    let rows = |list: &Value| -> Vec<u64> {
        list.as_array().unwrap().iter().map(|image| image["row"].as_u64().unwrap()).collect()
    };
    assert_eq!(rows(&report["failures"]["confident_errors"]), [4, 6, 8, 9]);
    assert_eq!(rows(&report["failures"]["unsure_successes"]), [0, 1, 2, 3, 5, 7, 10, 11]);
    assert_eq!(report["parity"]["images"], 40);
    assert_eq!(report["parity"]["largest_relative_difference"], 0.0);
    // Each image has one pixel of 4 and the rest 3: the loss is log(e + 2), less 1 where the model is right.
    let expected = (std::f64::consts::E + 2.0).ln() - 8.0 / 12.0;
    let loss = &quality["negative_log_likelihood"];
    assert!((loss.as_f64().unwrap() - expected).abs() < 1e-12, "{loss}");

    let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let place = example.report();
    // proportion_confint(8, 12, method="wilson")
    assert_eq!(stdout, format!("accuracy 0.6667 (95 % Wilson 0.3906 to 0.8619)\nreport {}\n", place.display()));
}

#[test]
fn the_table_shows_the_terms_of_bayes_theorem() {
    let text = stderr(&twelve().evaluate().assert().success());
    for line in [
        "│ class            ┆ support ┆  prior ┆ recall ┆ false alarm rate ┆ precision ┆     F1 │",
        "│ A                ┆       5 ┆ 0.4167 ┆ 0.6000 ┆           0.1429 ┆    0.7500 ┆ 0.6667 │",
        "│ macro average    ┆      12 ┆        ┆ 0.6722 ┆           0.1634 ┆    0.6667 ┆ 0.6627 │",
        "│ weighted average ┆      12 ┆        ┆ 0.6667 ┆           0.1567 ┆    0.6875 ┆ 0.6706 │",
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
    assert_eq!(files["logits.npy"].len(), files["probabilities.npy"].len());
    assert_eq!(files["validation-logits.npy"].len(), 128 + 40 * 3 * 4);
    assert_eq!(files["saliency.npy"].len(), 128 + 3 * 64 * 4);
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "report.json") {
        assert_eq!(report["files"][name], files::Digest::of(bytes).to_string(), "{name}");
    }
    assert_eq!(report["files"].as_object().unwrap().len(), files.len() - 1);
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
        assert_eq!(report["by_class"]["confusion_matrix"], json!([[3, 1, 1], [1, 2, 0], [0, 1, 3]]), "{batch_size}");
        assert_eq!(report["provenance"]["arguments"]["batch_size"].to_string(), batch_size);
    }
}

#[test]
fn onnxruntime_leaves_nothing_in_the_home_folder() {
    let (example, home) = (twelve(), tempfile::tempdir().unwrap());
    example.evaluate().env("HOME", home.path()).env_remove("ORT_DISABLE_TELEMETRY").assert().success();
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0);
}

#[test]
fn times_stand_in_a_file_of_their_own() {
    let example = twelve();
    example.evaluate().args(["--batch-size", "8", "--threads", "1"]).assert().success();
    let timings = read_report(&example.run().report().join("timings.json"));
    assert_eq!((&timings["kind"], &timings["schema_version"]), (&json!("timings.json"), &json!(3)));
    assert_eq!(
        (&timings["provenance"]["tool"], &timings["provenance"]["version"]),
        (&json!("evaluate"), &json!(env!("CARGO_PKG_VERSION")))
    );
    let inputs = &timings["provenance"]["inputs"];
    assert_eq!(inputs["model.onnx"], files::sha256_file(&example.run().model()).unwrap().to_string());
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
    assert_eq!(report["bayes"]["priors"][0]["name"], "valid");
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
        assert_eq!(provenance["inputs"][name], files::sha256_file(&path).unwrap().to_string());
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
    let classes = &report["by_class"]["classes"];
    assert_eq!((&classes[2]["recall"]["value"], &classes[1]["precision"]["value"]), (&Value::Null, &Value::Null));
    assert_eq!(report["by_class"]["macro_average"]["recall"], json!(0.5));
    assert!(text.contains("│ C                ┆       0 ┆ 0.0000 ┆      – ┆"), "{text}");
}

#[test]
fn degenerate_data_has_a_report_without_a_number_that_is_none() {
    let sixty_two: Vec<String> = (0..62).map(|class| format!("class {class}")).collect();
    let sixty_two: Vec<&str> = sixty_two.iter().map(String::as_str).collect();
    let many: Vec<Pair> = (0..186).map(|row| ((row % 62) as u8, (row * 7 % 62) as u8)).collect();
    for (classes, test, accuracy) in [
        (&["no", "yes"][..], vec![(0, 0), (1, 1), (1, 1)], "accuracy 1.0000 (95 % Wilson 0.4385 to 1.0000)"),
        (&["no", "yes"][..], vec![(0, 1), (1, 0), (1, 0)], "accuracy 0.0000 (95 % Wilson 0.0000 to 0.5615)"),
        (&["no", "yes"][..], vec![(1, 1)], "accuracy 1.0000 (95 % Wilson 0.2065 to 1.0000)"),
        (&["A", "B", "C"][..], vec![(0, 0), (1, 2), (1, 0)], "accuracy 0.3333"),
        (&sixty_two[..], many, "accuracy 0.0"),
    ] {
        let example = Example::new(classes, &test).write();
        let assert = example.evaluate().assert().success();
        let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(stdout.starts_with(accuracy), "{stdout}");
        let text = fs::read_to_string(example.report()).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        let report = read_report(&example.report());
        assert_eq!(report["overall"]["without_duplicates"]["intervals"]["unit"], "image");
    }
}

#[test]
fn a_network_without_a_hidden_layer_is_called_softmax_regression() {
    let example = twelve();
    example.evaluate().assert().success();
    let page = fs::read_to_string(example.report().with_file_name("report.html")).unwrap();
    assert!(page.contains("Softmax regression 64–3 on") && !page.contains("perceptron"));
    assert!(page.contains("By the distance of its pixels from the class's mean."));
    assert!(page.contains("unit 0: length") && !page.contains("active for"));
}

#[test]
fn without_a_validation_image_there_is_no_threshold_and_the_reason_is_told() {
    let mut example = Example::new(&["A", "B", "C"], &TWELVE);
    example.valid = vec![(0, 0), (0, 0)];
    let example = example.write();
    example.evaluate().assert().success();
    let report = read_report(&example.report());
    let reason = reason_of(&report, "by_class.roc.classes.A.operating_points.0");
    assert_eq!(reason, Some("no validation image of another class than A is there to choose a threshold on"));
    let reason = reason_of(&report, "by_class.roc.classes.B.operating_points.0").unwrap();
    assert!(reason.starts_with("a single false alarm among the 2 validation images"), "{reason}");
}

#[test]
fn kappa_is_nothing_where_chance_agrees_on_everything() {
    let example = Example::new(&["no", "yes"], &[(1, 1), (1, 1)]).write();
    example.evaluate().assert().success();
    let report = read_report(&example.report());
    assert_eq!(report["overall"]["without_duplicates"]["cohen_kappa"], Value::Null);
    for figure in ["cohen_kappa", "intervals.cohen_kappa_95"] {
        let reason = reason_of(&report, &format!("overall.without_duplicates.{figure}"));
        assert_eq!(reason, Some("all labels and all predictions are of one class"));
    }
}

#[test]
fn a_validation_split_that_is_all_right_has_no_temperature_and_a_reason() {
    let mut example = Example::new(&["A", "B", "C"], &TWELVE);
    example.valid = vec![(0, 0), (1, 1), (2, 2)];
    let example = example.write();
    example.evaluate().assert().success();
    let report = read_report(&example.report());
    assert_eq!((&report["calibration"]["fitted"], &report["calibration"]["after"]), (&Value::Null, &Value::Null));
    for figure in ["calibration.fitted", "calibration.after"] {
        assert!(reason_of(&report, figure).unwrap().starts_with("every validation image is classified rightly"));
    }
}

#[test]
fn the_test_set_as_it_came_counts_its_duplicates_again() {
    let mut example = Example::new(&["A", "B"], &[(0, 0), (0, 1), (1, 1)]);
    // The first row of the second shard is the split's second image, a wrong one.
    let removed = |file: &str, split, reason, same_as: &str| RemovedImage {
        file: file.to_owned(),
        split,
        reason,
        same_as: same_as.to_owned(),
    };
    example.removed = vec![
        removed("x.png", SplitName::Test, Removed::Duplicate, "1/0.png"),
        removed("y.png", SplitName::Test, Removed::Duplicate, "1/0.png"),
        removed("z.png", SplitName::Train, Removed::Leak, "0/0.png"),
        removed("w.png", SplitName::Train, Removed::Duplicate, "0/0.png"),
    ];
    let example = example.write();
    example.evaluate().assert().success();
    let overall = &read_report(&example.report())["overall"];
    let count = |quality: &Value| (quality["accuracy"]["count"].clone(), quality["accuracy"]["total"].clone());
    assert_eq!(count(&overall["without_duplicates"]), (json!(2), json!(3)));
    assert_eq!(count(&overall["as_it_came"]), (json!(2), json!(5)));
}

#[test]
fn another_data_set_with_the_same_classes_is_judged_without_parity() {
    let example = twelve();
    example.evaluate().assert().success();
    let own = fs::read(example.report()).unwrap();
    example.write_dataset("another");
    let text = stderr(&example.evaluate().assert().failure().code(1));
    assert!(text.contains("is for the report on its own") && text.contains("hint: name another folder"), "{text}");
    assert!(fs::read(example.report()).unwrap() == own);

    let folder = example.folder.path().join("elsewhere");
    let place = folder.join("report.json");
    let text = stderr(&example.evaluate().arg("--output").arg(&folder).assert().success());
    assert!(text.contains("warning: parity cannot be checked on data set `another`"), "{text}");
    let report = read_report(&place);
    assert_eq!(report["parity"], Value::Null);
    let reason = reason_of(&report, "parity").unwrap();
    assert!(reason.contains("another data set"), "{reason}");
    assert_eq!(report["provenance"]["inputs"].get("reference-logits.npy"), None);
    // Nobody knows that it had no part in training.
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(
        page.contains("some of which may have had a part in training") && !page.contains("had no part in training")
    );
    example.evaluate().args(["--split", "valid", "--output"]).arg(&folder).assert().success();
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("some of which may have had a part in training") && !page.contains("which decided when"));
    let all = report.to_string();
    assert!(all.contains("which may have had some of its images") && !all.contains("no part in training"));
}

#[test]
fn what_is_no_figure_is_found_among_them_before_anything_of_an_older_report_is_removed() {
    let example = twelve();
    example.evaluate().assert().success();
    let before = fs::read(example.report()).unwrap();
    let figures = example.report().with_file_name("figures");
    fs::write(figures.join("notes.txt"), "important").unwrap();
    let text = stderr(&example.evaluate().assert().failure().code(1));
    assert!(text.contains("notes.txt` in it was not written by this tool"), "{text}");
    assert!(fs::read(example.report()).unwrap() == before && figures.join("notes.txt").exists());
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
        let digest = files::sha256_file(&path).unwrap();
        assert!(text.contains(&format!("evaluate: `{}` has SHA-256 {digest}", path.display())), "{text}");
    }
    let library = support::library();
    assert!(text.contains(&format!("evaluate: ONNX Runtime is `{}`; ORT Build Info:", library.display())), "{text}");
    assert!(text.contains("evaluate: session on cpu, 2 threads; all graph optimisations"), "{text}");
}
