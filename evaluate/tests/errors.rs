//! Drives the `evaluate` binary into each of its errors.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::{env, fs};

use artifacts::{CrossValidation, Dataset, Fold, ModelMetadata, Provenance};
use files::Digest;
use onnx_rs::ast::DataType;
use support::{Example, ModelForm, stderr};

fn example() -> Example {
    Example::new(&["A", "B", "C"], &[(0, 0), (1, 1), (2, 0)])
}

/// The binary exits 1, says this, and leaves no report.
fn assert_refused(example: &Example, expected: &[&str]) {
    let text = stderr(&example.evaluate().assert().failure().code(1));
    for part in expected {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!example.report().exists());
}

fn assert_library_refused(library: &Path, expected: &[&str]) {
    let text = stderr(&example().write().evaluate().arg("--onnxruntime").arg(library).assert().failure().code(1));
    for part in expected.iter().chain(&["hint: run `make evaluate`"]) {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// Compiles a library in the working folder of a test.
fn compile(folder: &Path, code: &str) -> PathBuf {
    let (source, library) = (folder.join("library.rs"), folder.join("libonnxruntime.so"));
    fs::write(&source, code).unwrap();
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let status = Process::new(rustc)
        .args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"])
        .args([&library, &source])
        .status();
    assert!(status.unwrap().success());
    library
}

#[test]
fn no_library_is_an_error_with_a_hint() {
    let example = example().write();
    for value in [None, Some("")] {
        let mut command = example.evaluate();
        match value {
            None => command.env_remove("ORT_DYLIB_PATH"),
            Some(value) => command.env("ORT_DYLIB_PATH", value),
        };
        let text = stderr(&command.assert().failure().code(1));
        assert!(text.contains("error: no ONNX Runtime library is named"), "{text}");
        assert!(text.contains("hint: run `make evaluate`"), "{text}");
    }
}

#[test]
fn a_missing_library_is_an_error_that_names_its_absolute_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("libonnxruntime.so");
    assert_library_refused(&missing, &[&format!("library `{}` does not exist", missing.display())]);

    let here = env::current_dir().unwrap().join("nowhere/libonnxruntime.so");
    let expected = format!("library `{}` does not exist", here.display());
    assert_library_refused(Path::new("nowhere/libonnxruntime.so"), &[&expected]);
}

#[test]
fn a_text_file_as_a_library_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    fs::write(&library, "not a library").unwrap();
    assert_library_refused(&library, &["cannot load the ONNX Runtime library", "caused by:"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_library_s_name_alone_is_left_to_the_system_s_search() {
    let library = support::library();
    let (folder, name) = (library.parent().unwrap(), library.file_name().unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let example = example().write();
    let mut command = example.evaluate();
    command.current_dir(&elsewhere).env("LD_LIBRARY_PATH", folder).arg("--onnxruntime").arg(name);
    command.assert().success();

    assert_library_refused(Path::new("libnowhere.so"), &["cannot load the ONNX Runtime library", "caused by:"]);
}

#[test]
fn a_library_that_is_not_onnxruntime_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let library = compile(folder.path(), "#[unsafe(no_mangle)] pub extern \"C\" fn something_else() {}");
    assert_library_refused(&library, &["is not ONNX Runtime: it has no function `OrtGetApiBase`"]);
}

#[test]
fn an_older_library_is_an_error_that_names_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let code = r#"
        use std::ffi::{c_char, c_void};
        #[repr(C)]
        pub struct Base {
            api: unsafe extern "C" fn(u32) -> *const c_void,
            version: unsafe extern "C" fn() -> *const c_char,
        }
        unsafe extern "C" fn api(_version: u32) -> *const c_void { std::ptr::null() }
        unsafe extern "C" fn version() -> *const c_char { c"1.17.3".as_ptr() }
        static BASE: Base = Base { api, version };
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
    "#;
    let library = compile(folder.path(), code);
    assert_library_refused(&library, &["is ONNX Runtime 1.17.3, but 1.24 or a later 1.x is needed"]);
}

#[test]
fn a_library_is_found_from_the_working_folder() {
    let example = example().write();
    let library = support::library();
    let (folder, name) = (library.parent().unwrap(), library.file_name().unwrap());
    example.evaluate().current_dir(folder).env("ORT_DYLIB_PATH", name).assert().success();
}

#[test]
fn a_missing_model_and_one_that_is_no_model_are_errors_with_a_hint() {
    let example = example().write();
    fs::remove_file(example.run().model()).unwrap();
    assert_refused(&example, &["cannot read", "model.onnx", "hint:", "make export"]);
    fs::write(example.run().model(), "not a model").unwrap();
    let recorded = ["model.onnx` has SHA-256", "export.json` recorded", "hint:", "make export"];
    assert_refused(&example, &recorded);
    let text = stderr(&example.evaluate().arg("--no-verify").assert().failure().code(1));
    let expected = ["cannot open the model", "caused by:", "hint:", "make export"];
    assert!(expected.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_onnxruntime_warns_of_is_heard_even_when_quiet() {
    let example = example().write();
    let metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    example.write_model(&metadata, &ModelForm { unused_tensor: true, ..ModelForm::default() });
    let text = stderr(&example.evaluate().arg("-q").assert().success());
    assert!(text.contains("WARN") && text.contains("Removing initializer 'unused'"), "{text}");
}

#[test]
fn a_model_without_our_metadata_is_refused() {
    let example = example().write();
    let mut metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    metadata.schema_version = 9;
    example.write_model(&metadata, &ModelForm::default());
    assert_refused(&example, &["is not a valid exported model", "schema version 9", "make export"]);
}

#[test]
fn a_model_with_other_inputs_or_outputs_is_refused() {
    let example = example().write();
    let metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    for (form, expected) in [
        (ModelForm { input: "pixels", ..ModelForm::default() }, "has no `images`, but `images` of"),
        (ModelForm { input_type: DataType::Float, ..ModelForm::default() }, "has `images` of type"),
        (ModelForm { logits: "scores", ..ModelForm::default() }, "has no `logits`"),
    ] {
        example.write_model(&metadata, &form);
        assert_refused(&example, &[expected, "hint:", "make export"]);
    }
}

#[test]
fn a_model_of_an_older_checkpoint_is_refused() {
    let example = example().write();
    let mut metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    metadata.checkpoint = Digest::of(b"older");
    example.write_model(&metadata, &ModelForm::default());
    assert_refused(&example, &["was exported from the checkpoint", "hint: export the checkpoint again"]);
}

#[test]
fn data_of_other_classes_is_refused() {
    let mut example = example().write();
    example.classes.swap(0, 1);
    example.write_dataset("example");
    let expected = "the model's classes are A, B, C, but those of data set `example` are B, A, C";
    assert_refused(&example, &[expected, "hint:", "--dataset"]);
}

#[test]
fn data_of_another_image_size_is_refused() {
    let example = example().write();
    let mut metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    metadata.model.height = 1;
    metadata.model.width = 64;
    example.write_model(&metadata, &ModelForm { height: 1, width: 64, ..ModelForm::default() });
    assert_refused(&example, &["takes images of 1x64 pixels, but those of data set `example` have 8x8"]);
}

#[test]
fn logits_that_differ_from_the_trainer_s_are_refused() {
    let mut example = example();
    example.error_in_reference = 0.01; // Of 4, the largest logit.
    let example = example.write();
    assert_refused(
        &example,
        &["differ from the trainer's by 2.4", "e-3 of the largest on 40 validation images", "1e-4"],
    );
}

#[test]
fn reference_logits_that_are_not_the_training_s_are_refused() {
    let example = example().write();
    fs::copy(example.shards().join("valid/images.npy-0"), example.run().reference_logits()).unwrap();
    assert_refused(&example, &["reference-logits.npy` is not a valid", "hint:", "make train"]);

    let logits = ndarray::Array2::zeros((40, 3));
    artifacts::logits::write(&example.run().reference_logits(), &logits).unwrap();
    assert_refused(&example, &["reference-logits.npy` has SHA-256", "training.json` recorded", "make train"]);
}

#[test]
fn a_cross_validation_that_is_none_of_this_training_is_refused() {
    let example = example().write();
    let (_, dataset) = Dataset::read(&example.shards()).unwrap();
    let write = |folds, dataset, shape: (usize, usize)| {
        let path = example.run().out_of_sample_logits();
        let logits = artifacts::logits::write(&path, &ndarray::Array2::zeros(shape)).unwrap();
        let provenance = Provenance::new("train", "0.1.0").with_input("dataset.json", dataset);
        let folds = vec![Fold { images: 1, correct: 1 }; folds];
        let record = CrossValidation { provenance, folds, epochs: 1, accuracy: 0.5, logits };
        artifacts::write_json(&example.run().cross_validation(), &record).unwrap();
    };
    write(0, dataset, (3, 3));
    assert_refused(&example, &["cross-validation.json", "of 0 folds, no network is trained on the others"]);
    write(2, Digest::of(b"another"), (3, 3));
    assert_refused(&example, &["it is of another data set than the run's training", "hint:", "make train"]);
    write(2, dataset, (4, 3));
    assert_refused(&example, &["finite logits of shape (3, 3) were expected, but its shape is (4, 3)"]);
    write(2, dataset, (3, 3));
    example.evaluate().assert().success();
}

#[test]
fn reference_logits_of_other_images_are_refused() {
    let mut example = example().write();
    example.valid.pop();
    let digest = example.write_dataset("example");
    example.valid.push((0, 0));
    example.write_training(&Provenance::new("train", "0.1.0").with_input("dataset.json", digest));
    assert_refused(&example, &["has [40, 3] logits, but [39, 3] were expected", "hint:"]);
}

#[test]
fn logits_that_are_not_finite_are_refused() {
    let example = example().write();
    example.write_dataset("another"); // So that parity does not find it first.
    let metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    example.write_model(&metadata, &ModelForm { factor: f32::MAX, ..ModelForm::default() });
    let text = stderr(&example.evaluate().arg("--output").arg(example.folder.path()).assert().failure().code(1));
    assert!(text.contains("model.onnx` for image 0 of the test split are not finite"), "{text}");
}

#[test]
fn probabilities_that_are_not_those_of_the_logits_and_the_temperature_are_refused() {
    let example = example().write();
    let mut metadata = example.metadata(&Provenance::new("train", "0.1.0"));
    metadata.export = metadata.export.with_argument(ModelMetadata::TEMPERATURE, 2.0);
    example.write_model(&metadata, &ModelForm::default());
    // The graph divides by nothing: e / (e + 2) where √e / (√e + 2) is expected.
    let expected = "for image 0 of the test split are not those of its logits at temperature 2, ";
    assert_refused(&example, &[expected, "the largest difference is 1.2", "hint: export the checkpoint again"]);
}

#[test]
fn a_split_without_images_is_refused() {
    let example = Example::new(&["A", "B"], &[]).write();
    assert_refused(&example, &["the test split of data set `example` has no image", "hint:"]);
}

#[test]
fn a_report_does_not_go_among_a_data_set_s_files_and_a_prior_without_a_name_or_a_file_is_told_the_names() {
    let example = example().write();
    let within = stderr(&example.evaluate().arg("--output").arg(example.shards()).assert().failure().code(1));
    assert!(
        within.contains("shards` holds a data set") && within.contains("hint: name a folder of its own"),
        "{within}"
    );
    let fetched = example.folder.path().join("raw");
    fs::create_dir(&fetched).unwrap();
    fs::write(fetched.join("source.json"), "{}").unwrap();
    let within = stderr(&example.evaluate().arg("--output").arg(&fetched).assert().failure().code(1));
    assert!(within.contains("raw` holds a data set"), "{within}");
    let prior = stderr(&example.evaluate().args(["--prior", "spanish"]).assert().failure().code(1));
    assert!(prior.contains("there is no prior `spanish`, and no such file"), "{prior}");
    assert!(prior.contains("hint: split, uniform and english have a name"), "{prior}");
}

#[test]
fn an_unfinished_training_is_refused() {
    let example = example().write();
    fs::remove_file(example.run().training_record()).unwrap();
    assert_refused(&example, &["cannot read", "training.json", "hint:", "make train"]);
}

/// A driver that is none, so that the machine's own is not found.
fn without_driver(example: &Example) -> assert_cmd::Command {
    fs::write(example.folder.path().join("libcuda.so.1"), "").unwrap();
    let mut command = example.evaluate();
    command.env("LD_LIBRARY_PATH", example.folder.path());
    command
}

#[test]
fn cuda_that_was_asked_for_and_cannot_run_is_an_error_and_never_the_processor() {
    let example = example().write();
    for asked in [["--provider", "cuda"], ["--device", "0"]] {
        let output = without_driver(&example).args(asked).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("ONNX Runtime cannot use CUDA: there is no CUDA driver: ") && text.contains("hint: "),
            "{text}"
        );
        assert!(!example.report().exists());
    }
    let text = stderr(&example.evaluate().args(["--provider", "cpu", "--device", "1"]).assert().failure().code(2));
    assert!(text.contains("error: --device 1 names a GPU, but --provider cpu computes on the processor"), "{text}");
}

#[test]
fn auto_says_why_it_does_not_take_the_gpu() {
    let example = example().write();
    let output = without_driver(&example).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("evaluate: every node runs on the processor, as there is no CUDA driver: "), "{text}");
    let output = example.evaluate().args(["--provider", "cpu"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("evaluate: every node runs on the processor\n"));
}

/// With a library by the driver's name, ONNX Runtime itself has to refuse: this build of it has no CUDA provider, or finds no GPU.
#[test]
fn what_onnx_runtime_says_against_cuda_is_said() {
    let example = example().write();
    // Some library: any will do.
    std::os::unix::fs::symlink(support::library(), example.folder.path().join("libcuda.so.1")).unwrap();
    let with_driver = || {
        let mut command = example.evaluate();
        command.env("LD_LIBRARY_PATH", example.folder.path());
        command
    };
    let output = with_driver().args(["--provider", "cuda"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("ONNX Runtime cannot use CUDA: ") && !text.contains("there is no CUDA driver"), "{text}");
    let output = with_driver().output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("evaluate: every node runs on the processor, as ONNX Runtime cannot use CUDA: "), "{text}");
}

#[test]
fn wrong_arguments_exit_2() {
    for arguments in [["--batch-size", "0"], ["--threads", "0"], ["--split", "train"], ["--provider", "tpu"]] {
        example().evaluate().args(arguments).assert().failure().code(2);
    }
}

/// Every byte of a model belongs to the digest that `export` recorded of it.
#[test]
fn a_model_that_is_cut_or_has_a_bit_changed_is_refused_before_it_is_opened() {
    let example = example().write();
    let path = example.run().model();
    let whole = fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        changed
    };
    let step = whole.len() / 25;
    let cuts = (0..whole.len()).step_by(step).map(|cut| whole[..cut].to_vec());
    for bytes in cuts.chain((0..whole.len()).step_by(step).map(flipped)) {
        fs::write(&path, bytes).unwrap();
        assert_refused(&example, &["model.onnx` has SHA-256", "export.json` recorded"]);
    }
}

#[test]
fn without_the_digest_a_changed_model_is_refused_or_within_parity_and_never_ends_the_process_otherwise() {
    let example = example().write();
    let path = example.run().model();
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 60;
    for at in (0..whole.len()).step_by(step) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let assert = example.evaluate().arg("--no-verify").assert();
        let code = assert.get_output().status.code();
        assert!(matches!(code, Some(0 | 1)), "byte {at}: {code:?}: {}", stderr(&assert));
    }
}

#[test]
fn shards_that_are_not_those_of_dataset_json_are_refused_unless_nobody_is_to_look() {
    let example = example().write();
    let path = example.shards().join("test/images.npy-0");
    let mut changed = fs::read(&path).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&path, changed).unwrap();
    assert_refused(&example, &["test/images.npy-0` has SHA-256", "dataset.json` recorded"]);
    example.evaluate().arg("--no-verify").assert().success();
}

#[test]
fn a_data_set_that_counts_its_images_otherwise_is_refused() {
    let example = example().write();
    let path = example.shards().join("dataset.json");
    let mut dataset: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    dataset["splits"]["test"]["images_by_class"] = serde_json::json!([2, 0, 1]);
    fs::write(&path, dataset.to_string()).unwrap();
    let elsewhere = example.folder.path().join("elsewhere");
    let text = stderr(&example.evaluate().arg("--output").arg(&elsewhere).assert().failure().code(1));
    assert!(text.contains("dataset.json: the test split has [1, 1, 1] images of the classes, not [2, 0, 1]"), "{text}");
    assert!(text.contains("hint: write it anew: ") && !elsewhere.exists(), "{text}");
}

#[test]
fn an_export_without_its_record_is_refused() {
    let example = example().write();
    fs::remove_file(example.run().export_record()).unwrap();
    assert_refused(&example, &["cannot read", "export.json", "hint: `export` writes this file: run `make export`"]);
}
