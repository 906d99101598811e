//! Every engine against the plain reference in `f64`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use artifacts::Weights;
use clap::ValueEnum as _;
use support::case::{CASES, Case, EPOCH, FLAGS_OF_A_STEP, FLAGS_OF_NO_STEP, STEP, after_steps, mixed_rows, steps};
use support::{Images, data, hyperparameters, planted_and_exchanged, reference};
use train::cpu::CpuEngine;
use train::cpu::kernel::Processor;
use train::data::Data;
use train::engine::{Engine as _, LossScale, State, Step, Validation};
use train::{Hyperparameters, LossName, Precision};

#[test]
fn the_reference_s_gradient_is_the_slope_of_its_loss() {
    let images = Images::patterns(20, 4, 5, 3, 1);
    let data = data(&images, &images, 0.4, 0.3);
    for case in CASES.iter().filter(|case| case.images <= 20) {
        let (model, mut engine) = case.engine(&data, 1);
        let mut parameters: Vec<f64> =
            engine.state().unwrap().parameters.iter().map(|&value| f64::from(value)).collect();
        // A bias of 0 after a layer that is all dropped would stand on the kink of the ReLU, where there is no slope.
        model.layers().iter().for_each(|layer| parameters[layer.bias.clone()].fill(0.05));
        let batch = case.batch(&images, &data, &mixed_rows(case.images));
        let gradient = reference::gradient(&model, &parameters, &batch);
        let places =
            model.layers().iter().flat_map(|layer| [layer.weight.start, layer.weight.end - 1, layer.bias.start]);
        for place in places.chain((0..parameters.len()).step_by(29)) {
            const H: f64 = 1e-6;
            let here = parameters[place];
            parameters[place] = here + H;
            let above = reference::loss(&model, &parameters, &batch);
            parameters[place] = here - H;
            let below = reference::loss(&model, &parameters, &batch);
            parameters[place] = here;
            let slope = (above - below) / (2.0 * H);
            assert!(
                (slope - gradient[place]).abs() < 1e-7,
                "{slope} but {} at {place}, {}",
                gradient[place],
                case.flags
            );
        }
    }
}

#[test]
fn a_step_s_gradients_and_loss_agree_with_the_reference() {
    for (case, classes) in CASES.iter().flat_map(|case| [(case, 4), (case, 40)]) {
        case.step_agrees(classes, 1e-5, |data, hyperparameters| {
            Box::new(CpuEngine::new(Arc::clone(data), hyperparameters, Some(2), Precision::F32).unwrap())
        });
    }
}

#[test]
fn every_loss_has_a_case() {
    for loss in LossName::value_variants() {
        let is_of_it = |case: &Case| case.hyperparameters().loss == *loss;
        assert!(CASES.iter().any(is_of_it), "{loss:?}");
    }
}

#[test]
fn every_flag_of_a_step_changes_it_and_every_flag_is_known_to_or_not() {
    let states: Vec<_> = steps()
        .into_iter()
        .map(|(flag, hyperparameters, data)| {
            let mut engine = CpuEngine::new(data, &hyperparameters, Some(2), Precision::F32).unwrap();
            (flag, after_steps(&mut engine))
        })
        .collect();
    for (place, (flag, state)) in states.iter().enumerate() {
        assert!(
            states[..place].iter().all(|(_, other)| other != state),
            "{flag} does what another one does, or nothing"
        );
    }
    let of_a_step = FLAGS_OF_A_STEP.map(|flag| flag.split(' ').next().unwrap()[2..].replace('-', "_"));
    let known: BTreeSet<String> = of_a_step.into_iter().chain(FLAGS_OF_NO_STEP.map(str::to_owned)).collect();
    assert_eq!(known, hyperparameters(&[]).by_name().into_keys().collect());
}

/// A loss scale with which no gradient of these tests overflows.
const SCALE: LossScale = LossScale { scale: 256.0, steps: 0 };

/// An engine with products in half precision and this loss scale, as in a training that has found it.
fn in_halves(processor: Processor, data: &Arc<Data>, hyperparameters: &Hyperparameters, scale: LossScale) -> CpuEngine {
    let mut engine = CpuEngine::on(processor, Arc::clone(data), hyperparameters, Some(2), Precision::F16).unwrap();
    let state = State { loss_scale: Some(scale), ..engine.state().unwrap() };
    engine.set_state(state).unwrap();
    engine
}

#[test]
fn products_in_f16_agree_with_the_reference_to_their_precision() {
    // Operands and sums are rounded to a 2,048th.
    for (case, classes) in CASES.iter().flat_map(|case| [(case, 4), (case, 40)]) {
        case.step_nearly_agrees(classes, 4e-3, 3e-2, |data, hyperparameters| {
            Box::new(in_halves(Processor::available()[0], data, hyperparameters, SCALE))
        });
    }
}

#[test]
fn gradients_that_overflow_move_nothing_and_halve_the_loss_scale() {
    let images = Images::patterns(60, 6, 7, 4, 2);
    let data = data(&images, &images, 0.45, 0.25);
    let huge = LossScale { scale: 2_f32.powi(24), steps: 0 };
    for flags in ["--hidden 9", "--hidden 9 --clip-norm 1"] {
        let case = Case { flags, images: 60, batch_size: 60 };
        let mut engine = in_halves(Processor::available()[0], &data, &case.hyperparameters(), huge);
        let first = engine.state().unwrap();
        let mut scales = Vec::new();
        while engine.state().unwrap().exp_avg == first.exp_avg {
            scales.push(engine.state().unwrap().loss_scale.unwrap().scale);
            let rows = mixed_rows(60);
            engine.begin_epoch(EPOCH, &rows).unwrap();
            engine.train_step(&rows, STEP).unwrap();
            assert!(engine.end_epoch().unwrap().is_finite());
        }
        assert!(scales.len() > 3 && scales.windows(2).all(|scales| scales[1] == scales[0] / 2.0), "{scales:?}");
        let state = engine.state().unwrap();
        assert!(state.parameters.iter().chain(&state.exp_avg_sq).all(|value| value.is_finite()));
    }
}

/// Products of whole blocks of weights leave half precision while others and all deltas stay within it: which ones are left
/// out must not depend on who computes them.
#[test]
fn a_step_of_which_some_blocks_overflow_leaves_out_the_same_ones_everywhere() {
    let images = Images::patterns(300, 8, 9, 40, 6);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case { flags: "--hidden 70,33", images: 300, batch_size: 300 };
    let hyperparameters = case.hyperparameters();
    let after_a_step = |processor, threads, scale: f32| {
        let data = Arc::clone(&data);
        let mut engine = CpuEngine::on(processor, data, &hyperparameters, Some(threads), Precision::F16).unwrap();
        let scale = LossScale { scale, steps: 0 };
        let state = State { loss_scale: Some(scale), ..engine.state().unwrap() };
        engine.set_state(state).unwrap();
        let bits = bits(&mut engine, 300);
        (bits, engine.state().unwrap())
    };
    let moved = |state: &State| state.exp_avg.iter().filter(|&&value| value != 0.0).count();
    let (_, whole) = after_a_step(Processor::Portable, 1, SCALE.scale);
    let scale = 2_f32.powi(20);
    let (expected, state) = after_a_step(Processor::Portable, 1, scale);
    assert!((1..moved(&whole)).contains(&moved(&state)), "{} of {} moved", moved(&state), moved(&whole));
    assert_eq!(state.loss_scale.map(|found| found.scale), Some(scale / 2.0));
    for processor in Processor::available() {
        for threads in [1, 2, 3] {
            let (found, other) = after_a_step(processor, threads, scale);
            assert!(found == expected, "{} with {threads} threads", processor.name());
            assert_eq!(other.loss_scale, state.loss_scale);
        }
    }
}

#[test]
fn planted_labels_are_those_that_are_trained_on() {
    let case = Case { flags: "--hidden 9", images: 60, batch_size: 60 };
    let [planted, exchanged] = planted_and_exchanged().map(|data| {
        let (_, mut engine) = case.engine(&data, 2);
        let rows = mixed_rows(60);
        engine.begin_epoch(EPOCH, &rows).unwrap();
        engine.train_step(&rows, STEP).unwrap();
        (engine.end_epoch().unwrap(), engine.state().unwrap())
    });
    assert!(planted == exchanged);
}

#[test]
fn validation_agrees_with_the_reference_whatever_the_batches() {
    let train = Images::patterns(8, 4, 4, 3, 3);
    let valid = Images::patterns(101, 4, 4, 3, 4);
    let data = data(&train, &valid, 0.45, 0.25);
    for batch_size in [1, 32, 101, 500] {
        let case = Case { flags: "--hidden 12", images: 0, batch_size };
        let (model, mut engine) = case.engine(&data, 2);
        let parameters: Vec<f64> = engine.state().unwrap().parameters.iter().map(|&value| f64::from(value)).collect();
        let rows: Vec<u32> = (0..101).collect();
        let batch = case.batch(&valid, &data, &rows);
        let logits = reference::logits(&model, &parameters, &batch);
        let right = logits.iter().zip(&valid.labels).filter(|(logits, label)| {
            let best = (0..3).max_by(|&one, &other| logits[one].total_cmp(&logits[other])).unwrap();
            best == usize::from(**label)
        });
        let validation = Validation::of(&data, |rows| engine.validation_logits(Weights::Trained, rows)).unwrap();
        assert!((validation.loss - reference::loss(&model, &parameters, &batch)).abs() < 1e-6);
        assert_eq!(validation.accuracy, right.count() as f64 / 101.0);

        let found = engine.validation_logits(Weights::Trained, 31..101).unwrap();
        assert_eq!(found.dim(), (70, 3));
        for ((row, class), &value) in found.indexed_iter() {
            assert!((f64::from(value) - logits[31 + row][class]).abs() < 1e-5);
        }
    }
}

#[test]
fn any_number_of_threads_computes_the_same_bytes() {
    let images = Images::patterns(300, 8, 8, 5, 5);
    let data = data(&images, &images, 0.45, 0.25);
    let case = Case {
        flags: "--hidden 300,70 --dropout 0.2 --augment light --clip-norm 0.1 --ema-decay 0.9",
        images: 300,
        batch_size: 128,
    };
    for precision in CpuEngine::PRECISIONS {
        let states = [1, 2, 3, 8].map(|threads| {
            let (data, hyperparameters) = (Arc::clone(&data), case.hyperparameters());
            let mut engine = CpuEngine::new(data, &hyperparameters, Some(threads), precision).unwrap();
            let state = engine.state().unwrap();
            engine.set_state(State { loss_scale: state.loss_scale.map(|_| SCALE), ..state }).unwrap();
            let bits = bits(&mut engine, case.batch_size);
            (bits, engine.end_epoch().unwrap().to_bits(), engine.validation_logits(Weights::Trained, 0..300).unwrap())
        });
        assert!(states.iter().all(|state| *state == states[0]), "in {precision}");
    }
}

/// The bits of everything that a few steps leave.
fn bits(engine: &mut CpuEngine, batch_size: usize) -> Vec<u32> {
    let rows = mixed_rows(300);
    engine.begin_epoch(EPOCH, &rows).unwrap();
    for (index, batch) in rows.chunks(batch_size).enumerate() {
        engine.train_step(batch, Step { index: index as u64, learning_rate: 1e-2 }).unwrap();
    }
    let State { parameters, exp_avg, exp_avg_sq, averaged, loss_scale: _ } = engine.state().unwrap();
    let buffers = [parameters, exp_avg, exp_avg_sq, averaged.unwrap_or_default()];
    buffers.iter().flatten().map(|value| value.to_bits()).collect()
}

#[test]
fn every_family_of_processors_computes_the_same_bytes() {
    let images = Images::patterns(300, 8, 9, 40, 6);
    let data = data(&images, &images, 0.45, 0.25);
    for flags in [
        "--hidden 90,70 --dropout 0.2 --input-dropout 0.1 --ema-decay 0.9 --weight-decay 0.1",
        "--hidden 40 --augment strong --clip-norm 0.5 --label-smoothing 0.1",
    ] {
        let case = Case { flags, images: 300, batch_size: 300 };
        let hyperparameters = case.hyperparameters();
        let in_singles = |processor| {
            let data = Arc::clone(&data);
            CpuEngine::on(processor, data, &hyperparameters, Some(2), Precision::F32).unwrap()
        };
        let in_halves = |processor| in_halves(processor, &data, &hyperparameters, SCALE);
        let of_family =
            |processor| [in_singles(processor), in_halves(processor)].map(|mut engine| bits(&mut engine, 300));
        let portable = of_family(Processor::Portable);
        assert!(portable[0] != portable[1], "half precision is another");
        for processor in Processor::available() {
            assert!(of_family(processor) == portable, "{} differs under {flags}", processor.name());
        }
    }
}

#[test]
fn gradients_that_are_kept_for_clipping_move_the_weights_as_those_that_are_used_at_once() {
    let images = Images::patterns(300, 8, 8, 5, 7);
    let data = data(&images, &images, 0.45, 0.25);
    let engine = |flags| Case { flags, images: 300, batch_size: 128 }.engine(&data, 2).1;
    let (mut at_once, mut kept) = (engine("--hidden 50,20"), engine("--hidden 50,20 --clip-norm 1e30"));
    assert!(bits(&mut at_once, 128) == bits(&mut kept, 128));
}
