//! The CPU engine.
//!
//! All buffers are allocated once. Work is divided among the threads in blocks whose bounds depend on the shapes alone,
//! and every sum has one order: the result is the same for any number of threads.

mod adam;
mod dropout;
mod product;
mod softmax;

use std::ops::Range;
use std::sync::Arc;

use artifacts::Weights;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::augment::{Augmentation, Scratch};
use crate::data::Data;
use crate::engine::{Engine, State, Step, Validation};
use crate::error::Error;
use crate::model::{Layer, Mlp};
use crate::options::Hyperparameters;
use adam::Adam;
use dropout::Dropout;
use softmax::Loss;

/// Trains on the processor, in `f32`.
#[derive(Debug)]
pub struct CpuEngine {
    pool: ThreadPool,
    network: Network,
}

/// The network with its data and buffers; its methods run inside the engine's pool.
#[derive(Debug)]
struct Network {
    data: Arc<Data>,
    model: Mlp,
    hyperparameters: Hyperparameters,
    augmentation: Augmentation,
    state: State,
    /// Of the last step, laid out as the parameters.
    gradients: Vec<f32>,
    /// The input and the output of every layer, `[batch, width]`. The last one holds the logits.
    activations: Vec<Array2<f32>>,
    /// The loss's gradient by the output of every layer before its activation, `[batch, width]`.
    deltas: Vec<Array2<f32>>,
    /// The loss of each image of the batch.
    losses: Vec<f32>,
    /// The labels of the batch.
    labels: Vec<u8>,
    /// Counted from 1.
    epoch: u32,
    /// The epoch's order.
    order: Vec<u32>,
    /// For the norm of the gradients.
    partial_sums: Vec<f64>,
    /// Sum of the epoch's losses.
    loss_sum: f64,
}

/// Rows that one thread gathers or judges at a time.
const ROWS: usize = 32;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy)]
enum Pass {
    /// This step, counted from 0.
    Training(u64),
    /// Logits with these weights.
    Prediction(Weights),
}

impl CpuEngine {
    /// An engine with the first weights of the seed.
    ///
    /// # Errors
    /// When the threads cannot be started.
    pub fn new(
        data: Arc<Data>,
        model: Mlp,
        hyperparameters: &Hyperparameters,
        threads: Option<u16>,
    ) -> Result<Self, Error> {
        let threads = threads.map_or(0, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("cpu-engine-{index}"))
            .build()
            .map_err(|source| Error::Threads { threads, source })?;
        let batch = hyperparameters.batch_size;
        let widths = [model.inputs()].into_iter().chain(model.layers().iter().map(|layer| layer.outputs));
        let network = Network {
            hyperparameters: hyperparameters.clone(),
            augmentation: hyperparameters.augmentation(),
            state: State::first(model.kaiming_normal(hyperparameters.seed), hyperparameters.ema_decay.is_some()),
            gradients: vec![0.0; model.parameters()],
            activations: widths.map(|width| Array2::zeros((batch, width))).collect(),
            deltas: model.layers().iter().map(|layer| Array2::zeros((batch, layer.outputs))).collect(),
            losses: vec![0.0; batch],
            labels: vec![0; batch],
            epoch: 0,
            order: Vec::with_capacity(data.train.len()),
            partial_sums: Vec::new(),
            loss_sum: 0.0,
            data,
            model,
        };
        Ok(Self { pool, network })
    }

    /// The gradients of the last step, laid out as the parameters.
    #[must_use]
    pub fn gradients(&self) -> &[f32] {
        &self.network.gradients
    }
}

impl Engine for CpuEngine {
    fn description(&self) -> String {
        let threads = self.pool.current_num_threads();
        format!("cpu, {threads} thread{}", if threads == 1 { "" } else { "s" })
    }

    fn begin_epoch(&mut self, epoch: u32, order: &[u32]) -> Result<(), Error> {
        self.network.epoch = epoch;
        self.network.order.clear();
        self.network.order.extend_from_slice(order);
        self.network.loss_sum = 0.0;
        Ok(())
    }

    fn train_step(&mut self, places: Range<usize>, step: Step) -> Result<(), Error> {
        self.pool.install(|| self.network.train_step(places, step));
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<f64, Error> {
        Ok(self.network.loss_sum / self.network.order.len() as f64)
    }

    fn validate(&mut self, weights: Weights) -> Result<Validation, Error> {
        Ok(self.pool.install(|| self.network.validate(weights)))
    }

    fn validation_logits(&mut self, rows: usize) -> Result<Array2<f32>, Error> {
        let mut logits = Array2::zeros((rows, self.network.model.outputs()));
        let batch_size = self.network.hyperparameters.batch_size;
        for start in (0..rows).step_by(batch_size) {
            let end = rows.min(start + batch_size);
            self.pool.install(|| self.network.predict(start..end, Weights::Trained));
            logits.slice_mut(s![start..end, ..]).assign(&self.network.logits(end - start));
        }
        Ok(logits)
    }

    fn state(&mut self) -> Result<State, Error> {
        Ok(self.network.state.clone())
    }

    fn set_state(&mut self, state: State) -> Result<(), Error> {
        self.network.state = state;
        Ok(())
    }
}

impl Network {
    fn train_step(&mut self, places: Range<usize>, step: Step) {
        let count = places.len();
        self.gather_training(places.start, count, step.index);
        self.forward(count, Pass::Training(step.index));
        self.loss_and_its_gradient(count);
        self.backward(count);
        let Hyperparameters { weight_decay, clip_norm, ema_decay, .. } = self.hyperparameters;
        let gradient_scale = clip_norm.map_or(1.0, |longest| {
            // As PyTorch's `clip_grad_norm_`, which adds so much lest it divide by 0.
            (longest / (adam::norm(&self.gradients, &mut self.partial_sums) + 1e-6)).min(1.0)
        });
        let adam = Adam::new(step, weight_decay, gradient_scale, ema_decay.unwrap_or_default());
        adam.update(&mut self.state, &self.gradients);
    }

    fn validate(&mut self, weights: Weights) -> Validation {
        let images = self.data.valid.len();
        let batch_size = self.hyperparameters.batch_size;
        let (mut loss, mut correct) = (0.0, 0_usize);
        for start in (0..images).step_by(batch_size) {
            let end = images.min(start + batch_size);
            self.predict(start..end, weights);
            let classes = self.model.outputs();
            let logits = values(&self.activations[self.model.layers().len()]).chunks_exact(classes);
            for (logits, &label) in logits.zip(&self.labels[..end - start]) {
                loss += softmax::cross_entropy(logits, label);
                correct += usize::from(softmax::is_right(logits, label));
            }
        }
        Validation { loss: loss / images as f64, accuracy: correct as f64 / images as f64 }
    }

    /// Computes the logits of validation images.
    fn predict(&mut self, rows: Range<usize>, weights: Weights) {
        self.gather_validation(rows.clone());
        self.forward(rows.len(), Pass::Prediction(weights));
    }

    fn logits(&self, count: usize) -> ArrayView2<'_, f32> {
        self.activations[self.model.layers().len()].slice(s![..count, ..])
    }

    /// Puts the training images at these places of the epoch's order into the first activations: augmented, standardised,
    /// some pixels dropped. Notes their labels.
    fn gather_training(&mut self, start: usize, count: usize, step: u64) {
        let Self { data, order, activations, labels, augmentation, epoch, hyperparameters, .. } = self;
        let Hyperparameters { seed, input_dropout, .. } = *hyperparameters;
        let (height, width) = (data.dataset.height, data.dataset.width);
        let pixels = height * width;
        let dropout = (input_dropout > 0.0).then(|| Dropout::new(input_dropout, seed, step).of_layer(0, pixels));
        let inputs = values_mut(&mut activations[0])[..count * pixels].par_chunks_exact_mut(pixels);
        let rows = order[start..start + count].par_iter();
        inputs.zip(&mut labels[..count]).zip(rows).enumerate().with_min_len(ROWS).for_each_init(
            Scratch::default,
            |scratch, (index, ((input, label), &row))| {
                *label = data.train_labels[row as usize];
                let image = data.train.image(row as usize);
                if augmentation.is_none() {
                    data.standardise(image, input);
                } else {
                    augmentation.draw(seed, *epoch, row).apply(image, height, width, scratch, input);
                    data.standardise_in_place(input);
                }
                if let Some(dropout) = dropout {
                    dropout.apply(input, index, 0);
                }
            },
        );
    }

    /// Puts these validation images into the first activations, standardised. Notes their labels.
    fn gather_validation(&mut self, rows: Range<usize>) {
        let Self { data, activations, labels, .. } = self;
        let pixels = data.valid.pixels();
        let inputs = values_mut(&mut activations[0])[..rows.len() * pixels].par_chunks_exact_mut(pixels);
        let labels = labels[..rows.len()].par_iter_mut();
        inputs.zip(labels).zip(rows).with_min_len(ROWS).for_each(|((input, label), row)| {
            *label = data.valid.label(row);
            data.standardise(data.valid.image(row), input);
        });
    }

    /// Dropout of the hidden layers in a step, where there is any.
    fn dropout(&self, step: u64) -> Option<Dropout> {
        let share = self.hyperparameters.dropout;
        (share > 0.0).then(|| Dropout::new(share, self.hyperparameters.seed, step))
    }

    /// Computes the logits of the first `count` rows; with dropout where it is a training step.
    fn forward(&mut self, count: usize, pass: Pass) {
        let last = self.model.layers().len() - 1;
        let (parameters, dropout) = match pass {
            Pass::Training(step) => (&self.state.parameters[..], self.dropout(step)),
            Pass::Prediction(weights) => (self.state.weights(weights), None),
        };
        for (index, layer) in self.model.layers().iter().enumerate() {
            let (before, after) = self.activations.split_at_mut(index + 1);
            let input = before[index].slice(s![..count, ..]);
            let output = after[0].slice_mut(s![..count, ..]);
            let bias = &parameters[layer.bias.clone()];
            let dropout = dropout.filter(|_| index < last).map(|dropout| dropout.of_layer(index + 1, layer.outputs));
            product::multiply(input, weight(parameters, layer).reversed_axes(), output, |block, row, column| {
                finish_layer(block, row, column, bias, index < last, dropout);
            });
        }
    }

    /// The losses of the batch, and their mean's gradient by the logits.
    fn loss_and_its_gradient(&mut self, count: usize) {
        let last = self.model.layers().len();
        let classes = self.model.outputs();
        let logits = values(&self.activations[last])[..count * classes].par_chunks_exact(classes);
        let deltas = values_mut(&mut self.deltas[last - 1])[..count * classes].par_chunks_exact_mut(classes);
        let Hyperparameters { loss, label_smoothing, .. } = self.hyperparameters;
        let batch_loss = Loss::new(loss, label_smoothing, classes, count);
        (deltas, logits, &mut self.losses[..count], &self.labels[..count])
            .into_par_iter()
            .with_min_len(ROWS)
            .for_each(|(delta, logits, loss, &label)| *loss = batch_loss.loss_and_gradient(logits, label, delta));
        self.loss_sum += self.losses[..count].iter().map(|&loss| f64::from(loss)).sum::<f64>();
    }

    /// All gradients, last layer to first.
    fn backward(&mut self, count: usize) {
        let scale = (1.0 / (1.0 - self.hyperparameters.dropout)) as f32;
        for (index, layer) in self.model.layers().iter().enumerate().rev() {
            let (before, after) = self.deltas.split_at_mut(index);
            let delta = after[0].slice(s![..count, ..]);
            let input = self.activations[index].slice(s![..count, ..]);
            let gradients = &mut self.gradients[layer.weight.start..layer.bias.end];
            let (weight_gradient, bias_gradient) = gradients.split_at_mut(layer.weight.len());
            let weight_gradient = ArrayViewMut2::from_shape((layer.outputs, layer.inputs), weight_gradient);
            let weight_gradient = weight_gradient.expect("the place has the weight's size");
            product::multiply(delta.reversed_axes(), input, weight_gradient, |_, _, _| {});
            sum_rows(delta, bias_gradient);

            if let Some(previous) = before.last_mut() {
                // A ReLU passes the gradient where its output is above 0; what was dropped is 0.
                let passes = |output: f32| if output > 0.0 { scale } else { 0.0 };
                let previous = previous.slice_mut(s![..count, ..]);
                product::multiply(delta, weight(&self.state.parameters, layer), previous, |mut block, row, column| {
                    let (rows, columns) = block.dim();
                    let outputs = input.slice(s![row..row + rows, column..column + columns]);
                    block.zip_mut_with(&outputs, |gradient, &output| *gradient *= passes(output));
                });
            }
        }
    }
}

fn values(matrix: &Array2<f32>) -> &[f32] {
    matrix.as_slice().expect("the buffers are row-major")
}

fn values_mut(matrix: &mut Array2<f32>) -> &mut [f32] {
    matrix.as_slice_mut().expect("the buffers are row-major")
}

fn weight<'a>(parameters: &'a [f32], layer: &Layer) -> ArrayView2<'a, f32> {
    let weight = ArrayView2::from_shape((layer.outputs, layer.inputs), &parameters[layer.weight.clone()]);
    weight.expect("the place has the weight's size")
}

/// Adds the bias to a block of a layer's output; in a hidden layer, `ReLU` and dropout follow.
fn finish_layer(
    mut block: ArrayViewMut2<'_, f32>,
    first_row: usize,
    first_column: usize,
    bias: &[f32],
    is_hidden: bool,
    dropout: Option<Dropout>,
) {
    for (row, mut values) in block.rows_mut().into_iter().enumerate() {
        let values = values.as_slice_mut().expect("rows are contiguous");
        let bias = &bias[first_column..][..values.len()];
        for (value, bias) in values.iter_mut().zip(bias) {
            *value += bias;
        }
        if is_hidden {
            values.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        if let Some(dropout) = dropout {
            dropout.apply(values, first_row + row, first_column);
        }
    }
}

/// The sums of the columns, from the first row to the last.
fn sum_rows(matrix: ArrayView2<'_, f32>, sums: &mut [f32]) {
    const COLUMNS: usize = 256;
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(index, sums)| {
        sums.fill(0.0);
        let start = index * COLUMNS;
        for row in matrix.slice(s![.., start..start + sums.len()]).rows() {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    });
}
