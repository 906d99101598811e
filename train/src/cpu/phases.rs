//! The phases of a training step.
//!
//! Each is a list of tasks for the threads; one begins when the one before it is over. What a layer's output goes through
//! (bias, `ReLU`, dropout, the loss, their gradients, the update of the weights) happens to each block of a product as
//! soon as it is complete, while it is in the first cache.

use std::cell::Cell;
use std::hint::select_unpredictable;
use std::ops::Range;

use super::adam::Parameters;
use super::kernel::{Along, Family, Phase, prefetch};
use super::loss_scale::{HALF_LIMIT, Overflow};
use super::panels::{Block, Buffer, HalfLine, LANES, Layout, Line, Matrix, Shared, SharedMatrix};
use super::product::{Grid, Operand, Operands, Product};
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
    /// The same for products in half precision.
    pub halves: Option<SharedMatrix<'a, HalfLine>>,
    /// Of each training image; zeros behind the last one, and where the split is validated.
    pub labels: Shared<'a, u8>,
    /// Which of the batch.
    pub panels: Range<usize>,
}

/// Which images a batch has.
pub enum Images<'a> {
    /// These rows of the training split.
    Training { rows: &'a [u32], epoch: u32, seed: u64, augmentation: &'a Augmentation, dropout: Option<Dropout> },
    /// So many rows of the validation split, from row `first` on.
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
        self.panels.len()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let panel = self.panels.start + task;
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
                if let Some(halves) = &self.halves {
                    for block in 0..self.input.layout.blocks() {
                        // SAFETY: each panel is in one task; a phase runs with the family of the processor that it is on.
                        unsafe { *halves.block(panel, block) = F::narrowed(self.input.block(panel, block)) };
                    }
                }
            }
            Images::Validation { first: first_row, .. } => {
                let rows = first_row + first..first_row + first + lanes;
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
            let mut rows = [[0; LANES]; LANES];
            for (row, image) in rows.iter_mut().zip(&lanes) {
                let pixels = image.get(index * LANES..).unwrap_or_default();
                match pixels.first_chunk() {
                    Some(pixels) => *row = *pixels,
                    None => row.iter_mut().zip(pixels).for_each(|(place, &pixel)| *place = pixel),
                }
            }
            let columns = F::transposed_bytes(rows);
            // SAFETY: each panel is in one task.
            let lines = unsafe { self.input.block(panel, index) };
            // Lines to spare stay zero, lest their weights learn.
            for (line, column) in lines.iter_mut().take(self.input.layout.depth - index * LANES).zip(&columns) {
                for (value, &pixel) in line.0.iter_mut().zip(column) {
                    *value = standardisation.of(f32::from(pixel));
                }
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
    /// The weight among the parameters.
    pub fn weight<L>(self, parameters: &[L]) -> Matrix<'_, L> {
        Matrix { lines: &parameters[self.weight..self.bias], layout: self.layout }
    }

    /// The biases, a line for each panel of outputs.
    pub fn biases(self, parameters: &[Line]) -> &[Line] {
        &parameters[self.bias..self.end]
    }
}

/// A layer's output before its activation, from its input and weight.
#[inline(always)]
fn linear<'a, L: Operand>([a, b]: [Matrix<'a, L>; 2]) -> Product<'a, L> {
    Product { a, b, along: Along::Depth, terms: a.layout.blocks() * LANES }
}

/// Adds the biases of a block's outputs.
#[inline(always)]
fn add_bias(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        line.0.iter_mut().for_each(|value| *value += bias);
    }
}

/// Adds the biases of a block's outputs and puts the sums through a `ReLU`.
#[inline(always)]
fn add_bias_and_rectify(outputs: &mut Block, bias: &Line) {
    for (line, bias) in outputs.iter_mut().zip(bias.0) {
        for value in &mut line.0 {
            let sum = *value + bias;
            *value = select_unpredictable(sum > 0.0, sum, 0.0);
        }
    }
}

/// The output of a hidden layer, or logits.
pub struct Forward<'a> {
    /// Input and weight.
    pub operands: Operands<'a>,
    pub biases: &'a [Line],
    pub output: SharedMatrix<'a>,
    /// The same for products in half precision.
    pub halves: Option<SharedMatrix<'a, HalfLine>>,
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
        match self.operands {
            Operands::Single(operands) => self.run_in::<F, _>(operands, task),
            Operands::Half(operands) => self.run_in::<F, _>(operands, task),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn run_in<F: Family, L: Operand>(&self, operands: [Matrix<'_, L>; 2], task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.output.block(panel, block) }
        };
        let finish = |outputs: &mut Block, panel, block| {
            if self.is_hidden {
                add_bias_and_rectify(outputs, &self.biases[block]);
            } else {
                add_bias(outputs, &self.biases[block]);
            }
            if let Some(dropout) = self.dropout {
                dropout.apply(outputs, panel, block);
            }
            if let Some(halves) = &self.halves {
                // SAFETY: each block is in one task; a phase runs with the family of the processor that it is on.
                unsafe { *halves.block(panel, block) = F::narrowed(outputs) };
            }
        };
        linear(operands).multiply::<F>(panels, blocks, place, |_, _| {}, finish);
    }
}

/// The last layer with the loss of each image, and the loss's gradient by the logits in panels of images and of classes.
pub struct Judge<'a> {
    /// Input and weight.
    pub operands: Operands<'a>,
    pub biases: &'a [Line],
    pub logits: SharedMatrix<'a>,
    pub delta: Delta<'a>,
    pub loss: Loss,
    pub labels: &'a [u8],
    pub losses: Shared<'a, f32>,
    /// Images in the batch.
    pub count: usize,
    /// Which panels of the batch.
    pub panels: Range<usize>,
}

impl Phase for Judge<'_> {
    fn tasks(&self) -> usize {
        self.panels.len()
    }

    #[inline(always)]
    fn run<F: Family>(&self, task: usize) {
        let panel = self.panels.start + task;
        match self.operands {
            Operands::Single(operands) => self.run_in::<F, _>(operands, panel),
            Operands::Half(operands) => self.run_in::<F, _>(operands, panel),
        }
    }
}

impl Judge<'_> {
    #[inline(always)]
    fn run_in<F: Family, L: Operand>(&self, operands: [Matrix<'_, L>; 2], panel: usize) {
        let layout = self.logits.layout;
        let place = |panel, block| {
            // SAFETY: each panel is in one task.
            unsafe { self.logits.block(panel, block) }
        };
        let finish = |logits: &mut Block, _, block| add_bias(logits, &self.biases[block]);
        linear(operands).multiply::<F>(panel..panel + 1, 0..layout.blocks(), place, |_, _| {}, finish);

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
                self.delta.store::<F>(self.delta.by_image.block(panel, block), panel, block);
            }
        }
    }
}

/// A place for the loss's gradient by the output of a layer before its activation.
pub struct Delta<'a> {
    /// In panels of images.
    pub by_image: SharedMatrix<'a>,
    /// For the products.
    pub copies: Copies<'a>,
}

/// What products read of a [`Delta`].
pub enum Copies<'a> {
    /// The gradient in panels of images itself, and in panels of outputs.
    Single(SharedMatrix<'a>),
    /// In panels of images and of outputs, in half precision.
    Half { by_image: SharedMatrix<'a, HalfLine>, by_output: SharedMatrix<'a, HalfLine>, overflow: &'a Overflow },
}

impl Delta<'_> {
    /// Puts a block, which lies in its place in panels of images, to where products read it.
    ///
    /// # Safety
    /// Nobody else uses these places, and the processor is of the family.
    #[inline(always)]
    unsafe fn store<F: Family>(&self, gradients: &Block, panel: usize, block: usize) {
        // SAFETY: the caller's.
        unsafe {
            let transposed = F::transposed(gradients);
            match &self.copies {
                Copies::Single(by_output) => *by_output.block(block, panel) = transposed,
                Copies::Half { by_image, by_output, overflow } => {
                    overflow.find(gradients, HALF_LIMIT);
                    *by_image.block(panel, block) = F::narrowed(gradients);
                    *by_output.block(block, panel) = F::narrowed(&transposed);
                }
            }
        }
    }

    /// Asks for the lines that storing a block overwrites, which were last used long ago.
    #[inline(always)]
    fn prefetch(&self, panel: usize, block: usize) {
        match &self.copies {
            Copies::Single(by_output) => prefetch_block(by_output, block, panel),
            Copies::Half { by_image, by_output, .. } => {
                prefetch_block(by_image, panel, block);
                prefetch_block(by_output, block, panel);
            }
        }
    }
}

#[inline(always)]
fn prefetch_block<L>(matrix: &SharedMatrix<'_, L>, panel: usize, block: usize) {
    for line in matrix.layout.block(panel, block) {
        prefetch(matrix.lines.place(line));
    }
}

/// The loss's gradient by the output of a hidden layer before its activation, from that of the next layer.
pub struct Backward<'a> {
    /// Of the next layer, the gradient in panels of images and the weight.
    pub operands: Operands<'a>,
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
        match self.operands {
            Operands::Single(operands) => self.run_in::<F, _>(operands, task),
            Operands::Half(operands) => self.run_in::<F, _>(operands, task),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn run_in<F: Family, L: Operand>(&self, operands: [Matrix<'_, L>; 2], task: usize) {
        let [blocks, panels] = self.grid.task(task);
        let [a, b] = operands;
        let product = Product { a, b, along: Along::Lanes, terms: a.layout.blocks() * LANES };
        let place = |panel, block| {
            // SAFETY: each block is in one task.
            unsafe { self.previous.by_image.block(panel, block) }
        };
        let finish = |gradients: &mut Block, panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            for (gradients, &Line(outputs)) in gradients.iter_mut().zip(outputs) {
                for (gradient, &output) in gradients.0.iter_mut().zip(&outputs) {
                    // A ReLU passes the gradient where its output is above 0; what was dropped is 0.
                    *gradient = select_unpredictable(output > 0.0, *gradient * self.scale, 0.0);
                }
            }
            // SAFETY: each block is in one task; a phase runs with the family of the processor that it is on.
            unsafe { self.previous.store::<F>(gradients, panel, block) };
        };
        // What `finish` reads was last used long ago, too.
        let prepare = |panel, block| {
            let outputs = &self.output[self.previous.by_image.layout.block(panel, block)];
            for line in outputs {
                prefetch(line);
            }
            self.previous.prefetch(panel, block);
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
    pub layers: Layers<'a>,
    /// Images in the batch.
    pub count: usize,
    pub learning: Learning<'a>,
    /// Of products in half precision.
    pub overflow: Option<&'a Overflow>,
}

/// What gradients by weights are computed from.
pub enum Layers<'a> {
    /// The loss's gradient by the output of each layer, in panels of outputs, and the input of each, in panels of images.
    Single { deltas: &'a [Buffer], inputs: &'a [Buffer] },
    /// The same in half precision.
    Half { deltas: &'a [Buffer<HalfLine>], inputs: &'a [Buffer<HalfLine>] },
}

impl<'a> Layers<'a> {
    #[inline(always)]
    fn operands(&self, layer: usize) -> Operands<'a> {
        match self {
            Self::Single { deltas, inputs } => Operands::Single([deltas[layer].matrix(), inputs[layer].matrix()]),
            Self::Half { deltas, inputs } => Operands::Half([deltas[layer].matrix(), inputs[layer].matrix()]),
        }
    }
}

/// What becomes of gradients.
pub enum Learning<'a> {
    /// They move the parameters.
    Update { adam: Adam, parameters: Parameters<'a> },
    /// They are kept.
    Keep(Shared<'a, Line>),
}

impl Learn<'_> {
    /// Uses the gradients of so many lines. Those of which one has overflowed move nothing.
    ///
    /// # Safety
    /// Nobody else uses these lines, and the processor is of the family.
    #[inline(always)]
    unsafe fn learn<F: Family, const N: usize>(&self, start: usize, gradients: &[Line; N]) {
        let overflowed = self.overflow.is_some_and(|overflow| overflow.find(gradients, f32::INFINITY));
        // SAFETY: the caller's.
        unsafe {
            match &self.learning {
                Learning::Update { adam, parameters } if !overflowed => {
                    adam.update::<F, N>(parameters, start, gradients);
                }
                Learning::Update { .. } => {}
                Learning::Keep(kept) => *kept.part(start) = *gradients,
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
        match self.layers.operands(layer) {
            Operands::Single(operands) => self.run_in::<F, _>(operands, layer, task),
            Operands::Half(operands) => self.run_in::<F, _>(operands, layer, task),
        }
    }
}

impl Learn<'_> {
    #[inline(always)]
    fn run_in<F: Family, L: Operand>(&self, [a, b]: [Matrix<'_, L>; 2], layer: usize, task: usize) {
        let [panels, blocks] = self.grids[layer].task(task);
        let place_of_layer = self.places[layer];
        let terms = self.count.next_multiple_of(LANES);
        if blocks.start == 0 {
            for panel in panels.clone() {
                let mut sums = Line::ZERO;
                for line in &a.lines[panel * a.layout.stride()..][..terms] {
                    sums.0.iter_mut().zip(line.widened()).for_each(|(sum, value)| *sum += value);
                }
                // SAFETY: each panel's biases are in the task of its first block.
                unsafe { self.learn::<F, 1>(place_of_layer.bias + panel, &[sums]) };
            }
        }
        let product = Product { a, b, along: Along::Lanes, terms };
        let mut gradients = GRADIENTS.take();
        // A block that is complete at once leaves its room to the next one, in the first cache.
        let panels_at_a_time = (product.passes() == 1).then_some(L::PANELS);
        let rooms = panels_at_a_time.unwrap_or(panels.len() * blocks.len());
        gradients.resize(rooms, [Line::ZERO; LANES]);
        let room = Shared::new(&mut gradients);
        let place = |panel: usize, block: usize| {
            let panel = panel - panels.start;
            let index = panels_at_a_time.map_or(panel * blocks.len() + block - blocks.start, |most| panel % most);
            // SAFETY: the room is this thread's own, and blocks that are used at the same time have different panels.
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
            // SAFETY: each block is in one task; a phase runs with the family of the processor that it is on.
            unsafe { self.learn::<F, LANES>(start(panel, block), gradients) };
        };
        product.multiply::<F>(panels.clone(), blocks.clone(), place, prepare, finish);
        GRADIENTS.set(gradients);
    }
}
