//! A step: what the stream is given, in its order.

use artifacts::Dataset;

use super::{Network, Plan, at, count32};
use crate::cuda::buffers::{Images, SQUARE_SUMS};
use crate::cuda::device::{Buffer, THREADS};
use crate::cuda::error::Error;
use crate::cuda::kernels::{
    Activate, BeginStep, Clip, Deactivate, Dropout, Gather, Judge, SquareSums, SumRows, Update, Variation, Vary,
};
use crate::cuda::products::{Element, Epilogue};
use crate::dropout;
use crate::options::{Hyperparameters, LossName};
use crate::softmax::{GENERALIZED_Q, Loss, REVERSE_A};

/// A warp does an image in the loss's kernel, and each of its threads up to eight classes.
const _: () = assert!(Dataset::MOST_CLASSES <= 256);

impl Network {
    /// Gives the stream a step.
    pub fn step(&self, plan: &Plan) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &*self.stream);
        let begin = BeginStep { written: self.written, step: buffers.step.pointer(), next: buffers.next.pointer() };
        // SAFETY: the places hold a step and a number; the host has written as many steps as are begun.
        unsafe { self.kernels.begin_step.launch(stream, 1, &begin) }?;
        self.gather_training(plan.count)?;
        let last = plan.forward.len() - 1;
        for (layer, product) in plan.forward.iter().enumerate() {
            self.products.multiply(product)?;
            if layer < last && product.epilogue == Epilogue::None {
                self.activate(layer, plan.count)?;
            }
        }
        self.judge(plan.count)?;
        for layer in (0..=last).rev() {
            self.products.multiply(&plan.weight[layer])?;
            let before = layer.checked_sub(1).map(|before| &plan.backward[before]);
            if let Some(backward) = before {
                self.products.multiply(backward)?;
                if backward.epilogue == Epilogue::None {
                    self.deactivate(layer - 1, plan.count)?;
                }
            }
            if !plan.sums_images(layer) {
                self.sum_rows(layer, plan.count)?;
            }
        }
        self.update()
    }

    fn gather_training(&self, count: usize) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &*self.stream);
        if let Some(variations) = &buffers.variations {
            debug_assert!(variations.bytes() >= count * size_of::<Variation>(), "a batch has room");
            let vary = Vary {
                step: buffers.step.pointer(),
                order: buffers.order.pointer(),
                variations: variations.pointer(),
                count: count32(count),
                ..Vary::new(self.hyperparameters.augmentation())
            };
            // SAFETY: there is room for a batch's variations, and the step's images are within the order.
            unsafe { self.kernels.vary.launch(stream, count, &vary) }?;
        }
        let (images, staged) = match &buffers.images {
            Images::Resident { train, .. } => (train.pointer(), 0),
            Images::Staged(halves) => (halves.pointer(), self.sizes.staged()),
        };
        let gather = Gather {
            step: buffers.step.pointer(),
            order: buffers.order.pointer(),
            variations: buffers.variations.as_ref().map_or(0, Buffer::pointer),
            output: buffers.training.input.pointer(),
            dropout: Dropout::new(self.hyperparameters.input_dropout, 0),
            staged: count32(staged),
            ..self.gather(images, 0, count)
        };
        // SAFETY: the output has room for a batch, and every row of the order is one of the images.
        unsafe { self.kernels.gather.launch(stream, count * self.sizes.stride(0) / 8, &gather) }
    }

    fn activate(&self, layer: usize, count: usize) -> Result<(), Error> {
        let width = self.sizes.width(layer + 1);
        let arguments = Activate {
            step: self.buffers.step.pointer(),
            bias: at(self.buffers.parameters.pointer(), self.layout.places[layer].bias, Element::Float32),
            values: self.buffers.training.hidden[layer].pointer(),
            dropout: Dropout::new(self.hyperparameters.dropout, layer + 1),
            count: count32(count),
            width: count32(width),
            stride: count32(self.sizes.stride(layer + 1)),
            relu: 1,
        };
        // SAFETY: the outputs have room for a batch, and the bias for the layer's width.
        unsafe { self.kernels.activate.launch(&self.stream, count * width.div_ceil(8), &arguments) }
    }

    fn deactivate(&self, layer: usize, count: usize) -> Result<(), Error> {
        let width = self.sizes.width(layer + 1);
        let arguments = Deactivate {
            outputs: self.buffers.training.hidden[layer].pointer(),
            gradients: self.buffers.deltas[layer].pointer(),
            scale: dropout::Dropout::scale(self.hyperparameters.dropout),
            count: count32(count),
            width: count32(width),
            stride: count32(self.sizes.stride(layer + 1)),
        };
        // SAFETY: both have room for a batch.
        unsafe { self.kernels.deactivate.launch(&self.stream, count * width.div_ceil(8), &arguments) }
    }

    fn judge(&self, count: usize) -> Result<(), Error> {
        let Hyperparameters { loss, label_smoothing, .. } = self.hyperparameters;
        let last = self.layout.places.len() - 1;
        let classes = self.sizes.width(last + 1);
        let Loss { name, right, wrong, share } = Loss::new(loss, label_smoothing, classes, count);
        let arguments = Judge {
            step: self.buffers.step.pointer(),
            order: self.buffers.order.pointer(),
            labels: self.buffers.labels.pointer(),
            logits: self.buffers.training.logits.pointer(),
            bias: at(self.buffers.parameters.pointer(), self.layout.places[last].bias, Element::Float32),
            gradients: self.buffers.deltas[last].pointer(),
            losses: self.buffers.losses.pointer(),
            count: count32(count),
            classes: count32(classes),
            stride: count32(self.sizes.stride(last + 1)),
            loss: match name {
                LossName::CrossEntropy => 0,
                LossName::GeneralizedCrossEntropy => 1,
                LossName::SymmetricCrossEntropy => 2,
            },
            right,
            wrong,
            share,
            exponent: GENERALIZED_Q,
            reverse: REVERSE_A,
        };
        // SAFETY: logits and gradients have room for a batch, losses for the epoch, and a data set has at most 256 classes.
        unsafe { self.kernels.judge.launch(&self.stream, count * 32, &arguments) }
    }

    fn sum_rows(&self, layer: usize, count: usize) -> Result<(), Error> {
        let width = self.sizes.width(layer + 1);
        let arguments = SumRows {
            gradients: self.buffers.deltas[layer].pointer(),
            sums: at(self.buffers.gradients.pointer(), self.layout.places[layer].bias, Element::Float32),
            count: count32(count),
            width: count32(width),
            stride: count32(self.sizes.stride(layer + 1)),
        };
        // SAFETY: the gradients have room for a batch, and the sums for the layer's width.
        unsafe { self.kernels.sum_rows.launch(&self.stream, width.div_ceil(8) * THREADS, &arguments) }
    }

    fn update(&self) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &*self.stream);
        let gradients = buffers.gradients.pointer();
        if let (Some(sums), Some(longest)) = (&buffers.square_sums, self.hyperparameters.clip_norm) {
            let arguments = SquareSums { gradients, sums: sums.pointer(), count: count32(self.layout.length) };
            let clip =
                Clip { step: buffers.step.pointer(), sums: sums.pointer(), longest, count: count32(SQUARE_SUMS) };
            // SAFETY: there is a sum for each block, and the gradients are as many as the layout says.
            unsafe {
                self.kernels.square_sums.launch(stream, SQUARE_SUMS * THREADS, &arguments)?;
                self.kernels.clip.launch(stream, 1, &clip)?;
            }
        }
        let pointer = |buffer: &Option<Buffer>| buffer.as_ref().map_or(0, Buffer::pointer);
        let quads = self.layout.length / 4;
        let arguments = Update {
            step: buffers.step.pointer(),
            gradients,
            parameters: buffers.parameters.pointer(),
            exp_avg: buffers.exp_avg.pointer(),
            exp_avg_sq: buffers.exp_avg_sq.pointer(),
            averaged: pointer(&buffers.averaged),
            copy: pointer(&buffers.copy),
            quads: count32(quads),
        };
        // SAFETY: all of them are as long as the layout says.
        unsafe { self.kernels.update.launch(stream, quads, &arguments) }
    }
}
