//! What engines are compared on with the reference.

use std::sync::Arc;

use artifacts::Dataset;
use train::augment::Scratch;
use train::cpu::CpuEngine;
use train::data::Data;
use train::engine::{Engine, State, Step};
use train::model::Mlp;
use train::{Hyperparameters, Precision};

use super::reference::{self, Batch};
use super::{Images, hyperparameters};

pub const STEP: Step = Step { index: 5, learning_rate: 1e-3 };
pub const EPOCH: u32 = 2;

/// A network and how it is trained, and how many images its batch has of how many that it may have.
pub struct Case {
    pub flags: &'static str,
    pub images: usize,
    pub batch_size: usize,
}

pub const CASES: [Case; 12] = [
    Case { flags: "--hidden none", images: 7, batch_size: 7 },
    Case { flags: "--hidden 16", images: 1, batch_size: 1 },
    Case { flags: "--hidden 16 --label-smoothing 0.2", images: 33, batch_size: 64 },
    Case { flags: "--hidden 13,9 --dropout 0.3 --input-dropout 0.2", images: 17, batch_size: 17 },
    Case { flags: "--hidden 300 --dropout 0.5 --label-smoothing 0.1", images: 130, batch_size: 130 },
    Case { flags: "--hidden 40,3,270 --dropout 0.1 --label-smoothing 0.1", images: 5, batch_size: 300 },
    Case { flags: "--hidden 12,5 --dropout 0.1 --input-dropout 0.1", images: 520, batch_size: 520 },
    // Whose zeros are left out of products, in two parts of the batch.
    Case { flags: "--hidden 100,80 --dropout 0.1", images: 520, batch_size: 520 },
    Case { flags: "--hidden 8,1", images: 12, batch_size: 12 },
    Case { flags: "--hidden 11 --loss generalized-cross-entropy", images: 19, batch_size: 19 },
    Case { flags: "--hidden 11 --loss symmetric-cross-entropy --label-smoothing 0.1", images: 19, batch_size: 19 },
    Case { flags: "--hidden 12 --augment strong --input-dropout 0.1", images: 20, batch_size: 32 },
];

/// A value of every flag that decides what a step does, each of which changes a step with [`PLAIN`].
pub const FLAGS_OF_A_STEP: [&str; 18] = [
    "--hidden 10",
    "--weight-decay 0.5",
    "--dropout 0.3",
    "--input-dropout 0.3",
    "--loss generalized-cross-entropy",
    "--loss symmetric-cross-entropy",
    "--label-smoothing 0.2",
    "--clip-norm 0.001",
    "--ema-decay 0.9",
    "--augment light",
    "--augment strong",
    "--augment-shift 2",
    "--augment-rotation 30",
    "--augment-shear 0.3",
    "--augment-scale 0.3",
    "--augment-stroke 0.9",
    "--seed 4",
    "--plant-label-noise 0.5",
];
/// The others: what they decide is not in the engine.
pub const FLAGS_OF_NO_STEP: [&str; 8] =
    ["batch_size", "ensemble", "epochs", "learning_rate", "patience", "schedule", "test_time_shift", "warmup"];
pub const PLAIN: &str = "--hidden 9";

/// The hyperparameters of [`PLAIN`], and with each of the flags that change a step; the data to train on, with its noise.
pub fn steps() -> Vec<(&'static str, Hyperparameters, Arc<Data>)> {
    let images = Images::patterns(60, 6, 7, 4, 2);
    let flags = [""].into_iter().chain(FLAGS_OF_A_STEP);
    let with = |flag: &'static str| {
        let flags = PLAIN.split(' ').chain(flag.split(' ').filter(|part| !part.is_empty()));
        let hyperparameters = hyperparameters(&flags.collect::<Vec<_>>());
        let data = super::data(&images, &images, 0.45, 0.25);
        let data = Arc::try_unwrap(data).unwrap();
        let data = data.with_label_noise(hyperparameters.plant_label_noise, hyperparameters.seed);
        (flag, hyperparameters, Arc::new(data))
    };
    flags.map(with).collect()
}

/// The state after three steps.
pub fn after_steps(engine: &mut dyn Engine) -> State {
    let rows = mixed_rows(60);
    engine.begin_epoch(EPOCH, &rows).unwrap();
    for (index, batch) in rows.chunks(20).enumerate() {
        engine.train_step(batch, Step { index: index as u64, learning_rate: 1e-3 }).unwrap();
    }
    engine.end_epoch().unwrap();
    engine.state().unwrap()
}

impl Case {
    pub fn hyperparameters(&self) -> Hyperparameters {
        let batch_size = self.batch_size.to_string();
        let flags: Vec<&str> = self.flags.split(' ').chain(["--batch-size", &batch_size, "--seed", "3"]).collect();
        hyperparameters(&flags)
    }

    pub fn engine(&self, data: &Arc<Data>, threads: u16) -> (Mlp, CpuEngine) {
        let hyperparameters = self.hyperparameters();
        let engine = CpuEngine::new(Arc::clone(data), &hyperparameters, Some(threads), Precision::F32).unwrap();
        (data.model(&hyperparameters), engine)
    }

    /// The batch of these rows in an epoch, as the reference takes it.
    pub fn batch(&self, images: &Images, data: &Data, rows: &[u32]) -> Batch {
        let hyperparameters = self.hyperparameters();
        let augmentation = hyperparameters.augmentation();
        let input = |&row: &u32| {
            let size = images.height * images.width;
            let pixels = &images.pixels[row as usize * size..][..size];
            let mut varied = vec![0.0; size];
            let variation = augmentation.draw(hyperparameters.seed, EPOCH, row);
            variation.apply(pixels, images.height, images.width, &mut Scratch::default(), &mut varied);
            let Dataset { mean, standard_deviation, .. } = data.dataset;
            varied.iter().map(|&pixel| (f64::from(pixel) / 255.0 - mean) / standard_deviation).collect()
        };
        Batch {
            inputs: rows.iter().map(input).collect(),
            labels: rows.iter().map(|&row| images.labels[row as usize]).collect(),
            loss: hyperparameters.loss,
            label_smoothing: hyperparameters.label_smoothing,
            dropout: hyperparameters.dropout,
            input_dropout: hyperparameters.input_dropout,
            seed: hyperparameters.seed,
            step: STEP.index,
        }
    }
}

/// The first rows, in an order that is not theirs.
pub fn mixed_rows(count: usize) -> Vec<u32> {
    (0..u32::try_from(count).unwrap()).rev().collect()
}

impl Case {
    /// A step's loss and all of its gradients agree with the reference, to this share of the loss and of the largest gradient.
    pub fn step_agrees(
        &self,
        classes: usize,
        tolerance: f64,
        engine: impl FnOnce(&Arc<Data>, &Hyperparameters) -> Box<dyn Engine>,
    ) {
        let (found, expected) = self.step(classes, tolerance, engine);
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(difference < tolerance * largest, "{found}, not {expected}, at {place} of {}", self.flags);
        }
    }

    /// A step's loss and the length of the error of its gradient agree with the reference, to these shares of both: of an
    /// activation near the kink of a ReLU, a rounding may turn the whole gradient on or off.
    pub fn step_nearly_agrees(
        &self,
        classes: usize,
        of_loss: f64,
        of_gradient: f64,
        engine: impl FnOnce(&Arc<Data>, &Hyperparameters) -> Box<dyn Engine>,
    ) {
        let (found, expected) = self.step(classes, of_loss, engine);
        let length = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let error = length(&mut found.iter().zip(&expected).map(|(found, expected)| found - expected));
        let share = error / length(&mut expected.iter().copied());
        assert!(share < of_gradient, "an error of {share} of the gradient of {}", self.flags);
    }

    /// A step's gradients with those of the reference, once its loss agrees.
    fn step(
        &self,
        classes: usize,
        tolerance: f64,
        engine: impl FnOnce(&Arc<Data>, &Hyperparameters) -> Box<dyn Engine>,
    ) -> (Vec<f64>, Vec<f64>) {
        let images = Images::patterns(600, 6, 7, classes, 2);
        let data = super::data(&images, &images, 0.45, 0.25);
        let hyperparameters = self.hyperparameters();
        let (model, mut engine) = (data.model(&hyperparameters), engine(&data, &hyperparameters));
        let parameters: Vec<f64> = engine.state().unwrap().parameters.iter().map(|&value| f64::from(value)).collect();
        let rows = mixed_rows(self.images);
        engine.begin_epoch(EPOCH, &rows).unwrap();
        engine.train_step(&rows, STEP).unwrap();
        let batch = self.batch(&images, &data, &rows);

        let (found, expected) = (engine.end_epoch().unwrap(), reference::loss(&model, &parameters, &batch));
        assert!((found - expected).abs() < tolerance * expected, "loss {found}, not {expected}, of {}", self.flags);
        let gradient = reference::gradient(&model, &parameters, &batch);
        // Adam's first mean of the gradients is a tenth of the first gradient.
        let exp_avg = engine.state().unwrap().exp_avg;
        (exp_avg.iter().map(|&mean| f64::from(mean) / (1.0 - 0.9)).collect(), gradient)
    }
}
