//! The CUDA engine over stand-ins for CUDA's libraries (`tests/standin`): what it computes, not how fast. With TEST_ON_GPU set,
//! over the libraries and the device that this machine has.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use artifacts::Weights;
use support::case::{CASES, Case, EPOCH, after_steps, mixed_rows, steps};
use support::{Images, data, standin};
use train::cpu::CpuEngine;
use train::data::Data;
use train::engine::{Engine, State, Step, Validation};
use train::{Hyperparameters, Precision};

fn nearly_agrees_with_the_reference(precision: Precision, of_loss: f64, of_gradient: f64) {
    for (case, classes) in CASES.iter().flat_map(|case| [(case, 4), (case, 40)]) {
        case.step_nearly_agrees(classes, of_loss, of_gradient, |data, hyperparameters| {
            Box::new(standin::engine(data, hyperparameters, precision))
        });
    }
}

#[test]
fn a_step_s_gradients_and_loss_agree_with_the_reference() {
    for (case, classes) in CASES.iter().flat_map(|case| [(case, 4), (case, 40)]) {
        case.step_agrees(classes, 1e-5, |data, hyperparameters| {
            Box::new(standin::engine(data, hyperparameters, Precision::F32))
        });
    }
}

#[test]
fn products_in_tf32_agree_with_the_reference_to_their_precision() {
    // Operands are rounded to a 2,048th.
    nearly_agrees_with_the_reference(Precision::Tf32, 4e-3, 3e-2);
}

#[test]
fn products_in_bf16_agree_with_the_reference_to_their_precision() {
    // Operands and activations are rounded to a 256th.
    nearly_agrees_with_the_reference(Precision::Bf16, 4e-2, 2e-1);
}

/// Trainings that together use everything: 300 images in batches, the last of which is a part of one.
const TRAININGS: [(&str, usize); 6] = [
    ("--hidden none --label-smoothing 0.1", 64),
    ("--hidden 33,18", 77),
    ("--hidden 40,24 --dropout 0.3 --input-dropout 0.1 --ema-decay 0.9 --weight-decay 0.1", 128),
    ("--hidden 24 --augment strong --clip-norm 0.5 --label-smoothing 0.1", 99),
    ("--hidden 17,9,30 --loss symmetric-cross-entropy --augment light --dropout 0.2 --clip-norm 1 --ema-decay 0.95", 1),
    ("--hidden 50 --loss generalized-cross-entropy --input-dropout 0.3", 300),
];

fn engines(case: &Case, data: &Arc<Data>, precision: Precision) -> [Box<dyn Engine>; 2] {
    let (_, on_cpu) = case.engine(data, 2);
    [Box::new(on_cpu), Box::new(standin::engine(data, &case.hyperparameters(), precision))]
}

/// The loss of every step, and the state after the last of two epochs (of batches of one image, of a part of one).
fn trained(engine: &mut dyn Engine, images: usize, batch_size: usize) -> (Vec<f64>, State) {
    let mut losses = Vec::new();
    let (epochs, images) = if batch_size == 1 { (1, 20) } else { (2, images) };
    for epoch in 0..epochs {
        let rows = mixed_rows(images);
        for (index, batch) in rows.chunks(batch_size).enumerate() {
            let index = (epoch * rows.len().div_ceil(batch_size) + index) as u64;
            engine.begin_epoch(EPOCH + epoch as u32, batch).unwrap();
            engine.train_step(batch, Step { index, learning_rate: 3e-3 }).unwrap();
            losses.push(engine.end_epoch().unwrap());
        }
    }
    (losses, engine.state().unwrap())
}

#[test]
fn every_step_s_loss_and_the_last_parameters_are_the_cpu_engine_s() {
    let images = Images::patterns(300, 7, 9, 10, 3);
    let data = data(&images, &images, 0.45, 0.25);
    for (flags, batch_size) in TRAININGS {
        let case = Case { flags, images: 300, batch_size };
        let [cpu, cuda] =
            engines(&case, &data, Precision::F32).map(|mut engine| trained(engine.as_mut(), 300, batch_size));
        for (step, (found, expected)) in cuda.0.iter().zip(&cpu.0).enumerate() {
            assert!(
                (found - expected).abs() < 2e-5 * expected,
                "loss {found}, not {expected}, at step {step} of {flags}"
            );
        }
        let buffers = |state: &State| {
            let State { parameters, exp_avg, exp_avg_sq, averaged, loss_scale: _ } = state.clone();
            [parameters, exp_avg, exp_avg_sq, averaged.unwrap_or_default()]
        };
        for (name, (found, expected)) in ["parameters", "exp_avg", "exp_avg_sq", "averaged"]
            .iter()
            .zip(buffers(&cuda.1).iter().zip(&buffers(&cpu.1)))
        {
            assert_eq!(found.len(), expected.len(), "{name} of {flags}");
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
                // A gradient that is nearly 0 still moves its parameter by the learning rate, one way or the other.
                let tolerance = if *name == "parameters" || *name == "averaged" { 1e-3 } else { 1e-4 * largest };
                assert!(
                    (found - expected).abs() < tolerance,
                    "{found}, not {expected}, at {place} of {name} of {flags}"
                );
            }
        }
    }
}

#[test]
fn every_flag_of_a_step_does_what_it_does_on_the_cpu_engine() {
    for (flag, hyperparameters, data) in steps() {
        let cpu = CpuEngine::new(Arc::clone(&data), &hyperparameters, Some(2), Precision::F32).unwrap();
        let cuda = standin::engine(&data, &hyperparameters, Precision::F32);
        let engines: [Box<dyn Engine>; 2] = [Box::new(cpu), Box::new(cuda)];
        let [cpu, cuda] = engines.map(|mut engine| after_steps(engine.as_mut()));
        let means = |state: &State| [state.exp_avg.clone(), state.averaged.clone().unwrap_or_default()].concat();
        let [cpu, cuda] = [cpu, cuda].map(|state| means(&state));
        assert_eq!(cpu.len(), cuda.len(), "{flag}");
        let largest = cpu.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (place, (found, expected)) in cuda.iter().zip(&cpu).enumerate() {
            assert!((found - expected).abs() < 1e-3 * largest, "{found}, not {expected}, at {place} with {flag}");
        }
    }
}

#[test]
fn each_network_of_an_ensemble_is_trained_as_it_is_alone() {
    let images = Images::patterns(150, 6, 6, 4, 8);
    let data = data(&images, &images, 0.45, 0.25);
    for (precision, engine) in [(Precision::F32, "cpu"), (Precision::F32, "cuda"), (Precision::Bf16, "cuda")] {
        let flags = "--hidden 20,9 --augment light --dropout 0.2 --input-dropout 0.1 --ema-decay 0.9 --ensemble 3";
        let case = Case { flags, images: 150, batch_size: 64 };
        let engine = |hyperparameters: &Hyperparameters| -> Box<dyn Engine> {
            if engine == "cuda" {
                return Box::new(standin::engine(&data, hyperparameters, precision));
            }
            Box::new(CpuEngine::new(Arc::clone(&data), hyperparameters, Some(2), precision).unwrap())
        };
        let hyperparameters = case.hyperparameters();
        let mut together = engine(&hyperparameters);
        // They take turns, epoch by epoch, and are looked at in between.
        let turns: Vec<Vec<_>> = (0..2)
            .map(|epoch| {
                let turn = |network| {
                    together.select(network).unwrap();
                    let loss = epoch_of(together.as_mut(), epoch);
                    (loss, together.validation_logits(Weights::Averaged, 0..50).unwrap())
                };
                (0..3).map(turn).collect()
            })
            .collect();
        for (network, seed) in hyperparameters.seeds().enumerate() {
            let mut alone = engine(&Hyperparameters { seed, ensemble: 1, ..hyperparameters.clone() });
            for (epoch, turns) in turns.iter().enumerate() {
                let loss = epoch_of(alone.as_mut(), epoch);
                assert!(turns[network] == (loss, alone.validation_logits(Weights::Averaged, 0..50).unwrap()));
            }
            together.select(network).unwrap();
            assert!(together.state().unwrap() == alone.state().unwrap(), "network {network} in {precision}");
        }
        assert_ne!(turns[1][0].0, turns[1][1].0);
    }
}

/// Trains an epoch of 150 images. Returns its loss.
fn epoch_of(engine: &mut dyn Engine, epoch: usize) -> f64 {
    let rows = mixed_rows(150);
    engine.begin_epoch(EPOCH + epoch as u32, &rows).unwrap();
    for (index, batch) in rows.chunks(64).enumerate() {
        engine.train_step(batch, Step { index: (epoch * 3 + index) as u64, learning_rate: 3e-3 }).unwrap();
    }
    engine.end_epoch().unwrap()
}

#[test]
fn the_same_training_gives_the_same_bytes() {
    let images = Images::patterns(200, 6, 6, 4, 4);
    let data = data(&images, &images, 0.45, 0.25);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        let flags = "--hidden 40,12 --dropout 0.2 --augment light --clip-norm 0.5 --ema-decay 0.9";
        let case = Case { flags, images: 200, batch_size: 64 };
        let states: Vec<_> = (0..2)
            .map(|_| {
                let mut engine = standin::engine(&data, &case.hyperparameters(), precision);
                let (losses, state) = trained(&mut engine, 200, 64);
                let buffers = [state.parameters, state.exp_avg, state.exp_avg_sq, state.averaged.unwrap()];
                let bits: Vec<u32> = buffers.iter().flatten().map(|value| value.to_bits()).collect();
                (bits, losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>())
            })
            .collect();
        assert!(states[0] == states[1], "{precision}");
    }
}

#[test]
fn an_epoch_that_is_launched_at_once_is_that_of_single_steps() {
    let images = Images::patterns(250, 6, 6, 4, 4);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case { flags: "--hidden 20 --augment light --dropout 0.1", images: 250, batch_size: 64 };
    let [mut at_once, mut apart] = [(); 2].map(|()| standin::engine(&data, &case.hyperparameters(), Precision::F32));
    let rows = mixed_rows(250);
    at_once.begin_epoch(EPOCH, &rows).unwrap();
    let mut losses = 0.0;
    for (index, batch) in rows.chunks(64).enumerate() {
        let step = Step { index: index as u64, learning_rate: 1e-2 };
        at_once.train_step(batch, step).unwrap();
        apart.begin_epoch(EPOCH, batch).unwrap();
        apart.train_step(batch, step).unwrap();
        losses += apart.end_epoch().unwrap() * batch.len() as f64;
    }
    assert!((at_once.end_epoch().unwrap() - losses / 250.0).abs() < 1e-12);
    assert!(at_once.state().unwrap() == apart.state().unwrap());
}

#[test]
fn validation_is_the_cpu_engine_s_in_every_precision() {
    let train = Images::patterns(30, 5, 5, 3, 5);
    let valid = Images::patterns(4100, 5, 5, 3, 6);
    let data = data(&train, &valid, 0.45, 0.25);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        let case = Case { flags: "--hidden 12,7 --ema-decay 0.5", images: 30, batch_size: 30 };
        let (_, mut cpu) = case.engine(&data, 2);
        let mut cuda = standin::engine(&data, &case.hyperparameters(), precision);
        // Weights and their average that differ.
        let (_, state) = trained(&mut cpu, 30, 30);
        cuda.set_state(state).unwrap();
        for weights in [Weights::Trained, Weights::Averaged] {
            let found = Validation::of(&data, |rows| cuda.validation_logits(weights, rows)).unwrap();
            let expected = Validation::of(&data, |rows| cpu.validation_logits(weights, rows)).unwrap();
            assert!((found.loss - expected.loss).abs() < 1e-6, "{} for {}", found.loss, expected.loss);
            assert!((found.accuracy - expected.accuracy).abs() < 1e-3, "{} for {}", found.accuracy, expected.accuracy);
        }
        let logits = |engine: &mut dyn Engine| engine.validation_logits(Weights::Trained, 0..4099).unwrap();
        let (found, expected) = (logits(&mut cuda), logits(&mut cpu));
        assert_eq!(found.dim(), (4099, 3));
        assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5));
    }
}

#[test]
fn a_training_goes_on_from_the_other_engine_s_state() {
    let images = Images::patterns(150, 6, 6, 4, 7);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case { flags: "--hidden 20 --dropout 0.2 --ema-decay 0.9 --clip-norm 1", images: 150, batch_size: 50 };
    let [mut cpu, mut cuda] = engines(&case, &data, Precision::F32);
    let (_, first) = trained(cpu.as_mut(), 150, 50);
    cuda.set_state(first.clone()).unwrap();
    assert!(cuda.state().unwrap() == first);
    let (found, expected) = (trained(cuda.as_mut(), 150, 50), trained(cpu.as_mut(), 150, 50));
    assert!(found.0.iter().zip(&expected.0).all(|(found, expected)| (found - expected).abs() < 2e-5 * expected));
    // And back.
    cpu.set_state(found.1.clone()).unwrap();
    assert!(cpu.state().unwrap() == found.1);
}
