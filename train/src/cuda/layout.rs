//! Where each parameter lies on the device: as in [`Mlp`], but for rows and tensors that begin where products are fast.

use crate::model::{Layer, Mlp};

/// Rows of matrices are whole numbers of as many elements: 32 bytes at least.
const ROW: usize = 16;
/// Tensors begin at whole numbers of as many elements: 256 bytes at least, which is what cublasLt takes for granted.
const TENSOR: usize = 128;

/// From one row of this width to the next, in elements.
pub fn stride(width: usize) -> usize {
    width.next_multiple_of(ROW)
}

/// A layer's places in a buffer, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub weight: usize,
    pub bias: usize,
    /// From one row of the weight to the next.
    pub stride: usize,
}

/// The places of all parameters. Elements that are none stay 0.
#[derive(Debug, Clone)]
pub struct Layout {
    pub model: Mlp,
    pub places: Vec<Place>,
    /// The length of the buffer, in elements.
    pub length: usize,
}

impl Layout {
    pub fn new(model: Mlp) -> Self {
        let mut length = 0;
        let mut take = |count: usize| {
            let start = length;
            length = (start + count).next_multiple_of(TENSOR);
            start
        };
        let places = model.layers().iter().map(|layer| {
            let stride = stride(layer.inputs);
            Place { weight: take(layer.outputs * stride), bias: take(layer.outputs), stride }
        });
        let places = places.collect();
        Self { model, places, length }
    }

    /// The parameters as the device has them.
    pub fn fill(&self, parameters: &[f32]) -> Vec<f32> {
        let mut buffer = vec![0.0; self.length];
        for (place, layer) in self.layers() {
            let rows = parameters[layer.weight.clone()].chunks_exact(layer.inputs);
            for (row, to) in rows.zip(buffer[place.weight..].chunks_mut(place.stride)) {
                to[..layer.inputs].copy_from_slice(row);
            }
            buffer[place.bias..][..layer.outputs].copy_from_slice(&parameters[layer.bias.clone()]);
        }
        buffer
    }

    /// The parameters of the device's buffer.
    pub fn extract(&self, buffer: &[f32]) -> Vec<f32> {
        let mut parameters = vec![0.0; self.model.parameters()];
        for (place, layer) in self.layers() {
            let rows = parameters[layer.weight.clone()].chunks_exact_mut(layer.inputs);
            for (row, from) in rows.zip(buffer[place.weight..].chunks(place.stride)) {
                row.copy_from_slice(&from[..layer.inputs]);
            }
            parameters[layer.bias.clone()].copy_from_slice(&buffer[place.bias..][..layer.outputs]);
        }
        parameters
    }

    /// The layers with their places.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = (Place, &Layer)> + DoubleEndedIterator {
        self.places.iter().copied().zip(self.model.layers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_back_and_the_rest_is_zero() {
        let model = Mlp::new(&[3, 17, 2]);
        let layout = Layout::new(model.clone());
        assert_eq!(layout.places[0], Place { weight: 0, bias: 384, stride: 16 });
        assert_eq!(layout.places[1], Place { weight: 512, bias: 640, stride: 32 });
        let parameters: Vec<f32> = (1_u16..).take(model.parameters()).map(f32::from).collect();
        let buffer = layout.fill(&parameters);
        assert_eq!((buffer.len(), buffer[1], buffer[3], buffer[16]), (768, 2.0, 0.0, 4.0));
        assert_eq!(buffer.iter().filter(|&&value| value != 0.0).count(), parameters.len());
        assert_eq!(layout.extract(&buffer), parameters);
    }
}
