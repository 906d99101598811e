//! The phases of a training step.
//!
//! Each is a list of tasks for the threads; one begins when the one before it is over. What a layer's output goes through
//! (bias, `ReLU`, dropout, the loss, their gradients, the update of the weights) happens to each block of a product as
//! soon as it is complete, while it is in the first cache.

use std::cell::Cell;

use super::adam::Parameters;
use super::kernel::{Along, Family, Phase, prefetch};
use super::panels::{Block, Buffer, LANES, Layout, Line, Matrix, Shared, SharedMatrix};
use super::product::{Grid, Product};
use crate::adam::Adam;
use crate::augment::{Augmentation, Scratch};
use crate::data::Data;
use crate::dropout::Dropout;
use crate::softmax::Loss;

/// Puts images into panels: standardised, and in training augmented and some pixels dropped.
pub struct Gather<'a> {
    pub data: &'a Data,
    pub images: Images<'a>,
    pub input: SharedMatrix<'a>,
    /// Of each image, zeros behind the last one.
    pub labels: Shared<'a, u8>,
}

/// Which images a batch has.
pub enum Images<'a> {
    /// These rows of the training split.
    Training { rows: &'a [u32], epoch: u32, seed: u64, augmentation: &'a Augmentation, dropout: Option<Dropout> },
    /// So many rows of the validation split, from one on.
    Validation { first: usize, count: usize },
}

impl Images<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        match self {
            Self::Training { rows, .. } => rows.len(),
            Self::Validation { count, .. } => *count,
        }
    }
}

thread_local! {
    /// Room for a panel's augmented images.
    static AUGMENTED: Cell<(Vec<f32>, Scratch)> = Cell::default();
    /// Room for a task's gradients.
    static GRADIENTS: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
}

impl Phase for Gather<'_> {
    fn tasks(&self) -> usize {
        self.images.count().div_ceil(LANES)
    }

    #[inline(always)]
    fn run<F: Family>(&self, panel: usize) {
        let first = panel * LANES;
        let lanes = LANES.min(self.images.count() - first);
        // SAFETY: each panel is in one task.
        let labels: &mut [u8; LANES] = unsafe { self.labels.part(first) };
        labels.fill(0);
        match self.images {
            Images::Training { rows, epoch, seed, augmentation, dropout } => {
                let rows = &rows[first..first + lanes];
                for (label, &row) in labels.iter_mut().zip(rows) {
                    *label = self.data.train_label(row as usize);
                }
                if augmentation.is_none() {
                    self.standardise::<F>(panel, rows.iter().map(|&row| self.data.train.image(row as usize)));
                } else {
                    self.augment::<F>(panel, rows, augmentation, seed, epoch);
                }
                if let Some(dropout) = dropout {
                    for block in 0..self.input.layout.blocks() {
                        // SAFETY: each panel is in one task.
                        dropout.apply(unsafe { self.input.block(panel, block) }, panel, block);
                    }
                }
            }
            Images::Validation { first: first_row, .. } => {
                let rows = first_row + first..first_row + first + lanes;
                for (label, row) in labels.iter_mut().zip(rows.clone()) {
                    *label = self.data.valid.label(row);
                }
                self.standardise::<F>(panel, rows.map(|row| self.data.valid.image(row)));
            }
        }
    }
}

impl Gather<'_> {
    #[inline(always)]
    fn standardise<'b, F: Family>(&self, panel: usize, images: impl Iterator<Item = &'b [u8]>) {
        const NO_IMAGE: &[u8] = &[];
        let mut lanes = [NO_IMAGE; LANES];
        lanes.iter_mut().zip(images).for_each(|(lane, image)| *lane = image);
        let standardisation = self.data.standardisation();
        for index in 0..self.input.layout.blocks() {
            let pixels = lanes.map(|image| {
                let pixels = image.get(index * LANES..).unwrap_or_default();
                pixels.first_chunk().copied().unwrap_or_else(|| {
                    let mut padded = [0; LANES];
                    padded.iter_mut().zip(pixels).for_each(|(place, &pixel)| *place = pixel);
                    padded
                })
            });
            // SAFETY: each panel is in one task.
            let lines = unsafe { self.input.block(panel, index) };
            // Lines to spare stay zero, lest their weights learn.
            for (line, pixels) in
                lines.iter_mut().take(self.input.layout.depth - index * LANES).zip(F::transposed_bytes(pixels))
            {
                *line = Line(pixels.map(|pixel| standardisation.of(f32::from(pixel))));
            }
        }
    }

    #[inline(always)]
    fn augment<F: Family>(&self, panel: usize, rows: &[u32], augmentation: &Augmentation, seed: u64, epoch: u32) {
        let (height, width) = (self.data.dataset.height, self.data.dataset.width);
        let length = self.input.layout.blocks() * LANES;
        let standardisation = self.data.standardisation();
        let (mut images, mut scratch) = AUGMENTED.take();
        images.clear();
        images.resize(length * LANES, 0.0);
        for (image, &row) in images.chunks_exact_mut(length).zip(rows) {
            let image = &mut image[..height * width];
            let variation = augmentation.draw(seed, epoch, row);
            variation.apply(self.data.train.image(row as usize), height, width, &mut scratch, image);
            image.iter_mut().for_each(|pixel| *pixel = standardisation.of(*pixel));
        }
        for index in 0..self.input.layout.blocks() {
            let lanes: Block = std::array::from_fn(|lane| {
                let pixels = images[lane * length + index * LANES..].first_chunk::<LANES>();
                Line(*pixels.expect("an image has whole blocks"))
            });
            // SAFETY: each panel is in one task; a phase runs with the family of the processor that it is on.
            unsafe { *self.input.block(panel, index) = F::transposed(&lanes) };
        }
        AUGMENTED.set((images, scratch));
    }
}

/// Where a layer's parameters lie.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The weight's panels are of outputs.
    pub layout: Layout,
    pub weight: usize,
    /// The first line of the biases, one for each panel of the weight.
    pub bias: usize,
    pub end: usize,
}

impl Place {
    /// To read.
    pub fn weights(self, parameters: &[Line]) -> Weights<'_> {
        Weights {
            weight: Matrix { lines: &parameters[self.weight..self.bias], layout: self.layout },
            bias: &parameters[self.bias..self.end],
        }
    }
}

/// A layer's weights, as the other direction's operand, and its biases, a line for each panel of outputs.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    pub weight: Matrix<'a>,
    pub bias: &'a [Line],
}

/// A layer's output before its activation.
#[inline(always)]
fn linear<'a>(input: Matrix<'a>, weights: Weights<'a>) -> Product<'a> {
    let terms = input.layout.blocks() * LANES;
    Product { a: input, b: weights.weight, along: Along::Depth, terms }
}

/// Adds the biases of a block's outputs.
#[inline(always)]
fn add_bias(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        line.0.iter_mut().for_each(|value| *value += bias);
    }
}

/// The output of a hidden layer, or logits.
pub struct Forward<'a> {
    pub input: Matrix<'a>,
    pub weights: Weights<'a>,
    pub output: SharedMatrix<'a>,
    pub grid: Grid,
    pub is_hidden: bool,
    pub dropout: Option<Dropout>,
}

impl Phase for Forward<'_> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.output.block(panel, block) }
        };
        let finish = |outputs: &mut Block, panel, block| {
            add_bias(outputs, &self.weights.bias[block]);
            if self.is_hidden {
                for value in outputs.iter_mut().flat_map(|line| &mut line.0) {
                    *value = if *value > 0.0 { *value } else { 0.0 };
                }
            }
            if let Some(dropout) = self.dropout {
                dropout.apply(outputs, panel, block);
            }
        };
        linear(self.input, self.weights).multiply::<F>(panels, blocks, place, |_, _| {}, finish);
    }
}

/// The last layer with the loss of each image, and the loss's gradient by the logits in panels of images and of classes.
pub struct Judge<'a> {
    pub input: Matrix<'a>,
    pub weights: Weights<'a>,
    pub logits: SharedMatrix<'a>,
    pub delta: Delta<'a>,
    pub loss: Loss,
    pub labels: &'a [u8],
    pub losses: Shared<'a, f32>,
    /// Images in the batch.
    pub count: usize,
}

impl Phase for Judge<'_> {
    fn tasks(&self) -> usize {
        self.count.div_ceil(LANES)
    }

    #[inline(always)]
    fn run<F: Family>(&self, panel: usize) {
        let layout = self.logits.layout;
        let place = |panel, block| {
            // SAFETY: each panel is in one task.
            unsafe { self.logits.block(panel, block) }
        };
        let finish = |logits: &mut Block, _, block| add_bias(logits, &self.weights.bias[block]);
        let product = linear(self.input, self.weights);
        product.multiply::<F>(panel..panel + 1, 0..layout.blocks(), place, |_, _| {}, finish);

        let lanes = LANES.min(self.count - panel * LANES);
        let classes = layout.depth;
        let (mut logits, mut gradient) = ([0.0; 256], [0.0; 256]);
        let (logits, gradient) = (&mut logits[..classes], &mut gradient[..classes]);
        let mut losses = [0.0; LANES];
        for (lane, loss) in losses.iter_mut().enumerate() {
            for (class, logit) in logits.iter_mut().enumerate() {
                *logit = place(panel, class / LANES)[class % LANES].0[lane];
            }
            if lane < lanes {
                *loss = self.loss.loss_and_gradient(logits, self.labels[panel * LANES + lane], gradient);
            } else {
                gradient.fill(0.0);
            }
            for (class, &value) in gradient.iter().enumerate() {
                // SAFETY: each panel is in one task.
                let delta = unsafe { self.delta.by_image.block(panel, class / LANES) };
                delta[class % LANES].0[lane] = value;
            }
        }
        // SAFETY: each panel is in one task; a phase runs with the family of the processor that it is on.
        unsafe {
            *self.losses.part(panel * LANES) = losses;
            for block in 0..layout.blocks() {
                self.delta.transpose::<F>(self.delta.by_image.block(panel, block), panel, block);
            }
        }
    }
}

/// A place for the loss's gradient by the output of a layer before its activation.
pub struct Delta<'a> {
    /// In panels of images.
    pub by_image: SharedMatrix<'a>,
    /// In panels of outputs.
    pub by_output: SharedMatrix<'a>,
}

impl Delta<'_> {
    /// Puts what lies there in panels of images where it lies in panels of outputs.
    ///
    /// # Safety
    /// Nobody else uses that place, and the processor is of the family.
    #[inline(always)]
    unsafe fn transpose<F: Family>(&self, gradients: &Block, panel: usize, block: usize) {
        // SAFETY: the caller's.
        unsafe { *self.by_output.block(block, panel) = F::transposed(gradients) };
    }
}

/// The loss's gradient by the output of a hidden layer before its activation, from that of the next layer.
pub struct Backward<'a> {
    /// Of the next layer, in panels of images.
    pub delta: Matrix<'a>,
    /// Of the next layer.
    pub weight: Matrix<'a>,
    /// Of the hidden layer, after activation and dropout.
    pub output: &'a [Line],
    pub previous: Delta<'a>,
    pub grid: Grid,
    /// What dropout scales the outputs by that it keeps.
    pub scale: f32,
}

impl Phase for Backward<'_> {
    fn tasks(&self) -> usize {
        self.grid.tasks()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let terms = self.delta.layout.blocks() * LANES;
        let product = Product { a: self.delta, b: self.weight, along: Along::Lanes, terms };
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.previous.by_image.block(panel, block) }
        };
        let finish = |gradients: &mut Block, panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            for (gradients, outputs) in gradients.iter_mut().zip(outputs) {
                for (gradient, output) in gradients.0.iter_mut().zip(outputs.0) {
                    // A ReLU passes the gradient where its output is above 0; what was dropped is 0.
                    *gradient = if output > 0.0 { *gradient * self.scale } else { 0.0 };
                }
            }
            // SAFETY: each block is in one task; a phase runs with the family of the processor that it is on.
            unsafe { self.previous.transpose::<F>(gradients, panel, block) };
        };
        // What `finish` reads and overwrites was last used long ago.
        let prepare = |panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            outputs.iter().for_each(|line| prefetch(line));
            let transposed = &self.previous.by_output;
            transposed.layout.block(block, panel).for_each(|line| prefetch(transposed.lines.place(line)));
        };
        product.multiply::<F>(panels, blocks, place, prepare, finish);
    }
}

/// The gradients by the weights and biases of all layers; each is used as soon as it is known.
pub struct Learn<'a> {
    pub places: &'a [Place],
    /// The division of each layer's gradient, in panels and blocks.
    pub grids: &'a [Grid],
    /// The tasks: which one of which layer's grid.
    pub tasks: &'a [(usize, usize)],
    /// Of each layer, in panels of outputs.
    pub deltas: &'a [Buffer],
    /// Of each layer, in panels of images.
    pub inputs: &'a [Buffer],
    /// Images in the batch.
    pub count: usize,
    pub learning: Learning<'a>,
}

/// What becomes of gradients.
pub enum Learning<'a> {
    /// They move the parameters.
    Update { adam: Adam, parameters: Parameters<'a> },
    /// They are kept.
    Keep(Shared<'a, Line>),
}

impl Learning<'_> {
    /// Uses the gradients of so many lines.
    ///
    /// # Safety
    /// Nobody else uses these lines.
    #[inline(always)]
    unsafe fn learn<const N: usize>(&self, start: usize, gradients: &[Line; N]) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Update { adam, parameters } => adam.update(parameters, start, gradients),
                Self::Keep(kept) => *kept.part(start) = *gradients,
            }
        }
    }
}

impl Phase for Learn<'_> {
    fn tasks(&self) -> usize {
        self.tasks.len()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let (layer, task) = self.tasks[task];
        let [panels, blocks] = self.grids[layer].task(task);
        let (place_of_layer, delta) = (self.places[layer], self.deltas[layer].matrix());
        let terms = self.count.next_multiple_of(LANES);
        if blocks.start == 0 {
            for panel in panels.clone() {
                let mut sums = Line::ZERO;
                for line in &delta.lines[panel * delta.layout.stride()..][..terms] {
                    sums.0.iter_mut().zip(line.0).for_each(|(sum, value)| *sum += value);
                }
                // SAFETY: each panel's biases are in the task of its first block.
                unsafe { self.learning.learn(place_of_layer.bias + panel, &[sums]) };
            }
        }
        let product = Product { a: delta, b: self.inputs[layer].matrix(), along: Along::Lanes, terms };
        let mut gradients = GRADIENTS.take();
        // A block that is complete at once leaves its room to the next one, in the first cache.
        let is_one_pass = product.passes() == 1;
        gradients.resize(if is_one_pass { 1 } else { panels.len() * blocks.len() }, [Line::ZERO; LANES]);
        let room = Shared::new(&mut gradients);
        let place = |panel: usize, block: usize| {
            let index = (panel - panels.start) * blocks.len() + block - blocks.start;
            let index = if is_one_pass { 0 } else { index };
            // SAFETY: the room is this thread's own, and one block is used at a time.
            let [gradients] = unsafe { room.part(index) };
            gradients
        };
        let start = |panel, block| place_of_layer.weight + place_of_layer.layout.block(panel, block).start;
        let prepare = |panel, block| {
            if let Learning::Update { parameters, .. } = &self.learning {
                parameters.prefetch(start(panel, block), LANES);
            }
        };
        let finish = |gradients: &mut Block, panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.learning.learn(start(panel, block), gradients) };
        };
        product.multiply::<F>(panels.clone(), blocks.clone(), place, prepare, finish);
        GRADIENTS.set(gradients);
    }
}
