//! A training step, and a prediction.

use std::ops::Range;

use artifacts::Weights as WeightsKind;

use super::copies::{Copies, Halves, Singles};
use super::{Member, Networks};
use crate::adam::Adam;
use crate::cpu::adam::Parameters;
use crate::cpu::grid::{Extent, MOST_A_PART, even_parts};
use crate::cpu::kernel::Along;
use crate::cpu::nonzeros::Nonzeros;
use crate::cpu::overflow::Overflow;
use crate::cpu::panels::{Buffer, LANES, Matrix, Shared};
use crate::cpu::phases::{
    Backward, Delta, DeltaCopies, Forward, Gather, Hidden, Images, Judge, Layers, Learn, Learning, SquareSums,
    Transpose, Update,
};
use crate::cpu::product::{AnyProduct, Operand, Product};
use crate::dropout::Dropout;
use crate::engine::Step;
use crate::options::Hyperparameters;
use crate::softmax::Loss;

impl Networks {
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
                let input = singles.hidden.first_mut().map(|hidden| hidden.transposed_input.shared());
                (input.filter(|_| matches!(images, Images::Training { .. })), None)
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
                let Singles { hidden, nonzeros, .. } = &mut **singles;
                let next = hidden.len().min(layer + 1);
                let (before, after) = hidden.split_at_mut(next);
                let sparse = if let Some(Hidden { transposed_input, .. }) = before.get(layer).filter(|_| layer > 0) {
                    let on = (self.processor, &mut self.pool);
                    let outputs = place.layout.panels();
                    nonzeros.search(on, transposed_input.matrix(), panels.clone(), single.terms, outputs);
                    nonzeros.product(place.weight(parameters))
                } else {
                    None
                };
                let product = sparse.map_or(AnyProduct::Single(single), AnyProduct::Sparse);
                (product, after.first_mut().map(|next| next.transposed_input.shared()), None)
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
        let part = Extent { panels: panels.len(), ..output.layout.extent() };
        let grid = product.grid(part, self.processor, self.pool.threads());
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
                let Singles { transposed_deltas, hidden, nonzeros } = &mut **singles;
                let (before, here) = transposed_deltas.split_at_mut(layer);
                let single = by_input([after[0].matrix(), place.weight(&self.members[self.selected].parameters)]);
                let weight = hidden.get_mut(layer).and_then(|hidden| hidden.transposed_weight.as_mut());
                let sparse = if let Some(weight) = weight {
                    let inputs = weight.layout.panels();
                    if panels.start == 0 && Nonzeros::may_pay(single.terms, inputs) {
                        let mut phase = Transpose { from: single.b, to: weight.shared() };
                        self.processor.run(&mut self.pool, &mut phase);
                    }
                    let on = (self.processor, &mut self.pool);
                    nonzeros.search(on, here[0].matrix(), panels.clone(), single.terms, inputs);
                    nonzeros.product(weight.matrix())
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
        let part = Extent { panels: panels.len(), ..by_image.layout.extent() };
        let grid = product.grid(part, self.processor, self.pool.threads());
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
        let terms = count.next_multiple_of(LANES);
        let (layers, copies, overflow, scale) = match &mut self.copies {
            Copies::Single(singles) => {
                let Singles { transposed_deltas, hidden, .. } = &mut **singles;
                for (Hidden { transposed_input, nonzero_deltas, .. }, deltas) in hidden.iter_mut().zip(&self.deltas) {
                    let (outputs, inputs) = (0..deltas.layout.blocks(), transposed_input.layout.panels());
                    let on = (self.processor, &mut self.pool);
                    nonzero_deltas.search(on, deltas.matrix(), outputs, terms, inputs);
                }
                (Layers::Single { deltas: transposed_deltas, inputs: &self.activations, hidden }, None, None, 1.0)
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
            terms,
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

/// A layer's output before its activation, from its input and weight.
fn linear<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Depth, terms: a.layout.blocks() * LANES }
}

/// The loss's gradient by a layer's input, from that by its output and its weight.
fn by_input<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Lanes, terms: a.layout.blocks() * LANES }
}
