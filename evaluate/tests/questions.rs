//! Drives `evaluate` with the questions that a person may ask: other priors, unlabelled images, another model, Bayes alone.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::fs;

use assert_cmd::Command;
use serde_json::{Value, json};
use support::{Example, Pair, SIDE, read_report, stderr};

fn bayes(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evaluate"));
    command.arg("bayes").args(arguments).env("NO_COLOR", "1");
    command
}

fn posterior(arguments: &[&str]) -> f64 {
    let output = bayes(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap().strip_prefix("posterior ").unwrap().trim().parse().unwrap()
}

const TEXTBOOK: [&str; 6] = ["--prior", "0.001", "--recall", "0.99", "--false-alarm", "0.05"];

/// Ten images a class; recall 0.9 and 0.8.
fn ten_each() -> Example {
    let test: Vec<Pair> = (0..20).map(|row| (row / 10, u8::from(row == 9 || (row > 9 && row < 18)))).collect();
    Example::new(&["e", "J"], &test)
}

#[test]
fn the_textbook_question_is_answered_with_each_step() {
    assert!((posterior(&TEXTBOOK) - 99.0 / 5094.0).abs() < 1e-15);
    let text = stderr(&bayes(&TEXTBOOK).assert().success());
    for line in [
        "has it and is positive      0.99 x 0.001 = 0.00099",
        "lacks it and is positive    0.05 x 0.999 = 0.04995",
        "is positive at all          0.00099 + 0.04995 = 0.05094",
        "P(T given positive)         0.00099 / 0.05094 = 0.0194346",
        "0.001001 x 19.8 (likelihood ratio) = 0.0198198",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

/// Odds 1 : 999, times 19.8 for a positive result and 0.01 / 0.95 for a negative one.
#[test]
fn results_update_one_after_the_other() {
    for (results, odds) in [
        ("positive,positive", 19.8 * 19.8 / 999.0),
        ("negative", 0.01 / 0.95 / 999.0),
        ("positive,negative,positive", 19.8 * 19.8 * 0.01 / 0.95 / 999.0),
    ] {
        let found = posterior(&[&TEXTBOOK[..], &["--results", results]].concat());
        assert!((found - odds / (1.0 + odds)).abs() < 1e-12, "{results}: {found}");
    }
}

/// As many results against T as for it leave the prior, however sure the first of them made of it.
#[test]
fn what_results_have_made_nearly_certain_others_undo() {
    for (rates, half, bound) in
        [(["0.9", "0.1"], 18, 1e-12), (["0.999", "0.001"], 120, 1e-12), (["0.9", "0.1"], 400, 1e-11)]
    {
        for [first, then] in [["positive", "negative"], ["negative", "positive"]] {
            let results = [vec![first; half], vec![then; half]].concat().join(",");
            let asked = ["--prior", "0.5", "--recall", rates[0], "--false-alarm", rates[1], "--results", &results];
            let found = posterior(&asked);
            assert!((found - 0.5).abs() < bound, "{half} {first}, then as many {then}: {found}");
        }
    }
}

/// Four false alarms of one in ten million make T all but certain; a recall of 1 then says that it was not there.
#[test]
fn what_is_all_but_certain_may_turn_out_not_to_be() {
    let results = "positive,positive,positive,positive,negative";
    let asked = ["--prior", "1e-6", "--recall", "1", "--specificity", "0.9999999", "--results", results];
    assert_eq!(posterior(&asked), 0.0);
    // What is certain stays so, however improbable what follows is.
    let many = vec!["positive"; 500].join(",");
    for (prior, expected) in [("1", 1.0), ("0", 0.0)] {
        let asked = ["--prior", prior, "--recall", "0.001", "--false-alarm", "0.001", "--results", &many];
        assert_eq!(posterior(&asked), expected);
    }
    let certain = ["--prior", "1", "--recall", "1", "--false-alarm", "0.5", "--results", "negative"];
    let text = stderr(&bayes(&certain).assert().failure().code(1));
    assert!(text.contains("error: test 1 cannot be negative: with these numbers, and P(T) = 1 before it"), "{text}");
    let text = stderr(&bayes(&["--prior", "1e-300", "--recall", "0.9", "--false-alarm", "0.1"]).assert().success());
    assert!(
        text.contains("0.9 x 1e-300 = 9e-301") && text.contains("P(T given positive)         9e-301 / 0.1 = 9e-300"),
        "{text}"
    );
}

#[test]
fn the_lecture_s_words_ask_the_same() {
    let asked = |flags: [&str; 2]| posterior(&["--prior", "0.001", flags[0], "0.99", flags[1], "0.95"]);
    assert!((asked(["--sensitivity", "--specificity"]) - 99.0 / 5094.0).abs() < 1e-12);
    assert_eq!(asked(["--sensitivity", "--specificity"]), asked(["--recall", "--specificity"]));
    bayes(&["--prior", "0.1", "--recall", "0.9"]).assert().failure().code(2);
    bayes(&[&TEXTBOOK[..], &["--specificity", "0.95"]].concat()).assert().failure().code(2);
}

#[test]
fn a_result_that_cannot_come_is_an_error_and_a_share_above_1_a_wrong_argument() {
    let impossible = ["--prior", "0", "--recall", "0.9", "--false-alarm", "0"];
    let text = stderr(&bayes(&impossible).assert().failure().code(1));
    assert!(text.contains("error: test 1 cannot be positive"), "{text}");
    for value in ["1.5", "-0.1", "much", "NaN"] {
        bayes(&["--prior", value, "--recall", "0.9", "--false-alarm", "0"]).assert().failure().code(2);
    }
}

#[test]
fn the_priors_are_those_that_need_no_file_unless_others_are_asked_for() {
    let example = ten_each().write();
    example.evaluate().assert().success();
    let names = |report: &Value| -> Vec<String> {
        let priors = report["bayes"]["priors"].as_array().unwrap();
        priors.iter().map(|prior| prior["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&read_report(&example.report())), ["test", "uniform", "english"]);

    let file = example.folder.path().join("mine.json");
    fs::write(&file, r#"{"e": 1, "J": 9}"#).unwrap();
    let text = stderr(&example.evaluate().args(["--prior", "uniform", "--prior"]).arg(&file).assert().success());
    let report = read_report(&example.report());
    assert_eq!(names(&report), ["uniform", "mine.json"]);
    assert_eq!(report["provenance"]["arguments"]["prior"], json!(["uniform", "mine.json"]));
    let digest = files::sha256_file(&file).unwrap().to_string();
    assert_eq!(report["provenance"]["inputs"]["prior mine.json"], digest);
    // 0.1 · 0.9 + 0.9 · 0.8
    let mine = &report["bayes"]["priors"][1];
    assert!((mine["unadjusted"]["accuracy"]["value"].as_f64().unwrap() - 0.81).abs() < 1e-12, "{mine}");
    assert!(text.contains("│ mine.json ┆   0.8100 ┆"), "{text}");
}

#[test]
fn a_prior_that_does_not_fit_the_classes_is_refused() {
    let example = Example::new(&["A", "BC"], &[(0, 0), (1, 1)]).write();
    let text = stderr(&example.evaluate().args(["--prior", "english"]).assert().failure().code(1));
    assert!(text.contains("needs classes that are single letters") && text.contains("hint: name a file"), "{text}");
    let file = example.folder.path().join("prior.json");
    for (content, expected) in [
        (r#"{"A": 1}"#, "class `BC` is missing"),
        (r#"{"A": 1, "BC": 1, "D": 1}"#, "`D` is none of the classes A, BC"),
        (r#"{"A": 1, "BC": -1}"#, "may not be negative"),
        (r#"{"A": 0, "BC": 0}"#, "one must be above 0"),
        (r#"{"A": 1, "BC": 2, "A": 5}"#, "class `A` has two weights, 1 and 5"),
        ("[1, 2]", "an object of one weight a class was expected"),
    ] {
        fs::write(&file, content).unwrap();
        let text = stderr(&example.evaluate().arg("--prior").arg(&file).assert().failure().code(1));
        assert!(text.contains(expected) && text.contains("prior.json"), "{text}");
        assert!(!example.report().exists());
    }
}

#[test]
fn the_prior_of_a_split_is_that_of_the_one_that_is_judged() {
    let example = ten_each().write();
    let text = stderr(&example.evaluate().args(["--prior", "test"]).assert().failure().code(2));
    assert!(text.contains("those of `split`"), "{text}");
}

#[test]
fn two_priors_of_one_name_are_refused() {
    let example = ten_each().write();
    let [one, other] = ["one", "other"].map(|folder| {
        let folder = example.folder.path().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("mine.json"), r#"{"e": 1, "J": 3}"#).unwrap();
        folder.join("mine.json")
    });
    for (one, other, name) in [(one, other, "mine.json"), ("uniform".into(), "uniform".into(), "uniform")] {
        let text =
            stderr(&example.evaluate().arg("--prior").arg(one).arg("--prior").arg(other).assert().failure().code(1));
        assert!(
            text.contains(&format!("two priors are called `{name}`")) && text.contains("hint: name each prior"),
            "{text}"
        );
        assert!(!example.report().exists());
    }
}

#[test]
fn a_prior_is_estimated_from_images_without_labels() {
    let mut example = ten_each();
    // Recall 0.9 and 0.8, as on the test split.
    example.valid = example.test.clone();
    let example = example.write();
    let file = example.folder.path().join("unlabelled.npy");
    let write = |count: usize, side: usize| {
        // 41 of 100 are taken for the first class.
        let pixels = ndarray::Array3::from_shape_fn((count, side, side), |(image, row, column)| {
            if (row, column) == (0, usize::from(image % 100 >= 41)) { 4_u8 } else { 3 }
        });
        artifacts::npy::write(&file, &pixels).unwrap();
    };
    write(300, SIDE);
    let text = stderr(&example.evaluate().arg("--estimate-prior").arg(&file).assert().success());
    let estimate = &read_report(&example.report())["bayes"]["estimated_prior"];
    assert_eq!((&estimate["images"], &estimate["predicted_share"][0]), (&json!(300), &json!(0.41)));
    let shifted = &estimate["black_box_shift_estimation"]["priors"][0];
    assert!((shifted.as_f64().unwrap() - 0.3).abs() < 1e-12, "{estimate}");
    assert_eq!(estimate["expectation_maximisation"]["converged"], true);
    assert!(text.contains("┆   BBSE │") && text.contains("┆ 0.3000 │"), "{text}");

    for (count, side) in [(0, SIDE), (3, SIDE + 1)] {
        write(count, side);
        let text = stderr(&example.evaluate().arg("--estimate-prior").arg(&file).assert().failure().code(1));
        assert!(text.contains("is not a valid array of unlabelled images: it has shape"), "{text}");
        assert!(!text.contains("hint"), "no stage writes a person's own file: {text}");
    }
}

#[test]
fn two_models_are_compared_on_the_same_images() {
    let (one, mut two) = (ten_each().write(), ten_each());
    // Both have other errors: the second is wrong on rows 0 and 1, right on 9.
    two.test[0].1 = 1;
    two.test[1].1 = 1;
    two.test[9].1 = 0;
    let two = two.write();
    one.evaluate().assert().success();
    two.evaluate().assert().success();
    // The images differ, since an image is what the model takes it for: as the data set, theirs is refused.
    let other = two.report();
    let text = stderr(&one.evaluate().arg("--compare").arg(&other).assert().failure().code(1));
    assert!(
        text.contains("the test split of another data set named `example`")
            && text.contains("hint: evaluate the other run"),
        "{text}"
    );

    let text = stderr(&one.evaluate().args(["--split", "valid", "--compare"]).arg(&other).assert().failure().code(1));
    assert!(text.contains("judges the test split of data set `example`, this one the valid split"), "{text}");

    // The same data set, and predictions that another model would have left.
    let folder = one.folder.path().join("other");
    fs::create_dir(&folder).unwrap();
    for name in ["predictions.npy", "probabilities.npy"] {
        fs::copy(two.run().report().join(name), folder.join(name)).unwrap();
    }
    let mut report = read_report(&one.report());
    for name in ["predictions.npy", "probabilities.npy"] {
        report["files"][name] = json!(files::sha256_file(&folder.join(name)).unwrap().to_string());
    }
    fs::write(folder.join("report.json"), serde_json::to_vec(&report).unwrap()).unwrap();
    let text = stderr(&one.evaluate().arg("--compare").arg(&folder).assert().success());
    let compared = read_report(&one.report());
    let comparison = &compared["comparison"];
    assert_eq!(comparison["by_font"], Value::Null);
    let reason = json!({ "figure": "comparison.by_font", "reason": "no file name tells a font" });
    assert!(compared["undefined"].as_array().unwrap().contains(&reason));
    let counts = ["both_right", "only_this_right", "only_other_right", "both_wrong", "differing"];
    assert_eq!(counts.map(|name| comparison[name].as_u64().unwrap()), [15, 2, 1, 2, 3]);
    assert_eq!(comparison["mcnemar_p"], json!(1.0));
    assert!((comparison["difference"]["value"].as_f64().unwrap() - 0.05).abs() < 1e-15);
    let rows: Vec<_> =
        comparison["images"].as_array().unwrap().iter().map(|image| image["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, [0, 1, 9]);
    assert!(text.contains("2 images only this model gets right, 1 only the other"), "{text}");

    fs::copy(one.run().report().join("predictions.npy"), folder.join("predictions.npy")).unwrap();
    let text = stderr(&one.evaluate().arg("--compare").arg(folder.join("report.json")).assert().failure().code(1));
    assert!(text.contains("predictions.npy` has SHA-256") && text.contains("recorded"), "{text}");
}

#[test]
fn the_validation_split_is_not_judged_by_its_own_temperature() {
    let mut example = ten_each();
    example.valid = example.test.clone();
    let example = example.write();
    example.evaluate().args(["--split", "valid"]).assert().success();
    let report = read_report(&example.report());
    assert_eq!(report["calibration"]["after"], Value::Null);
    let undefined = report["undefined"].as_array().unwrap();
    let reason =
        |figure: &str| undefined.iter().find(|undefined| undefined["figure"] == figure).unwrap()["reason"].clone();
    assert_eq!(reason("calibration.after"), "the temperature was fitted on this very split");
    assert_eq!(reason("overall.as_it_came"), "it is told of the test split alone");
}
