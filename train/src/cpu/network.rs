//! The networks with their buffers: what the phases of a step read and write.

use std::ops::Range;
use std::sync::Arc;

use artifacts::Weights as WeightsKind;
use half::f16;

use super::adam::Parameters;
use super::kernel::{Along, Processor};
use super::nonzeros::{FEWEST_TERMS, Nonzeros};
use super::overflow::Overflow;
use super::panels::{Buffer, HalfLine, LANES, Layout, Line, Matrix, Shared};
use super::phases::{
    Backward, Delta, DeltaCopies, Forward, Gather, Images, Judge, Layers, Learn, Learning, Place, SquareSums,
    Transpose, Update,
};
use super::pool::Pool;
use super::product::{AnyProduct, Grid, MOST_A_GRADIENT_TASK, MOST_A_PART, Operand, Product, even_parts};
use crate::adam::Adam;
use crate::data::Data;
use crate::dropout::Dropout;
use crate::engine::{LossScale, State, Step};
use crate::model::{Layer, Mlp};
use crate::options::{Hyperparameters, Precision};
use crate::softmax::Loss;

/// The networks of a training, of which one is computed with at a time. All buffers are allocated once.
#[derive(Debug)]
pub struct Networks {
    pool: Pool,
    processor: Processor,
    data: Arc<Data>,
    model: Mlp,
    hyperparameters: Hyperparameters,
    places: Vec<Place>,
    members: Vec<Member>,
    /// The place of the one that is computed with.
    selected: usize,
    /// The gradients of the last step, where clipping needs all of them before the first is used.
    gradients: Vec<Line>,
    square_sums: Vec<f64>,
    /// The division of the gradient by each layer's weight, and the order of all tasks: each thread's share has its part of
    /// every layer, the one whose outputs it computes.
    gradient_grids: Vec<Grid>,
    gradient_tasks: Vec<(usize, usize)>,
    /// The input and the output of every layer, in panels of images. The last one holds the logits.
    activations: Vec<Buffer>,
    /// The loss's gradient by the output of every layer before its activation, in panels of images.
    deltas: Vec<Buffer>,
    copies: Copies,
    /// The loss of each image of the batch.
    losses: Vec<f32>,
    labels: Vec<u8>,
}

/// What each network has of its own.
#[derive(Debug)]
struct Member {
    seed: u64,
    /// Each of these buffers is laid out as the places say.
    parameters: Vec<Line>,
    exp_avg: Vec<Line>,
    exp_avg_sq: Vec<Line>,
    averaged: Option<Vec<Line>>,
}

/// What products read beside these buffers, or in a training step instead of them.
#[derive(Debug)]
enum Copies {
    Single(Box<Singles>),
    /// Everything.
    Half(Box<Halves>),
}

impl Copies {
    /// For batches of so many images; of each network's parameters there are so many lines.
    fn new(precision: Precision, model: &Mlp, batch: usize, lines: Vec<usize>) -> Self {
        let widths = || model.layers().iter().map(|layer| layer.outputs);
        if precision != Precision::F16 {
            // Of few images, zeros are multiplied sooner than found.
            let hidden = if batch < FEWEST_TERMS { 0 } else { model.layers().len() - 1 };
            let hidden = &model.layers()[..hidden];
            let widest = hidden.iter().map(|layer| layer.outputs).max().unwrap_or(0);
            return Self::Single(Box::new(Singles {
                transposed_deltas: widths().map(|width| Buffer::new(width, batch)).collect(),
                transposed_inputs: hidden.iter().map(|layer| Buffer::new(layer.inputs, batch)).collect(),
                transposed_weights: hidden
                    .iter()
                    .skip(1)
                    .map(|layer| Buffer::new(layer.inputs, layer.outputs))
                    .collect(),
                by_output: hidden.iter().map(|layer| Nonzeros::new(layer.outputs, batch)).collect(),
                by_image: Nonzeros::new(batch.min(MOST_A_PART * LANES), if hidden.len() > 1 { widest } else { 0 }),
            }));
        }
        Self::Half(Box::new(Halves {
            transposed_deltas: widths().map(|width| Buffer::new(width, batch)).collect(),
            deltas: widths().map(|width| Buffer::new(batch, width)).collect(),
            inputs: model.layers().iter().map(|layer| Buffer::new(batch, layer.inputs)).collect(),
            loss_scales: vec![LossScale::default(); lines.len()],
            parameters: lines.into_iter().map(|lines| vec![HalfLine::ZERO; lines]).collect(),
            overflow: Overflow::default(),
        }))
    }

    /// How many layers, from the first on, have products that may leave out zeros.
    fn sparse_layers(&self) -> usize {
        match self {
            Self::Single(singles) => singles.by_output.len(),
            Self::Half(_) => 0,
        }
    }
}

/// Operands whose directions are exchanged, or without zeros: all but the deltas only of hidden layers, and with batches of
/// few images none of these.
#[derive(Debug)]
struct Singles {
    /// The deltas of every layer in panels of outputs.
    transposed_deltas: Vec<Buffer>,
    /// The input of each hidden layer in panels of inputs.
    transposed_inputs: Vec<Buffer>,
    /// The weight of each hidden layer but the first in panels of inputs.
    transposed_weights: Vec<Buffer>,
    /// The deltas of each hidden layer, by outputs.
    by_output: Vec<Nonzeros>,
    /// The input, or later the deltas, of the hidden layer that is computed with, by images.
    by_image: Nonzeros,
}

/// Operands in half precision, each written where the original is.
#[derive(Debug)]
struct Halves {
    /// The parameters of each network.
    parameters: Vec<Vec<HalfLine>>,
    loss_scales: Vec<LossScale>,
    /// The input of every layer.
    inputs: Vec<Buffer<HalfLine>>,
    deltas: Vec<Buffer<HalfLine>>,
    transposed_deltas: Vec<Buffer<HalfLine>>,
    overflow: Overflow,
}

impl Networks {
    /// Networks with the first weights of their seeds, and this precision in the products of their training steps. The
    /// first is selected.
    pub fn new(
        data: Arc<Data>,
        hyperparameters: &Hyperparameters,
        processor: Processor,
        pool: Pool,
        precision: Precision,
    ) -> Self {
        let model = data.model(hyperparameters);
        let places = places(&model);
        let end = places.last().map_or(0, |place| place.end);
        let batch = hyperparameters.batch_size.min(data.train.len().max(data.valid.len()));
        let widths = || model.layers().iter().map(|layer| layer.outputs);
        let gradients = vec![Line::ZERO; if hyperparameters.clip_norm.is_some() { end } else { 0 }];
        let copies = Copies::new(precision, &model, batch, vec![end; hyperparameters.ensemble as usize]);
        let grid = |(layer, place): (usize, &Place)| {
            let sizes = [place.layout.panels(), place.layout.blocks()];
            if layer < copies.sparse_layers() {
                Grid::without_zeros(sizes, 1, processor.together(), pool.threads())
            } else {
                Grid::new(sizes, MOST_A_GRADIENT_TASK, pool.threads())
            }
        };
        let gradient_grids: Vec<Grid> = places.iter().enumerate().map(grid).collect();
        let lines = || vec![Line::ZERO; end];
        let member = |seed| Member { seed, parameters: lines(), exp_avg: lines(), exp_avg_sq: lines(), averaged: None };
        let mut networks = Self {
            members: hyperparameters.seeds().map(member).collect(),
            selected: 0,
            pool,
            processor,
            hyperparameters: hyperparameters.clone(),
            square_sums: vec![0.0; SquareSums::count(gradients.len())],
            gradients,
            activations: [model.inputs()].into_iter().chain(widths()).map(|width| Buffer::new(batch, width)).collect(),
            deltas: widths().map(|width| Buffer::new(batch, width)).collect(),
            copies,
            losses: vec![0.0; batch.next_multiple_of(LANES)],
            labels: vec![0; batch.next_multiple_of(LANES)],
            gradient_tasks: tasks_by_share(&gradient_grids),
            gradient_grids,
            places,
            data,
            model,
        };
        for network in (0..networks.members.len()).rev() {
            networks.select(network);
            let first = networks.model.kaiming_normal(networks.members[network].seed);
            networks.set_state(&State::first(first, hyperparameters.ema_decay.is_some()));
        }
        networks
    }

    /// Turns to one of the networks, counted from 0.
    ///
    /// # Panics
    /// Where there is none.
    pub fn select(&mut self, network: usize) {
        assert!(network < self.members.len(), "there are {} networks", self.members.len());
        self.selected = network;
    }

    /// The processor and the number of threads.
    pub fn machine(&self) -> (Processor, usize) {
        (self.processor, self.pool.threads())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.model.outputs()
    }

    /// The most images that a batch may have.
    pub fn batch_size(&self) -> usize {
        self.hyperparameters.batch_size
    }

    /// A copy of what the network's training consists of.
    pub fn state(&self) -> State {
        let Member { parameters, exp_avg, exp_avg_sq, averaged, .. } = &self.members[self.selected];
        State {
            parameters: self.extract(parameters),
            exp_avg: self.extract(exp_avg),
            exp_avg_sq: self.extract(exp_avg_sq),
            averaged: averaged.as_ref().map(|averaged| self.extract(averaged)),
            loss_scale: match &self.copies {
                Copies::Single(_) => None,
                Copies::Half(halves) => Some(halves.loss_scales[self.selected]),
            },
        }
    }

    /// Continues from there.
    pub fn set_state(&mut self, state: &State) {
        let member = Member {
            seed: self.members[self.selected].seed,
            parameters: self.fill(&state.parameters),
            exp_avg: self.fill(&state.exp_avg),
            exp_avg_sq: self.fill(&state.exp_avg_sq),
            averaged: state.averaged.as_ref().map(|averaged| self.fill(averaged)),
        };
        if let Copies::Half(halves) = &mut self.copies {
            halves.loss_scales[self.selected] = state.loss_scale.unwrap_or_default();
            for (halves, line) in halves.parameters[self.selected].iter_mut().zip(&member.parameters) {
                *halves = HalfLine(line.0.map(f16::from_f32));
            }
        }
        self.members[self.selected] = member;
    }

    fn fill(&self, parameters: &[f32]) -> Vec<Line> {
        let mut lines = vec![Line::ZERO; self.places.last().map_or(0, |place| place.end)];
        for (place, layer) in self.places.iter().zip(self.model.layers()) {
            place.layout.fill(&parameters[layer.weight.clone()], &mut lines[place.weight..place.bias]);
            let bias = lines[place.bias..place.end].iter_mut().flat_map(|line| &mut line.0);
            bias.zip(&parameters[layer.bias.clone()]).for_each(|(place, &value)| *place = value);
        }
        lines
    }

    fn extract(&self, lines: &[Line]) -> Vec<f32> {
        let mut parameters = vec![0.0; self.model.parameters()];
        for (place, layer) in self.places.iter().zip(self.model.layers()) {
            place.layout.extract(&lines[place.weight..place.bias], &mut parameters[layer.weight.clone()]);
            let bias = lines[place.bias..place.end].iter().flat_map(|line| &line.0);
            parameters[layer.bias.clone()].iter_mut().zip(bias).for_each(|(value, &place)| *value = place);
        }
        parameters
    }

    /// A training step on these rows of an epoch. Returns the sum of the losses of its images.
    pub fn train_step(&mut self, rows: &[u32], epoch: u32, step: Step) -> f64 {
        let (seed, input_dropout) = (self.members[self.selected].seed, self.hyperparameters.input_dropout);
        let augmentation = self.hyperparameters.augmentation();
        let dropout = (input_dropout > 0.0).then(|| Dropout::new(input_dropout, seed, step.index, 0));
        let last = self.places.len() - 1;
        for panels in even_parts(rows.len().div_ceil(LANES), MOST_A_PART) {
            self.gather(Images::Training { rows, epoch, seed, augmentation, dropout }, panels.clone());
            for layer in 0..last {
                self.forward(layer, panels.clone(), Some(step.index), WeightsKind::Trained);
            }
            self.judge(rows.len(), panels.clone());
            for layer in (1..=last).rev() {
                self.backward(layer, panels.clone());
            }
        }
        let overflowed = self.overflowed() || self.learn(rows.len(), step);
        if let Copies::Half(halves) = &mut self.copies {
            let loss_scale = &mut halves.loss_scales[self.selected];
            *loss_scale = loss_scale.after(overflowed);
        }
        self.losses[..rows.len()].iter().map(|&loss| f64::from(loss)).sum()
    }

    /// Whether a gradient has left half precision since this was last asked.
    fn overflowed(&mut self) -> bool {
        match &mut self.copies {
            Copies::Single(_) => false,
            Copies::Half(halves) => halves.overflow.take(),
        }
    }

    /// The logits, row by row, of as many validation images from row `first` on as there is room for: at most
    /// a batch.
    pub fn predict(&mut self, first: usize, weights: WeightsKind, logits: &mut [f32]) {
        let count = logits.len() / self.model.outputs();
        for panels in even_parts(count.div_ceil(LANES), MOST_A_PART) {
            self.gather(Images::Validation { first, count }, panels.clone());
            for layer in 0..self.places.len() {
                self.forward(layer, panels.clone(), None, weights);
            }
        }
        let output = &self.activations[self.places.len()];
        output.layout.extract(&output.lines, logits);
    }

    fn gather(&mut self, images: Images<'_>, panels: Range<usize>) {
        let (transposed, halves) = match &mut self.copies {
            Copies::Single(singles) => {
                let input = singles.transposed_inputs.first_mut();
                (input.filter(|_| matches!(images, Images::Training { .. })).map(Buffer::shared), None)
            }
            Copies::Half(halves) => (None, Some(halves.inputs[0].shared())),
        };
        let mut phase = Gather {
            data: &self.data,
            images,
            input: self.activations[0].shared(),
            transposed,
            halves,
            labels: Shared::new(&mut self.labels),
            panels,
        };
        self.processor.run(&mut self.pool, &mut phase);
    }

    /// A layer's output: in a training step in its precision, with dropout where it is hidden.
    fn forward(&mut self, layer: usize, panels: Range<usize>, training: Option<u64>, weights: WeightsKind) {
        let is_hidden = layer + 1 < self.places.len();
        let dropout = self.hyperparameters.dropout;
        let member = &self.members[self.selected];
        let parameters = match weights {
            WeightsKind::Trained => &member.parameters,
            WeightsKind::Averaged => member.averaged.as_ref().expect("an average is kept"),
        };
        let place = self.places[layer];
        let (before, after) = self.activations.split_at_mut(layer + 1);
        let single = linear([before[layer].matrix(), place.weight(parameters)]);
        let (product, transposed, halves) = match &mut self.copies {
            Copies::Single(singles) => {
                let Singles { transposed_inputs, by_image, .. } = &mut **singles;
                let hidden = transposed_inputs.len();
                let (before, after) = transposed_inputs.split_at_mut(hidden.min(layer + 1));
                let sparse = if let Some(input) = before.get(layer).filter(|_| layer > 0) {
                    let on = (self.processor, &mut self.pool);
                    by_image.search(on, input.matrix(), panels.clone(), single.terms, place.layout.panels());
                    by_image.product(place.weight(parameters))
                } else {
                    None
                };
                let product = sparse.map_or(AnyProduct::Single(single), AnyProduct::Sparse);
                (product, after.first_mut().map(Buffer::shared), None)
            }
            Copies::Half(halves) if training.is_some() => {
                let (before, after) = halves.inputs.split_at_mut(layer + 1);
                let weight = place.weight(&halves.parameters[self.selected]);
                let product = AnyProduct::Half(linear([before[layer].matrix(), weight]));
                (product, None, after.first_mut().map(Buffer::shared))
            }
            Copies::Half(_) => (AnyProduct::Single(single), None, None),
        };
        let output = after[0].shared();
        let blocks = output.layout.blocks();
        let grid = product.grid([blocks, panels.len()], self.processor, self.pool.threads());
        let mut phase = Forward {
            product,
            biases: place.biases(parameters),
            output,
            transposed,
            halves,
            grid: grid.starting_at(panels.start),
            is_hidden,
            dropout: training
                .filter(|_| is_hidden && dropout > 0.0)
                .map(|step| Dropout::new(dropout, member.seed, step, layer + 1)),
        };
        self.processor.run(&mut self.pool, &mut phase);
    }

    fn judge(&mut self, count: usize, panels: Range<usize>) {
        let last = self.places.len() - 1;
        let place = self.places[last];
        let Hyperparameters { loss, label_smoothing, .. } = self.hyperparameters;
        let loss = Loss::new(loss, label_smoothing, self.model.outputs(), count);
        let (before, after) = self.activations.split_at_mut(last + 1);
        let parameters = &self.members[self.selected].parameters;
        let (product, copies, scale) = match &mut self.copies {
            Copies::Single(singles) => (
                AnyProduct::Single(linear([before[last].matrix(), place.weight(parameters)])),
                DeltaCopies::Single(singles.transposed_deltas[last].shared()),
                1.0,
            ),
            Copies::Half(halves) => {
                let Halves { parameters, inputs, deltas, transposed_deltas, loss_scales, overflow } = &mut **halves;
                let copies = DeltaCopies::Half {
                    by_image: deltas[last].shared(),
                    by_output: transposed_deltas[last].shared(),
                    overflow,
                };
                let product = linear([inputs[last].matrix(), place.weight(&parameters[self.selected])]);
                (AnyProduct::Half(product), copies, loss_scales[self.selected].scale)
            }
        };
        let mut phase = Judge {
            product,
            biases: place.biases(parameters),
            logits: after[0].shared(),
            delta: Delta { by_image: self.deltas[last].shared(), copies },
            loss: loss.scaled(scale),
            labels: &self.labels,
            losses: Shared::new(&mut self.losses),
            count,
            panels,
        };
        self.processor.run(&mut self.pool, &mut phase);
    }

    /// From the gradient by a layer's output to that by the output of the one before it.
    fn backward(&mut self, layer: usize, panels: Range<usize>) {
        let place = self.places[layer];
        let (before, after) = self.deltas.split_at_mut(layer);
        let by_image = before[layer - 1].shared();
        let (product, copies) = match &mut self.copies {
            Copies::Single(singles) => {
                let Singles { transposed_deltas, transposed_weights, by_image, .. } = &mut **singles;
                let (before, here) = transposed_deltas.split_at_mut(layer);
                let single = by_input([after[0].matrix(), place.weight(&self.members[self.selected].parameters)]);
                let sparse = if let Some(weight) = transposed_weights.get_mut(layer - 1) {
                    let inputs = weight.layout.panels();
                    if panels.start == 0 && Nonzeros::may_pay(single.terms, inputs) {
                        let mut phase = Transpose { from: single.b, to: weight.shared() };
                        self.processor.run(&mut self.pool, &mut phase);
                    }
                    let on = (self.processor, &mut self.pool);
                    by_image.search(on, here[0].matrix(), panels.clone(), single.terms, inputs);
                    by_image.product(weight.matrix())
                } else {
                    None
                };
                let product = sparse.map_or(AnyProduct::Single(single), AnyProduct::Sparse);
                (product, DeltaCopies::Single(before[layer - 1].shared()))
            }
            Copies::Half(halves) => {
                let Halves { parameters, deltas, transposed_deltas, overflow, .. } = &mut **halves;
                let (before, after) = deltas.split_at_mut(layer);
                let copies = DeltaCopies::Half {
                    by_image: before[layer - 1].shared(),
                    by_output: transposed_deltas[layer - 1].shared(),
                    overflow,
                };
                (AnyProduct::Half(by_input([after[0].matrix(), place.weight(&parameters[self.selected])])), copies)
            }
        };
        let blocks = by_image.layout.blocks();
        let grid = product.grid([blocks, panels.len()], self.processor, self.pool.threads());
        let mut phase = Backward {
            product,
            output: &self.activations[layer].lines,
            previous: Delta { by_image, copies },
            grid: grid.starting_at(panels.start),
            scale: Dropout::scale(self.hyperparameters.dropout),
        };
        self.processor.run(&mut self.pool, &mut phase);
    }

    /// Moves the parameters. Returns whether a gradient overflowed: with clipping nothing has
    /// moved then, without it all but what that gradient was for.
    fn learn(&mut self, count: usize, step: Step) -> bool {
        let (layers, copies, overflow, scale) = match &mut self.copies {
            Copies::Single(singles) => {
                let Singles { transposed_deltas, transposed_inputs, by_output, .. } = &mut **singles;
                for ((nonzeros, inputs), deltas) in by_output.iter_mut().zip(&*transposed_inputs).zip(&self.deltas) {
                    let outputs = 0..deltas.layout.blocks();
                    let (terms, panels) = (count.next_multiple_of(LANES), inputs.layout.panels());
                    nonzeros.search((self.processor, &mut self.pool), deltas.matrix(), outputs, terms, panels);
                }
                let (deltas, inputs) = (&transposed_deltas[..], &self.activations[..]);
                (Layers::Single { deltas, inputs, transposed_inputs, nonzeros: by_output }, None, None, 1.0)
            }
            Copies::Half(halves) => {
                let Halves { parameters, inputs, transposed_deltas, loss_scales, overflow, .. } = &mut **halves;
                let layers = Layers::Half { deltas: transposed_deltas, inputs };
                let copies = Shared::new(&mut parameters[self.selected]);
                (layers, Some(copies), Some(&*overflow), f64::from(loss_scales[self.selected].scale))
            }
        };
        let learn = |learning| Learn {
            places: &self.places,
            grids: &self.gradient_grids,
            tasks: &self.gradient_tasks,
            layers,
            count,
            learning,
            overflow,
        };
        let Hyperparameters { weight_decay, clip_norm, ema_decay, .. } = self.hyperparameters;
        let adam = |share: f64| Adam::new(step, weight_decay, share / scale, ema_decay.unwrap_or_default());
        let Member { parameters, exp_avg, exp_avg_sq, averaged, .. } = &mut self.members[self.selected];
        let parameters = Parameters {
            values: Shared::new(parameters),
            exp_avg: Shared::new(exp_avg),
            exp_avg_sq: Shared::new(exp_avg_sq),
            averaged: averaged.as_mut().map(|averaged| Shared::new(averaged)),
            halves: copies,
        };
        let Some(longest) = clip_norm else {
            self.processor.run(&mut self.pool, &mut learn(Learning::Update { adam: adam(1.0), parameters }));
            return self.overflowed();
        };
        self.processor.run(&mut self.pool, &mut learn(Learning::Keep(Shared::new(&mut self.gradients))));
        if overflow.is_some_and(Overflow::is_found) {
            return self.overflowed();
        }
        let mut sums = SquareSums { gradients: &self.gradients, sums: Shared::new(&mut self.square_sums) };
        self.processor.run(&mut self.pool, &mut sums);
        let norm = self.square_sums.iter().sum::<f64>().sqrt() / scale;
        // As PyTorch's `clip_grad_norm_`, which adds so much lest it divide by 0.
        let share = (longest / (norm + 1e-6)).min(1.0);
        let mut update = Update { adam: adam(share), parameters, gradients: &self.gradients };
        self.processor.run(&mut self.pool, &mut update);
        false
    }
}

/// Where the parameters of each layer lie, one layer after the other.
fn places(model: &Mlp) -> Vec<Place> {
    let mut end = 0;
    let place = |layer: &Layer| {
        let layout = Layout { lanes: layer.outputs, depth: layer.inputs };
        let (weight, bias) = (end, end + layout.lines());
        end = bias + layout.panels();
        Place { layout, weight, bias, end }
    };
    model.layers().iter().map(place).collect()
}

/// A layer's output before its activation, from its input and weight.
fn linear<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Depth, terms: a.layout.blocks() * LANES }
}

/// The loss's gradient by a layer's input, from that by its output and its weight.
fn by_input<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Lanes, terms: a.layout.blocks() * LANES }
}

/// The tasks of all grids, by how far each is in its own.
fn tasks_by_share(grids: &[Grid]) -> Vec<(usize, usize)> {
    let tasks = grids.iter().enumerate().flat_map(|(grid, tasks)| (0..tasks.tasks()).map(move |task| (grid, task)));
    let mut tasks: Vec<(usize, usize)> = tasks.collect();
    tasks.sort_by(|one, other| {
        // As fractions: (task + 1/2) / tasks.
        let share = |&(grid, task): &(usize, usize)| (2 * task + 1, grids[grid].tasks());
        let ((task, tasks), (other_task, other_tasks)) = (share(one), share(other));
        (task * other_tasks).cmp(&(other_task * tasks))
    });
    tasks
}
