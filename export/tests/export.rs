//! Drives the `export` binary on checkpoints that the tests write.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::process::{Command as Process, Output, Stdio};

use artifacts::{
    Checkpoint, LayerShape, LinearLayer, ModelDescription, ModelMetadata, Provenance, RunDirectory, TrainingRecord,
};
use assert_cmd::Command;
use files::Digest;
use ndarray::{Array1, Array2};
use onnx_rs::ast::{DataType, Graph, OpType};
use tempfile::TempDir;

fn checkpoint(hidden: &[usize]) -> Checkpoint {
    checkpoint_of_groups(hidden, NonZeroUsize::MIN)
}

fn checkpoint_of_groups(hidden: &[usize], groups: NonZeroUsize) -> Checkpoint {
    let model = ModelDescription {
        classes: vec!["A".into(), "\"é\"".into(), "B C".into()],
        height: 3,
        width: 4,
        mean: 0.4,
        standard_deviation: 0.45,
        hidden: hidden.to_vec(),
        groups,
    };
    let layer = |shape: LayerShape| LinearLayer {
        weight: Array2::from_shape_fn(shape.weight(), |(o, i)| (o as f32 - i as f32) / 8.0),
        bias: Array1::from_shape_fn(shape.outputs, |o| -(o as f32)),
        groups: shape.groups,
    };
    let layers = model.layers().into_iter().map(layer).collect();
    Checkpoint { model, provenance: Provenance::new("train", "0.1.0").with_seed(7), layers }
}

/// `runs/NAME` of a finished training.
fn finished_run(folder: &TempDir, checkpoint: &Checkpoint) -> RunDirectory {
    let run = RunDirectory::new(folder.path().join("run"));
    let digest = checkpoint.write(&run.checkpoint()).unwrap();
    let record = TrainingRecord {
        provenance: checkpoint.provenance.clone(),
        model: checkpoint.model.clone(),
        epochs: 1,
        kept_epoch: 1,
        kept_weights: artifacts::Weights::Trained,
        valid_loss: 0.5,
        valid_accuracy: 0.75,
        checkpoint: digest,
        metrics: Digest::of(b""),
        reference_logits: Digest::of(b""),
    };
    artifacts::write_json(&run.training_record(), &record).unwrap();
    run
}

fn export() -> Command {
    Command::new(env!("CARGO_BIN_EXE_export"))
}

fn export_run(run: &RunDirectory) -> assert_cmd::assert::Assert {
    export().arg("--run").arg(run.path()).assert()
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

fn operations<'a>(graph: &'a Graph<'_>) -> Vec<(&'a str, &'a str)> {
    graph.node.iter().map(|node| (node.name, node.op_type.as_str())).collect()
}

#[test]
fn the_graph_is_the_network_behind_its_standardisation() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    export_run(&run).success().stdout(format!("model {}\n", run.model().display()));

    let bytes = fs::read(run.model()).unwrap();
    let model = onnx_rs::parse(&bytes).unwrap();
    assert_eq!((model.producer_name, model.producer_version), ("export", env!("CARGO_PKG_VERSION")));
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(
        operations(graph),
        [
            ("standardise.flatten", "Flatten"),
            ("standardise.cast", "Cast"),
            ("standardise.multiply", "Mul"),
            ("standardise.add", "Add"),
            ("0.linear", "Gemm"),
            ("1.relu", "Relu"),
            ("2.linear", "Gemm"),
            ("softmax", "Softmax"),
        ]
    );
    let weight = graph.get_initializer("0.weight").unwrap();
    assert_eq!((weight.dims(), weight.data_type()), (&[5, 12][..], DataType::Float));
    let expected: Vec<f32> = checkpoint(&[5]).layers[0].weight.iter().copied().collect();
    assert_eq!(weight.as_f32().unwrap().as_ref(), expected);
    let outputs: Vec<_> = graph.output.iter().map(|output| output.name).collect();
    assert_eq!((graph.input[0].name, outputs), ("images", vec!["logits", "probabilities"]));
}

#[test]
fn a_network_without_hidden_layers_is_exported_too() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[]));
    export_run(&run).success();
    let bytes = fs::read(run.model()).unwrap();
    let model = onnx_rs::parse(&bytes).unwrap();
    let nodes = &model.graph.as_ref().unwrap().node;
    assert_eq!(nodes.iter().filter(|node| node.op_type == OpType::Gemm).count(), 1);
    assert_eq!(nodes[4].output, ["logits"]);
}

#[test]
fn a_layer_of_groups_is_a_product_a_group() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint_of_groups(&[4, 6], NonZeroUsize::new(2).unwrap());
    let run = finished_run(&folder, &checkpoint);
    let assert = export_run(&run).success();
    assert!(stderr(&assert).contains("Split, 2 Gemm, Concat"), "{}", stderr(&assert));
    assert!(stderr(&assert).contains("export: 13 nodes, 93 parameters"), "{}", stderr(&assert));
    let bytes = fs::read(run.model()).unwrap();
    let model = onnx_rs::parse(&bytes).unwrap();
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(
        operations(graph)[6..11],
        [
            ("2.split", "Split"),
            ("2.linear.0", "Gemm"),
            ("2.linear.1", "Gemm"),
            ("2.linear", "Concat"),
            ("3.relu", "Relu"),
        ]
    );
    // A group has the rows of the checkpoint's weight that are its outputs.
    let weights = ["2.weight.0", "2.weight.1"].map(|name| graph.get_initializer(name).unwrap());
    assert_eq!(weights[1].dims(), [3, 2]);
    let weights = weights.map(|weight| weight.as_f32().unwrap().into_owned()).concat();
    assert_eq!(weights, checkpoint.layers[1].weight.iter().copied().collect::<Vec<_>>());
}

#[test]
fn the_metadata_names_the_classes_and_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    export_run(&run).success();
    let bytes = fs::read(run.model()).unwrap();
    let model = onnx_rs::parse(&bytes).unwrap();
    let look_up =
        |key: &str| model.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.to_owned());
    let metadata = ModelMetadata::from_entries(look_up).unwrap();
    let (expected, digest) = Checkpoint::read(&run.checkpoint()).unwrap();
    assert_eq!((metadata.model, metadata.training), (expected.model, expected.provenance));
    assert_eq!((metadata.checkpoint, metadata.export.inputs["checkpoint.safetensors"]), (digest, digest));
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes_in_any_folder() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let models = folders.each_ref().map(|folder| {
        let run = finished_run(folder, &checkpoint(&[6, 5]));
        export_run(&run).success();
        fs::read(run.model()).unwrap()
    });
    assert!(models[0] == models[1]);

    let elsewhere = folders[0].path().join("new folder/elsewhere.onnx");
    let checkpoint = RunDirectory::new(folders[0].path().join("run")).checkpoint();
    export().arg("--checkpoint").arg(&checkpoint).arg("--output").arg(&elsewhere).assert().success();
    assert!(fs::read(elsewhere).unwrap() == models[0]);

    // A name alone is meant in the working folder.
    let here = tempfile::tempdir().unwrap();
    let mut command = export();
    command.current_dir(&here).arg("--checkpoint").arg(&checkpoint).args(["--output", "model.onnx"]).assert().success();
    assert!(fs::read(here.path().join("model.onnx")).unwrap() == models[0]);
}

#[test]
fn the_table_lists_every_node_and_quiet_leaves_only_data() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    let text = stderr(&export_run(&run).success());
    assert!(
        text.contains("│ 0.linear             ┆ Gemm        ┆ 0.output      ┆ [N, 5]  ┆         65 ┆   260 │"),
        "{text}"
    );
    assert!(text.contains("export: 8 nodes, 85 parameters"), "{text}");
    export().arg("-q").arg("--run").arg(run.path()).assert().success().stderr("");
}

#[test]
fn a_checkpoint_that_is_not_the_run_s_is_refused_and_the_old_model_stays() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    export_run(&run).success();
    let before = fs::read(run.model()).unwrap();
    checkpoint(&[6]).write(&run.checkpoint()).unwrap();
    let text = stderr(&export_run(&run).failure().code(1));
    assert!(
        text.contains("training.json` recorded") && text.contains("hint:") && text.contains("make train"),
        "{text}"
    );
    assert!(fs::read(run.model()).unwrap() == before);
}

#[test]
fn an_unfinished_run_is_refused_but_its_checkpoint_can_be_exported_on_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    fs::remove_file(run.training_record()).unwrap();
    let text = stderr(&export_run(&run).failure().code(1).stdout(""));
    for part in ["is not finished: it has no training.json", "hint:", "`train --resume`", "`export --checkpoint FILE"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(!run.model().exists());

    export().arg("--checkpoint").arg(run.checkpoint()).arg("--output").arg(run.model()).assert().success();
    assert!(run.model().exists());

    // As it is while a training is under way.
    fs::rename(run.checkpoint(), run.training_state()).unwrap();
    assert!(stderr(&export_run(&run).failure().code(1)).contains("is not finished: it has no training.json"));
}

#[test]
fn a_checkpoint_is_not_overwritten_with_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    let before = fs::read(run.checkpoint()).unwrap();
    let same = run.path().join("./checkpoint.safetensors");
    let text = stderr(&export().arg("--checkpoint").arg(run.checkpoint()).arg("--output").arg(same).assert().failure());
    assert!(text.contains("is the checkpoint, and the model to write"), "{text}");
    assert!(fs::read(run.checkpoint()).unwrap() == before);
}

#[test]
fn verbose_shows_the_metadata_in_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    assert!(!stderr(&export_run(&run).success()).contains("metadata"));
    let text = stderr(&export().arg("-v").arg("--run").arg(run.path()).assert().success());
    let digest = files::sha256_file(&run.checkpoint()).unwrap();
    assert!(text.contains(&format!("export: metadata `checkpoint`: \"{digest}\"")), "{text}");
}

#[test]
fn a_temperature_divides_the_logits_on_their_way_to_the_probabilities() {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    export().args(["--temperature", "1.6", "--run"]).arg(run.path()).assert().success();
    let bytes = fs::read(run.model()).unwrap();
    let model = onnx_rs::parse(&bytes).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let [.., last, factor, softmax] = &graph.node[..] else { panic!("{:?}", operations(graph)) };
    assert_eq!((last.output[0], factor.op_type.as_str(), softmax.output[0]), ("logits", "Mul", "probabilities"));
    assert_eq!((factor.input[0], factor.output[0], softmax.input[0]), ("logits", "tempered", "tempered"));
    let metadata = ModelMetadata::from_entries(|key| {
        model.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.to_owned())
    });
    assert_eq!(metadata.unwrap().temperature(), 1.6);
}

/// An export with its stdout elsewhere.
fn export_to(stdout: impl Into<Stdio>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let run = finished_run(&folder, &checkpoint(&[5]));
    let mut command = Process::new(env!("CARGO_BIN_EXE_export"));
    command.arg("-q").arg("--run").arg(run.path()).stdout(stdout).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_stdout_on_a_full_disk_is_an_error() {
    let output = export_to(File::options().write(true).open("/dev/full").unwrap());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("error: cannot write to stdout\n  caused by: No space left on device"), "{text}");
}

#[test]
fn a_stdout_whose_reader_has_gone_away_is_none() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = export_to(writer);
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_missing_or_broken_checkpoint_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDirectory::new(folder.path());
    let text = stderr(&export_run(&run).failure().code(1));
    assert!(text.contains("cannot read") && text.contains("hint:") && text.contains("make train"), "{text}");

    let run = finished_run(&folder, &checkpoint(&[5]));
    fs::write(run.checkpoint(), "not a checkpoint").unwrap();
    let text = stderr(&export_run(&run).failure().code(1));
    assert!(text.contains("is not a valid checkpoint") && text.contains("hint: write it anew: remove"), "{text}");
    assert!(!run.model().exists());
    // Another file is not to be written anew: it may be as it should be.
    fs::rename(run.checkpoint(), run.training_state()).unwrap();
    let arguments = ["--checkpoint", run.training_state().to_str().unwrap(), "--output", run.model().to_str().unwrap()]
        .map(ToOwned::to_owned);
    let text = stderr(&export().args(arguments).assert().failure().code(1));
    assert!(
        text.contains("is not a valid checkpoint") && text.contains("hint: name a checkpoint.safetensors"),
        "{text}"
    );
}

#[test]
fn arguments_that_do_not_fit_together_exit_2() {
    for arguments in [
        vec![],
        vec!["--output", "m.onnx"],
        vec!["--checkpoint", "c.safetensors"],
        vec!["--run", "r", "--checkpoint", "c.safetensors", "--output", "m.onnx"],
        vec!["--run", "r", "--output", "m.onnx"],
        vec!["--run", "r", "--temperature", "0"],
        vec!["--run", "r", "--temperature", "-1"],
        vec!["--run", "r", "--temperature", "inf"],
    ] {
        export().args(&arguments).assert().failure().code(2);
    }
}
