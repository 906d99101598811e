//! A network on a device: which products ([`plan`]) and kernels a step consists of, in which order ([`step`]), on which
//! buffers; and what it predicts.

mod plan;
mod step;

use std::rc::Rc;

use artifacts::{Standardisation, Weights};
use cudarc::driver::sys::CUdeviceptr;

use super::buffers::{Buffers, Images, Sizes};
use super::device::{Buffer, Stream};
use super::error::Error;
use super::kernels::{Activate, Dropout, Gather, Kernels, Narrow};
use super::layout::{Layout, Place};
use super::libraries::Libraries;
use super::products::{Element, Product, Products};
use crate::data::Data;
use crate::options::{Hyperparameters, Precision};
pub use plan::Plan;

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
    standardisation: Standardisation,
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
        hyperparameters: &Hyperparameters,
        precision: Precision,
        written: CUdeviceptr,
    ) -> Result<Self, Error> {
        let layout = Layout::new(data.model(hyperparameters));
        let sizes = Sizes::new(data, &layout, hyperparameters, precision);
        let float_kernels = Rc::new(Kernels::compile(stream.context(), &libraries.nvrtc, Element::Float32)?);
        let kernels = match sizes.element {
            Element::Float32 => Rc::clone(&float_kernels),
            element @ Element::Bfloat16 => Rc::new(Kernels::compile(stream.context(), &libraries.nvrtc, element)?),
        };
        let buffers = sizes.allocate(stream)?;
        buffers.fill(data, stream)?;
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
            standardisation: data.standardisation(),
        })
    }

    /// Whether the images are on the device.
    pub fn is_resident(&self) -> bool {
        matches!(self.buffers.images, Images::Resident { .. })
    }

    /// Keeps what was trained as that of one network of the ensemble, and goes on with that of another one.
    pub fn exchange(&self, selected: usize, other: usize) -> Result<(), Error> {
        let (buffers, stream) = (&self.buffers, &self.stream);
        for (buffer, kept) in buffers.trained().zip(&buffers.members[selected]) {
            // SAFETY: all buffers are the network's.
            unsafe { stream.duplicate(buffer.pointer(), buffer.bytes(), kept) }?;
        }
        for (buffer, kept) in buffers.trained().zip(&buffers.members[other]) {
            // SAFETY: likewise.
            unsafe { stream.duplicate(kept.pointer(), kept.bytes(), buffer) }?;
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
            scale: self.standardisation.scale,
            offset: self.standardisation.offset,
        }
    }
}

fn at(buffer: CUdeviceptr, place: usize, element: Element) -> CUdeviceptr {
    buffer + (place * element.bytes()) as u64
}
