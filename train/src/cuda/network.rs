//! What a step consists of: which products and kernels, in which order, on which buffers.

use std::rc::Rc;

use artifacts::Weights;
use cudarc::driver::sys::CUdeviceptr;

use super::buffers::{Activations, Buffers, Images, SQUARE_SUMS, Sizes, bits_stride};
use super::device::{Buffer, Stream};
use super::error::Error;
use super::kernels::{
    Activate, BeginStep, Clip, Deactivate, Dropout, Gather, Judge, Kernels, Narrow, SquareSums, SumRows, Update,
    Variation, Vary,
};
use super::layout::{Layout, Place};
use super::libraries::Libraries;
use super::products::{Choice, Element, Epilogue, Kind, Matrix, Product, Products, Request};
use crate::data::Data;
use crate::dropout;
use crate::model::Mlp;
use crate::options::{Hyperparameters, LossName, Precision};
use crate::softmax::{GENERALIZED_Q, Loss, REVERSE_A};

/// A network on a device.
#[derive(Debug)]
pub struct Network {
    pub stream: Rc<Stream>,
    pub layout: Layout,
    pub sizes: Sizes,
    pub buffers: Buffers,
    /// What the host writes of each step of an epoch, on the host.
    written: CUdeviceptr,
    kernels: Rc<Kernels>,
    /// For validation.
    float_kernels: Rc<Kernels>,
    products: Products,
    /// For validation.
    float_products: Products,
    hyperparameters: Hyperparameters,
    height: usize,
    width: usize,
    scale: f32,
    offset: f32,
}

/// The products of a step of a number of images.
#[derive(Debug)]
pub struct Plan {
    count: usize,
    forward: Vec<Product>,
    /// Of all layers but the first.
    backward: Vec<Product>,
    weight: Vec<Product>,
}

impl Plan {
    /// What each product does besides, by layer, in cublasLt's words.
    pub fn epilogues(&self) -> Vec<String> {
        let list = |name: &str, products: &[Product]| {
            let names: Vec<&str> = products.iter().map(|product| product.epilogue.name()).collect();
            format!("{name}: {}", names.join(", "))
        };
        vec![list("forward", &self.forward), list("backward", &self.backward), list("weight", &self.weight)]
    }
}

/// What kernels count is 32 bits wide.
fn count32(count: usize) -> u32 {
    u32::try_from(count).expect("a kernel counts fewer than 2³²")
}

impl Network {
    /// Compiles the kernels. The parameters are 0.
    ///
    /// # Errors
    /// When the device, the compiler or the library of products fails.
    pub fn new(
        stream: &Rc<Stream>,
        libraries: &Libraries,
        data: &Data,
        model: &Mlp,
        hyperparameters: &Hyperparameters,
        precision: Precision,
        written: CUdeviceptr,
    ) -> Result<Self, Error> {
        let layout = Layout::new(model);
        let sizes = Sizes::new(data, model, &layout, hyperparameters, precision);
        let float_kernels = Rc::new(Kernels::compile(stream.context(), &libraries.nvrtc, Element::Float32)?);
        let kernels = match sizes.element {
            Element::Float32 => Rc::clone(&float_kernels),
            element @ Element::Bfloat16 => Rc::new(Kernels::compile(stream.context(), &libraries.nvrtc, element)?),
        };
        let buffers = sizes.allocate(stream)?;
        buffers.fill(data, stream)?;
        let standardisation = data.standardisation();
        Ok(Self {
            products: Products::new(stream, libraries.cublaslt, precision, &buffers.workspace)?,
            float_products: Products::new(stream, libraries.cublaslt, Precision::F32, &buffers.workspace)?,
            stream: Rc::clone(stream),
            layout,
            sizes,
            buffers,
            written,
            kernels,
            float_kernels,
            hyperparameters: hyperparameters.clone(),
            height: data.dataset.height,
            width: data.dataset.width,
            scale: standardisation.scale,
            offset: standardisation.offset,
        })
    }

    /// Whether the images are on the device.
    pub fn is_resident(&self) -> bool {
        matches!(self.buffers.images, Images::Resident { .. })
    }

    /// A product's operand or result in a buffer of activations or of their gradients; 0 is the input.
    fn images(&self, buffer: &Buffer, element: Element, layer: usize, count: usize) -> Matrix {
        let columns = self.sizes.width(layer);
        Matrix { place: buffer.pointer(), element, rows: count, columns, stride: self.sizes.stride(layer) }
    }

    fn input<'a>(&self, activations: &'a Activations, layer: usize) -> &'a Buffer {
        if layer == 0 { &activations.input } else { &activations.hidden[layer - 1] }
    }

    fn weight(&self, buffer: CUdeviceptr, element: Element, layer: usize) -> Matrix {
        let place = self.layout.places[layer];
        let (rows, columns) = (self.sizes.width(layer + 1), self.sizes.width(layer));
        Matrix { place: at(buffer, place.weight, element), element, rows, columns, stride: place.stride }
    }

    /// The product of a layer's input and weight.
    fn forward(&self, activations: &Activations, parameters: CUdeviceptr, layer: usize, count: usize) -> Request {
        let element = activations.element;
        let result = match activations.hidden.get(layer) {
            Some(hidden) => self.images(hidden, element, layer + 1, count),
            None => self.images(&activations.logits, Element::Float32, layer + 1, count),
        };
        Request {
            kind: Kind::Forward,
            left: self.images(self.input(activations, layer), element, layer, count),
            right: self.weight(parameters, element, layer),
            result,
            epilogue: Epilogue::None,
        }
    }

    /// The parameters as the products of training take them.
    fn training_parameters(&self) -> CUdeviceptr {
        self.buffers.copy.as_ref().unwrap_or(&self.buffers.parameters).pointer()
    }

    /// The products of a step of so many images, which are run: what lies in the buffers of activations and gradients is
    /// lost.
    ///
    /// # Errors
    /// When the library has no product, or fails.
    pub fn plan(&self, count: usize, choice: Choice) -> Result<Plan, Error> {
        let element = self.sizes.element;
        let layers = self.layout.places.len();
        let (training, deltas) = (&self.buffers.training, &self.buffers.deltas);
        let parameters = self.training_parameters();
        let delta = |layer: usize| self.images(&deltas[layer], element, layer + 1, count);
        let gradient = |place: usize| at(self.buffers.gradients.pointer(), place, Element::Float32);
        let bits = |layer: usize| (self.buffers.bits[layer].pointer(), bits_stride(self.sizes.width(layer + 1)));
        let planned = |request, epilogues: &[Epilogue]| self.products.plan(request, epilogues, choice, &self.kernels);
        // Dropout comes between a ReLU and the next product: with it, one kernel does bias, ReLU and dropout.
        let fuses = self.hyperparameters.dropout == 0.0;
        let mut plan = Plan { count, forward: Vec::new(), backward: Vec::new(), weight: Vec::new() };
        for (layer, place) in self.layout.places.iter().enumerate() {
            let fused = (fuses && layer + 1 < layers).then(|| {
                let (bits, stride) = bits(layer);
                Epilogue::ReluAuxBias { bias: at(parameters, place.bias, element), bits, stride }
            });
            plan.forward.push(planned(self.forward(training, parameters, layer, count), fused.as_slice())?);
        }
        for layer in 1..layers {
            let request = Request {
                kind: Kind::Backward,
                left: delta(layer),
                right: self.weight(parameters, element, layer),
                result: delta(layer - 1),
                epilogue: Epilogue::None,
            };
            let (bits, stride) = bits(layer - 1);
            let gradient = gradient(self.layout.places[layer - 1].bias);
            let (sums, passes) = (Epilogue::DreluBgrad { bits, stride, gradient }, Epilogue::Drelu { bits, stride });
            let epilogues: &[Epilogue] = match (plan.forward[layer - 1].epilogue, element) {
                // Of a single term, NVIDIA's binding for Python (nvmath) asks for none of these: the library may fault.
                _ if self.sizes.width(layer + 1) == 1 => &[],
                (Epilogue::ReluAuxBias { .. }, Element::Float32) => &[sums, passes],
                // The sums of products in bf16 would be bf16, too.
                (Epilogue::ReluAuxBias { .. }, Element::Bfloat16) => &[passes],
                _ => &[],
            };
            plan.backward.push(planned(request, epilogues)?);
        }
        for (layer, place) in self.layout.places.iter().enumerate() {
            let request = Request {
                kind: Kind::Weight,
                left: delta(layer),
                right: self.images(self.input(training, layer), element, layer, count),
                result: self.weight(self.buffers.gradients.pointer(), Element::Float32, layer),
                epilogue: Epilogue::None,
            };
            let is_summed = plan.backward.get(layer).is_some_and(|product| product.epilogue.sums_images());
            let sums = [Epilogue::Bgradb { gradient: gradient(place.bias) }];
            // See above: the terms are the images.
            plan.weight.push(planned(request, if is_summed || count == 1 { &[] } else { &sums })?);
        }
        Ok(plan)
    }

    /// Puts numbers of the kind that a training has into everything that products read, for their measurement.
    pub fn fill_for_measurement(&self) -> Result<(), Error> {
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from((state >> 16) as u16) / 65_536.0 - 0.5
        };
        for (buffer, element) in self.operands() {
            let count = buffer.bytes() / element.bytes();
            match element {
                Element::Float32 => {
                    self.stream.upload(&(0..count).map(|_| random()).collect::<Vec<f32>>(), buffer, 0)?;
                }
                Element::Bfloat16 => {
                    let upper_half = |value: f32| (value.to_bits() >> 16) as u16;
                    self.stream.upload(&(0..count).map(|_| upper_half(random())).collect::<Vec<u16>>(), buffer, 0)?;
                }
            }
        }
        Ok(())
    }

    /// Puts zeros wherever the measurement has left something.
    pub fn clear_after_measurement(&self) -> Result<(), Error> {
        let results = [&self.buffers.gradients, &self.buffers.training.logits].into_iter().chain(&self.buffers.bits);
        self.operands().map(|(buffer, _)| buffer).chain(results).try_for_each(|buffer| self.stream.zero(buffer))?;
        self.stream.synchronize()
    }

    fn operands(&self) -> impl Iterator<Item = (&Buffer, Element)> {
        let training = &self.buffers.training;
        let floats = [(&self.buffers.parameters, Element::Float32)].into_iter();
        let elements = [&training.input].into_iter().chain(&training.hidden).chain(&self.buffers.deltas);
        let elements = elements.chain(&self.buffers.copy);
        floats.chain(elements.map(|buffer| (buffer, self.sizes.element)))
    }

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
            let is_summed = plan.weight[layer].epilogue.sums_images()
                || plan.backward.get(layer).is_some_and(|product| product.epilogue.sums_images());
            if !is_summed {
                self.sum_rows(layer, plan.count)?;
            }
        }
        self.update()
    }

    fn gather_training(&self, count: usize) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &*self.stream);
        let input_dropout = self.hyperparameters.input_dropout;
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
        let dropout = if input_dropout > 0.0 { Dropout::new(input_dropout, 0) } else { Dropout::default() };
        let gather = Gather {
            step: buffers.step.pointer(),
            order: buffers.order.pointer(),
            variations: buffers.variations.as_ref().map_or(0, Buffer::pointer),
            output: buffers.training.input.pointer(),
            dropout,
            staged: count32(staged),
            ..self.gather(images, 0, count)
        };
        // SAFETY: the output has room for a batch, and every row of the order is one of the images.
        unsafe { self.kernels.gather.launch(stream, count * self.sizes.stride(0) / 8, &gather) }
    }

    /// What puts so many consecutive images together.
    fn gather(&self, images: CUdeviceptr, first: usize, count: usize) -> Gather {
        Gather {
            step: 0,
            order: 0,
            images,
            variations: 0,
            output: 0,
            dropout: Dropout::default(),
            first: count32(first),
            count: count32(count),
            staged: 0,
            height: count32(self.height),
            width: count32(self.width),
            stride: count32(self.sizes.stride(0)),
            scale: self.scale,
            offset: self.offset,
        }
    }

    fn activate(&self, layer: usize, count: usize) -> Result<(), Error> {
        let dropout = self.hyperparameters.dropout;
        let width = self.sizes.width(layer + 1);
        let arguments = Activate {
            step: self.buffers.step.pointer(),
            bias: at(self.buffers.parameters.pointer(), self.layout.places[layer].bias, Element::Float32),
            values: self.buffers.training.hidden[layer].pointer(),
            dropout: if dropout > 0.0 { Dropout::new(dropout, layer + 1) } else { Dropout::default() },
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
        unsafe { self.kernels.sum_rows.launch(&self.stream, width.div_ceil(8) * 256, &arguments) }
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
                self.kernels.square_sums.launch(stream, SQUARE_SUMS * 256, &arguments)?;
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

    /// Keeps what was trained as that of one network of the ensemble, and goes on with that of another one.
    pub fn exchange(&self, selected: usize, other: usize) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &self.stream);
        for (buffer, kept) in buffers.trained().zip(&buffers.members[selected]) {
            stream.duplicate(buffer.pointer(), buffer.bytes(), kept)?;
        }
        for (buffer, kept) in buffers.trained().zip(&buffers.members[other]) {
            stream.duplicate(kept.pointer(), kept.bytes(), buffer)?;
        }
        self.narrow()
    }

    /// Brings the parameters that products take up to date.
    pub fn narrow(&self) -> Result<(), Error> {
        let Some(copy) = &self.buffers.copy else { return Ok(()) };
        let count = self.layout.length;
        let arguments = Narrow { from: self.buffers.parameters.pointer(), to: copy.pointer(), count: count32(count) };
        // SAFETY: both are as long as the layout says.
        unsafe { self.kernels.narrow.launch(&self.stream, count, &arguments) }
    }

    fn float_parameters(&self, weights: Weights) -> &Buffer {
        match weights {
            Weights::Trained => &self.buffers.parameters,
            Weights::Averaged => self.buffers.averaged.as_ref().expect("an average is kept"),
        }
    }

    /// The products that judge so many images.
    ///
    /// # Panics
    /// Where the average is asked for and none is kept.
    pub fn plan_validation(&self, weights: Weights, count: usize) -> Result<Vec<Product>, Error> {
        let parameters = self.float_parameters(weights).pointer();
        let layers = 0..self.layout.places.len();
        let requests = layers.map(|layer| self.forward(&self.buffers.validation, parameters, layer, count));
        requests.map(|request| self.float_products.plan(request, &[], Choice::First, &self.float_kernels)).collect()
    }

    /// The logits of so many consecutive images, `[count, classes]`; `images` is where they are on the device.
    pub fn predict(
        &self,
        plan: &[Product],
        weights: Weights,
        images: CUdeviceptr,
        first: usize,
        count: usize,
    ) -> Result<Vec<f32>, Error> {
        let validation = &self.buffers.validation;
        let gather = Gather { output: validation.input.pointer(), ..self.gather(images, first, count) };
        // SAFETY: there is room for as many images as are validated at a time, and there are as many.
        unsafe { self.float_kernels.gather.launch(&self.stream, count * self.sizes.stride(0) / 8, &gather) }?;
        let parameters = self.float_parameters(weights).pointer();
        for (layer, (product, Place { bias, .. })) in plan.iter().zip(&self.layout.places).enumerate() {
            self.float_products.multiply(product)?;
            let hidden = validation.hidden.get(layer);
            let width = self.sizes.width(layer + 1);
            let arguments = Activate {
                step: 0,
                bias: at(parameters, *bias, Element::Float32),
                values: hidden.unwrap_or(&validation.logits).pointer(),
                dropout: Dropout::default(),
                count: count32(count),
                width: count32(width),
                stride: count32(self.sizes.stride(layer + 1)),
                relu: u32::from(hidden.is_some()),
            };
            // SAFETY: the outputs have room for as many images, and the bias for the layer's width.
            unsafe { self.float_kernels.activate.launch(&self.stream, count * width.div_ceil(8), &arguments) }?;
        }
        let last = self.layout.places.len();
        let (classes, stride) = (self.sizes.width(last), self.sizes.stride(last));
        let rows = self.stream.download::<f32>(&validation.logits, count * stride)?;
        Ok(rows.chunks_exact(stride).flat_map(|row| &row[..classes]).copied().collect())
    }

    /// How a step's number is written.
    pub fn number(step: u64) -> [u32; 2] {
        dropout::Dropout::new(0.0, 0, step, 0).words
    }
}

fn at(buffer: CUdeviceptr, place: usize, element: Element) -> CUdeviceptr {
    buffer + (place * element.bytes()) as u64
}
