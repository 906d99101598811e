//! Training steps and schedules against PyTorch. `fixtures/make_fixtures.py` made what is compared with.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use artifacts::tensors::{Tensor, Tensors};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use support::{Images, data, hyperparameters, standin};
use train::Precision;
use train::cpu::CpuEngine;
use train::engine::{Engine, State, Step};
use train::model::Mlp;
use train::schedule::LearningRate;

#[derive(Deserialize)]
struct Case {
    height: usize,
    width: usize,
    classes: usize,
    mean: f64,
    standard_deviation: f64,
    hidden: Vec<usize>,
    batch_size: usize,
    learning_rate: f64,
    weight_decay: f64,
    label_smoothing: f64,
    clip_norm: Option<f64>,
    ema_decay: Option<f64>,
    losses: Vec<f64>,
}

#[derive(Deserialize)]
struct ScheduleCase {
    schedule: String,
    warmup: Option<f64>,
    steps: u64,
    rates: Vec<f64>,
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The description in the file's metadata, and the tensors.
fn read_case(path: &Path) -> (Case, Tensors) {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let case = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
    let tensor = |view: TensorView<'_>| {
        assert_eq!(view.dtype(), Dtype::F32);
        let values = view.data().as_chunks().0.iter().map(|&value| f32::from_le_bytes(value)).collect();
        Tensor { shape: view.shape().to_vec(), values }
    };
    let file = SafeTensors::deserialize(&bytes).unwrap();
    (case, file.iter().map(|(name, view)| (name.to_owned(), tensor(view))).collect())
}

fn ten_steps_agree(name: &str) {
    let (case, tensors) = read_case(&fixture(&format!("{name}.safetensors")));
    let bytes = |name: &str| tensors[name].values.iter().map(|&value| value as u8).collect::<Vec<u8>>();
    let images = Images {
        height: case.height,
        width: case.width,
        classes: case.classes,
        pixels: bytes("images"),
        labels: bytes("labels"),
    };
    let data = data(&images, &images, case.mean, case.standard_deviation);
    let sizes = case.hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut flags = vec![
        format!("--hidden={}", if sizes.is_empty() { "none" } else { &sizes }),
        format!("--batch-size={}", case.batch_size),
        format!("--weight-decay={}", case.weight_decay),
        format!("--label-smoothing={}", case.label_smoothing),
    ];
    flags.extend(case.clip_norm.map(|norm| format!("--clip-norm={norm}")));
    flags.extend(case.ema_decay.map(|decay| format!("--ema-decay={decay}")));
    let hyperparameters = hyperparameters(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let model = data.model(&hyperparameters);
    let on_cpu = CpuEngine::new(Arc::clone(&data), &hyperparameters, Some(2), Precision::F32).unwrap();
    let on_cuda = standin::engine(&data, &hyperparameters, Precision::F32);
    let engines: [Box<dyn Engine>; 2] = [Box::new(on_cpu), Box::new(on_cuda)];
    for engine in engines {
        steps_agree(name, engine, &case, &model, &tensors);
    }
}

fn steps_agree(name: &str, mut engine: Box<dyn Engine>, case: &Case, model: &Mlp, tensors: &Tensors) {
    engine.set_state(State::first(model.buffer("first.", tensors).unwrap(), case.ema_decay.is_some())).unwrap();

    for (index, expected) in case.losses.iter().enumerate() {
        let first = u32::try_from(index * case.batch_size).unwrap();
        let rows: Vec<u32> = (first..).take(case.batch_size).collect();
        engine.begin_epoch(1, &rows).unwrap();
        engine.train_step(&rows, Step { index: index as u64, learning_rate: case.learning_rate }).unwrap();
        let found = engine.end_epoch().unwrap();
        assert!((found - expected).abs() < 1e-5 * expected, "loss {found}, not {expected}, at step {index} of {name}");
    }
    let state = engine.state().unwrap();
    let averaged = state.averaged.as_ref().map(|averaged| (averaged, "averaged."));
    for (found, prefix) in [(&state.parameters, "last.")].into_iter().chain(averaged) {
        for (place, (found, expected)) in found.iter().zip(model.buffer(prefix, tensors).unwrap()).enumerate() {
            assert!((found - expected).abs() < 2e-6, "{found}, not {expected}, at {place} of {prefix}{name}");
        }
    }
}

#[test]
fn ten_steps_of_adam_agree_with_pytorch() {
    ten_steps_agree("adam_one_layer");
}

#[test]
fn ten_steps_of_adamw_with_label_smoothing_agree_with_pytorch() {
    ten_steps_agree("adamw_two_layers");
}

#[test]
fn ten_steps_of_softmax_regression_agree_with_pytorch() {
    ten_steps_agree("softmax_regression");
}

#[test]
fn ten_steps_with_clipped_gradients_and_averaged_weights_agree_with_pytorch() {
    ten_steps_agree("clipped_and_averaged");
}

#[test]
fn the_schedules_are_pytorch_s() {
    let cases: Vec<ScheduleCase> = serde_json::from_slice(&fs::read(fixture("schedules.json")).unwrap()).unwrap();
    for case in cases {
        let warmup = case.warmup.map(|warmup| warmup.to_string());
        let mut flags = vec!["--learning-rate", "0.01", "--schedule", &case.schedule];
        flags.extend(warmup.iter().flat_map(|warmup| ["--warmup", warmup]));
        let schedule = LearningRate::new(&hyperparameters(&flags), case.steps);
        for (step, expected) in (0..case.steps).zip(case.rates) {
            let found = schedule.at(step);
            assert!((found - expected).abs() < 1e-12, "{found}, not {expected}, at {step} of {}", case.schedule);
        }
    }
}
