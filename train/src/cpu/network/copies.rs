//! Copies of the networks' buffers, for the products that read them.

use crate::cpu::grid::MOST_A_PART;
use crate::cpu::nonzeros::{FEWEST_TERMS, Nonzeros};
use crate::cpu::overflow::Overflow;
use crate::cpu::panels::{Buffer, HalfLine, LANES};
use crate::cpu::phases::Hidden;
use crate::engine::LossScale;
use crate::model::{Layer, Mlp};
use crate::options::Precision;

/// By the precision of the products in training steps.
#[derive(Debug)]
pub enum Copies {
    /// What products read besides the buffers themselves.
    Single(Box<Singles>),
    /// What they read instead.
    Half(Box<Halves>),
}

/// Operands whose directions are exchanged, or without zeros.
#[derive(Debug)]
pub struct Singles {
    /// The deltas of every layer in panels of outputs.
    pub transposed_deltas: Vec<Buffer>,
    /// What products of hidden layers without zeros need: none of batches of few images, of which zeros are multiplied sooner
    /// than found.
    pub hidden: Vec<Hidden>,
    /// The elements by images of the input of the hidden layer that is computed with, or later of its deltas.
    pub nonzeros: Nonzeros,
}

/// Operands in half precision, each written where the original is.
#[derive(Debug)]
pub struct Halves {
    /// The parameters of each network.
    pub parameters: Vec<Vec<HalfLine>>,
    pub loss_scales: Vec<LossScale>,
    /// The input of every layer.
    pub inputs: Vec<Buffer<HalfLine>>,
    pub deltas: Vec<Buffer<HalfLine>>,
    pub transposed_deltas: Vec<Buffer<HalfLine>>,
    pub overflow: Overflow,
}

impl Copies {
    /// For batches of so many images; of each network's parameters there are so many lines.
    pub fn new(precision: Precision, model: &Mlp, batch: usize, lines: Vec<usize>) -> Self {
        let widths = || model.layers().iter().map(|layer| layer.outputs);
        if precision == Precision::F16 {
            return Self::Half(Box::new(Halves {
                transposed_deltas: widths().map(|width| Buffer::new(width, batch)).collect(),
                deltas: widths().map(|width| Buffer::new(batch, width)).collect(),
                inputs: model.layers().iter().map(|layer| Buffer::new(batch, layer.inputs)).collect(),
                loss_scales: vec![LossScale::default(); lines.len()],
                parameters: lines.into_iter().map(|lines| vec![HalfLine::ZERO; lines]).collect(),
                overflow: Overflow::default(),
            }));
        }
        let hidden = if batch < FEWEST_TERMS { 0 } else { model.layers().len() - 1 };
        let hidden = &model.layers()[..hidden];
        // The input of the first layer has no zeros.
        let widest = hidden.iter().map(|layer| layer.outputs).max().filter(|_| hidden.len() > 1).unwrap_or(0);
        let copies = |(index, layer): (usize, &Layer)| Hidden {
            transposed_input: Buffer::new(layer.inputs, batch),
            transposed_weight: (index > 0).then(|| Buffer::new(layer.inputs, layer.outputs)),
            nonzero_deltas: Nonzeros::new(layer.outputs, batch),
        };
        Self::Single(Box::new(Singles {
            transposed_deltas: widths().map(|width| Buffer::new(width, batch)).collect(),
            hidden: hidden.iter().enumerate().map(copies).collect(),
            nonzeros: Nonzeros::new(batch.min(MOST_A_PART * LANES), widest),
        }))
    }
}
