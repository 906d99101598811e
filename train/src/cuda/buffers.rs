//! All memory of a training on the device: taken before the first step, or counted by the very same code.

use std::rc::Rc;

use super::device::{Allocator, Buffer, Context, Stream};
use super::error::Error;
use super::kernels::{Step, Variation};
use super::layout::{Layout, stride};
use super::products::Element;
use crate::data::Data;
use crate::engine::VALIDATED;
use crate::options::{Hyperparameters, Precision};

/// Blocks that sum up the squares of the gradients, for clipping.
pub const SQUARE_SUMS: usize = 256;
/// Memory for the library of products: what NVIDIA recommends for Hopper and later, in bytes.
const WORKSPACE: usize = 32 << 20;

/// Where the images are.
#[derive(Debug)]
pub enum Images {
    /// On the device, all of them.
    Resident { train: Buffer, valid: Buffer },
    /// On the host; two halves of a buffer take turns to hold a batch.
    Staged(Buffer),
}

/// The network's outputs with what belongs to them, for a number of images.
#[derive(Debug)]
pub struct Activations {
    pub element: Element,
    pub input: Buffer,
    /// The output of each hidden layer.
    pub hidden: Vec<Buffer>,
    /// `f32` in every precision.
    pub logits: Buffer,
}

/// The memory.
#[derive(Debug)]
pub struct Buffers {
    /// Each laid out as [`Layout`] says.
    pub parameters: Buffer,
    pub gradients: Buffer,
    pub exp_avg: Buffer,
    pub exp_avg_sq: Buffer,
    pub averaged: Option<Buffer>,
    /// For each network of an ensemble: copies of [what is trained](Self::trained).
    pub members: Vec<Vec<Buffer>>,
    /// The parameters in bf16, where products take them so.
    pub copy: Option<Buffer>,
    pub square_sums: Option<Buffer>,
    pub training: Activations,
    /// In `f32`, whatever the precision.
    pub validation: Activations,
    /// The loss's gradient by the output of every layer before its activation.
    pub deltas: Vec<Buffer>,
    /// A bit an output of every hidden layer.
    pub bits: Vec<Buffer>,
    pub variations: Option<Buffer>,
    /// The losses of the epoch, by place in its order.
    pub losses: Buffer,
    pub order: Buffer,
    pub labels: Buffer,
    pub step: Buffer,
    pub next: Buffer,
    pub workspace: Rc<Buffer>,
    pub images: Images,
}

/// How large the parts are.
#[derive(Debug, Clone)]
pub struct Sizes {
    pub batch: usize,
    pub validated: usize,
    pub element: Element,
    widths: Vec<usize>,
    length: usize,
    members: usize,
    train: usize,
    valid: usize,
    averages: bool,
    clips: bool,
    varies: bool,
}

/// From one image's bits to the next one's, in bits, as cublasLt has it.
pub fn bits_stride(width: usize) -> usize {
    width.next_multiple_of(128)
}

impl Sizes {
    pub fn new(data: &Data, layout: &Layout, hyperparameters: &Hyperparameters, precision: Precision) -> Self {
        let model = &layout.model;
        Self {
            batch: hyperparameters.batch_size.min(data.train.len()),
            validated: data.valid.len().min(VALIDATED),
            element: if precision == Precision::Bf16 { Element::Bfloat16 } else { Element::Float32 },
            widths: [model.inputs()].into_iter().chain(model.layers().iter().map(|layer| layer.outputs)).collect(),
            length: layout.length,
            members: if hyperparameters.ensemble > 1 { hyperparameters.ensemble as usize } else { 0 },
            train: data.train.len(),
            valid: data.valid.len(),
            averages: hyperparameters.ema_decay.is_some(),
            clips: hyperparameters.clip_norm.is_some(),
            varies: !hyperparameters.augmentation().is_none(),
        }
    }

    /// The width of the input (0) or of a layer's output.
    pub fn width(&self, layer: usize) -> usize {
        self.widths[layer]
    }

    /// From one image's row to the next one's, of the input (0) or a layer's output, in elements.
    pub fn stride(&self, layer: usize) -> usize {
        stride(self.widths[layer])
    }

    fn activations(
        &self,
        images: usize,
        element: Element,
        allocator: &mut Allocator<'_>,
    ) -> Result<Activations, Error> {
        let last = self.widths.len() - 1;
        let mut take = |layer: usize, element: Element| allocator.take(images * self.stride(layer) * element.bytes());
        Ok(Activations {
            element,
            input: take(0, element)?,
            hidden: (1..last).map(|layer| take(layer, element)).collect::<Result<_, _>>()?,
            logits: take(last, Element::Float32)?,
        })
    }

    fn take(&self, resident: bool, allocator: &mut Allocator<'_>) -> Result<Buffers, Error> {
        let float = size_of::<f32>();
        let last = self.widths.len() - 1;
        let parameters = allocator.take(self.length * float)?;
        let gradients = allocator.take(self.length * float)?;
        let exp_avg = allocator.take(self.length * float)?;
        let exp_avg_sq = allocator.take(self.length * float)?;
        let mut where_wanted = |wanted: bool, bytes: usize| wanted.then(|| allocator.take(bytes)).transpose();
        let averaged = where_wanted(self.averages, self.length * float)?;
        let narrow = self.element == Element::Bfloat16;
        let copy = where_wanted(narrow, self.length * self.element.bytes())?;
        let square_sums = where_wanted(self.clips, SQUARE_SUMS * size_of::<f64>())?;
        let variations = where_wanted(self.varies, self.batch * size_of::<Variation>())?;
        let trained = 3 + usize::from(self.averages);
        let mut member = || (0..trained).map(|_| allocator.take(self.length * float)).collect::<Result<_, _>>();
        let members = (0..self.members).map(|_| member()).collect::<Result<_, _>>()?;
        let training = self.activations(self.batch, self.element, allocator)?;
        let validation = self.activations(self.validated, Element::Float32, allocator)?;
        let deltas = (1..=last).map(|layer| allocator.take(self.batch * self.stride(layer) * self.element.bytes()));
        let deltas = deltas.collect::<Result<_, _>>()?;
        let bits = (1..last).map(|layer| allocator.take(self.batch * bits_stride(self.widths[layer]) / 8));
        let bits = bits.collect::<Result<_, _>>()?;
        let pixels = self.width(0);
        let images = if resident {
            Images::Resident {
                train: allocator.take(self.train * pixels)?,
                valid: allocator.take(self.valid * pixels)?,
            }
        } else {
            Images::Staged(allocator.take(2 * self.staged() * pixels)?)
        };
        Ok(Buffers {
            parameters,
            gradients,
            exp_avg,
            exp_avg_sq,
            averaged,
            members,
            copy,
            square_sums,
            training,
            validation,
            deltas,
            bits,
            variations,
            losses: allocator.take(self.train * float)?,
            order: allocator.take(self.train * size_of::<u32>())?,
            labels: allocator.take(self.train)?,
            step: allocator.take(size_of::<Step>())?,
            next: allocator.take(size_of::<u32>())?,
            workspace: Rc::new(allocator.take(WORKSPACE)?),
            images,
        })
    }

    /// The size of the largest result of a product, in bytes: the measurement of products keeps one.
    fn largest_result(&self) -> usize {
        let weights = self.widths.windows(2).map(|ends| stride(ends[0]) * ends[1] * size_of::<f32>());
        let outputs = self.widths.iter().map(|&width| self.batch * stride(width) * size_of::<f32>());
        weights.chain(outputs).max().unwrap_or_default()
    }

    /// Images that half of the staging buffer has room for.
    pub fn staged(&self) -> usize {
        self.batch.max(self.validated)
    }

    /// Takes the memory, with the images in it where they fit.
    ///
    /// # Errors
    /// When there is too little even without them.
    pub fn allocate(&self, stream: &Stream) -> Result<Buffers, Error> {
        let context: &Context = stream.context();
        let (free, total) = context.memory()?;
        let needed = |resident| {
            let mut counting = Allocator::counting();
            self.take(resident, &mut counting).map(|_nowhere| counting.bytes + self.largest_result() + RESERVE)
        };
        if needed(true)? <= free {
            match self.take(true, &mut Allocator::taking(stream)) {
                // Somebody else has taken some meanwhile: there may be enough without the images.
                Err(Error::OutOfMemory { .. }) => {}
                taken => return taken,
            }
        }
        let least = needed(false)?;
        if least > free {
            return Err(context.out_of_memory(least, free, total));
        }
        self.take(false, &mut Allocator::taking(stream)).map_err(|error| match error {
            Error::OutOfMemory { free, total, .. } => context.out_of_memory(least, free, total),
            error => error,
        })
    }
}

/// What is left for the driver and the libraries, in bytes: these load code when it is first used.
const RESERVE: usize = 256 << 20;

/// Images that are copied to the device at once.
const BLOCK: usize = 8192;

impl Buffers {
    /// What a training consists of: the parameters, their moments, and their average where one is kept.
    pub fn trained(&self) -> impl Iterator<Item = &Buffer> {
        [&self.parameters, &self.exp_avg, &self.exp_avg_sq].into_iter().chain(&self.averaged)
    }

    /// Copies the labels to the device, and the images where they are to be.
    pub fn fill(&self, data: &Data, stream: &Stream) -> Result<(), Error> {
        let labels: Vec<u8> = (0..data.train.len()).map(|row| data.train_label(row)).collect();
        stream.upload(&labels, &self.labels, 0)?;
        self.images.fill(data, stream)
    }
}

impl Images {
    /// Copies the images to the device, where they are to be.
    fn fill(&self, data: &Data, stream: &Stream) -> Result<(), Error> {
        let Self::Resident { train, valid } = self else { return Ok(()) };
        for (split, buffer) in [(&data.train, train), (&data.valid, valid)] {
            let mut block = Vec::new();
            for first in (0..split.len()).step_by(BLOCK) {
                block.clear();
                (first..split.len().min(first + BLOCK)).for_each(|row| block.extend_from_slice(split.image(row)));
                stream.upload(&block, buffer, first * split.pixels())?;
            }
        }
        Ok(())
    }
}
