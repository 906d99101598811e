//! Gradients by weights and biases, and what becomes of them.

use std::cell::Cell;

use crate::adam::Adam;
use crate::cpu::adam::Parameters;
use crate::cpu::grid::{Grid, Task};
use crate::cpu::kernel::{Along, Family, Phase};
use crate::cpu::nonzeros::Nonzeros;
use crate::cpu::overflow::Overflow;
use crate::cpu::panels::{Block, Buffer, HalfLine, LANES, Line, Matrix, Shared};
use crate::cpu::places::Place;
use crate::cpu::product::{Blocks, Operand, Product};

/// The gradients by the weights and biases of all layers; each is used as soon as it is known.
pub struct Learn<'a> {
    pub places: &'a [Place],
    /// The division of each layer's gradient.
    pub grids: &'a [Grid],
    /// The tasks: which one of which layer's grid.
    pub tasks: &'a [(usize, usize)],
    pub layers: Layers<'a>,
    /// The batch's images, as whole blocks.
    pub terms: usize,
    pub learning: Learning<'a>,
    /// Where products are in half precision.
    pub overflow: Option<&'a Overflow>,
}

/// What gradients by weights are computed from.
#[derive(Clone, Copy)]
pub enum Layers<'a> {
    /// The loss's gradient by the output of each layer, in panels of outputs, and the input of each, in panels of images.
    Single { deltas: &'a [Buffer], inputs: &'a [Buffer], hidden: &'a [Hidden] },
    /// Deltas and inputs in half precision.
    Half { deltas: &'a [Buffer<HalfLine>], inputs: &'a [Buffer<HalfLine>] },
}

/// What products of a hidden layer without zeros read.
#[derive(Debug)]
pub struct Hidden {
    /// In panels of inputs.
    pub transposed_input: Buffer,
    /// In panels of inputs, where the gradient by the input is asked for.
    pub transposed_weight: Option<Buffer>,
    /// The loss's gradient, by outputs.
    pub nonzero_deltas: Nonzeros,
}

/// What becomes of gradients.
pub enum Learning<'a> {
    /// They move the parameters.
    Update { adam: Adam, parameters: Parameters<'a> },
    /// They are kept.
    Keep(Shared<'a, Line>),
}

thread_local! {
    /// Room for a task's gradients.
    static GRADIENTS: Cell<Vec<Block>> = const { Cell::new(Vec::new()) };
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

impl<'a> Phase for Learn<'a> {
    fn tasks(&self) -> usize {
        self.tasks.len()
    }

    #[inline(always)]
    unsafe fn run<F: Family>(&self, task: usize) {
        let (layer, task) = self.tasks[task];
        let terms = self.terms;
        // SAFETY: the caller's.
        unsafe {
            match self.layers {
                Layers::Single { deltas, inputs, hidden } => {
                    let deltas = deltas[layer].matrix();
                    let sparse = |hidden: &'a Hidden| hidden.nonzero_deltas.product(hidden.transposed_input.matrix());
                    if let Some(product) = hidden.get(layer).and_then(sparse) {
                        self.run_in::<F, _>(deltas, product, layer, task);
                    } else {
                        let product = Product { a: deltas, b: inputs[layer].matrix(), along: Along::Lanes, terms };
                        self.run_in::<F, _>(deltas, product, layer, task);
                    }
                }
                Layers::Half { deltas, inputs } => {
                    let deltas = deltas[layer].matrix();
                    let product = Product { a: deltas, b: inputs[layer].matrix(), along: Along::Lanes, terms };
                    self.run_in::<F, _>(deltas, product, layer, task);
                }
            }
        }
    }
}

impl Learn<'_> {
    /// Does a task.
    ///
    /// # Safety
    /// As [`Phase::run`].
    #[inline(always)]
    unsafe fn run_in<F: Family, L: Operand>(
        &self,
        deltas: Matrix<'_, L>,
        product: impl Blocks,
        layer: usize,
        task: usize,
    ) {
        let Task { panels, blocks } = self.grids[layer].task(task);
        let place_of_layer = self.places[layer];
        if blocks.start == 0 {
            for panel in panels.clone() {
                let mut sums = Line::ZERO;
                for line in &deltas.lines[panel * deltas.layout.stride()..][..self.terms] {
                    sums.0.iter_mut().zip(line.widened()).for_each(|(sum, value)| *sum += value);
                }
                // SAFETY: each panel's biases are in the task of its first block; the processor is of the family.
                unsafe { self.learn::<F, 1>(place_of_layer.bias + panel, &[sums]) };
            }
        }
        let mut gradients = GRADIENTS.take();
        // A block that is complete at once leaves its room to the next one, in the first cache.
        let unfinished = product.unfinished_panels();
        let rooms = unfinished.unwrap_or(panels.len() * blocks.len());
        gradients.resize(rooms, [Line::ZERO; LANES]);
        let room = Shared::new(&mut gradients);
        let place = |panel: usize, block: usize| {
            let panel = panel - panels.start;
            let index = unfinished.map_or(panel * blocks.len() + block - blocks.start, |panels| panel % panels);
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
            // SAFETY: each block is in one task; the processor is of the family.
            unsafe { self.learn::<F, LANES>(start(panel, block), gradients) };
        };
        // SAFETY: the processor is of the family; the terms are whole blocks of both operands.
        unsafe { product.multiply::<F>(panels.clone(), blocks.clone(), place, prepare, finish) };
        GRADIENTS.set(gradients);
    }
}
