//! The products of a step, with their operands, and the measurement that chooses how they are computed.

use artifacts::Weights;
use cudarc::driver::sys::CUdeviceptr;

use super::{Network, at};
use crate::cuda::buffers::{Activations, bits_stride};
use crate::cuda::device::Buffer;
use crate::cuda::error::Error;
use crate::cuda::products::{Choice, Element, Epilogue, Kind, Matrix, Product, Request};

/// The products of a step of a number of images.
#[derive(Debug)]
pub struct Plan {
    pub(super) count: usize,
    pub(super) forward: Vec<Product>,
    /// The gradients by the inputs of all layers but the first.
    pub(super) backward: Vec<Product>,
    pub(super) weight: Vec<Product>,
}

impl Plan {
    /// Whether a product that is planned so far sums up the gradient by a layer's bias.
    pub(super) fn sums_images(&self, layer: usize) -> bool {
        let mut products = [self.weight.get(layer), self.backward.get(layer)].into_iter().flatten();
        products.any(|product| product.epilogue.sums_images())
    }

    /// What each product does besides, by layer, in cublasLt's words.
    pub fn epilogues(&self) -> Vec<String> {
        let list = |name: &str, products: &[Product]| {
            let names: Vec<&str> = products.iter().map(|product| product.epilogue.name()).collect();
            format!("{name}: {}", names.join(", "))
        };
        vec![list("forward", &self.forward), list("backward", &self.backward), list("weight", &self.weight)]
    }
}

impl Network {
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
        // SAFETY: all places are in the network's buffers, with which alone its plans are used, and have room for a batch.
        let planned =
            |request, epilogues: &[Epilogue]| unsafe { self.products.plan(request, epilogues, choice, &self.kernels) };
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
            let sums = [Epilogue::Bgradb { gradient: gradient(place.bias) }];
            // See above: the terms are the images.
            plan.weight.push(planned(request, if plan.sums_images(layer) || count == 1 { &[] } else { &sums })?);
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

    /// The products that judge so many images.
    ///
    /// # Panics
    /// Where the average is asked for and none is kept.
    pub fn plan_validation(&self, weights: Weights, count: usize) -> Result<Vec<Product>, Error> {
        let parameters = self.float_parameters(weights).pointer();
        let layers = 0..self.layout.places.len();
        let requests = layers.map(|layer| self.forward(&self.buffers.validation, parameters, layer, count));
        // SAFETY: as for the products of a step.
        let planned = |request| unsafe { self.float_products.plan(request, &[], Choice::First, &self.float_kernels) };
        requests.map(planned).collect()
    }
}
