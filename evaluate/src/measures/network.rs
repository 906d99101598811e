//! The network's own weights at work: which units are active, what the last hidden layer makes of an image, which pixels
//! the winning logit hangs on.

use artifacts::{LinearLayer, ModelDescription, Standardisation};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

/// A network in `f32`, as the trainer has it.
#[derive(Debug)]
pub struct Network<'a> {
    layers: &'a [LinearLayer],
    standardisation: Standardisation,
    /// Of the pixels, scaled to 0 to 1.
    standard_deviation: f32,
}

/// The activations of some images, layer by layer.
#[derive(Debug)]
pub struct Activations {
    /// The standardised pixels, `[N, H · W]`.
    pub pixels: Array2<f32>,
    /// The outputs of the hidden layers after their `ReLU`, `[N, units]` each.
    pub hidden: Vec<Array2<f32>>,
}

impl Activations {
    /// Of the last hidden layer; the pixels in softmax regression.
    #[must_use]
    pub fn last(&self) -> ArrayView2<'_, f32> {
        self.hidden.last().unwrap_or(&self.pixels).view()
    }
}

impl<'a> Network<'a> {
    /// The network that `model` describes.
    #[must_use]
    pub fn new(model: &ModelDescription, layers: &'a [LinearLayer]) -> Self {
        Self { layers, standardisation: model.standardisation(), standard_deviation: model.standard_deviation as f32 }
    }

    /// The activations of `images`, `[N, H · W]`.
    #[must_use]
    pub fn forward(&self, images: ArrayView2<'_, u8>) -> Activations {
        let pixels = images.mapv(|pixel| self.standardisation.of(f32::from(pixel)));
        let mut hidden: Vec<Array2<f32>> = Vec::new();
        for layer in &self.layers[..self.layers.len() - 1] {
            let input = hidden.last().unwrap_or(&pixels);
            let mut output = product(layer, input.view(), Direction::Forward) + &layer.bias;
            output.mapv_inplace(|value| value.max(0.0));
            hidden.push(output);
        }
        Activations { pixels, hidden }
    }

    /// The logits, `[N, C]`.
    ///
    /// # Panics
    /// Where there is no layer.
    #[must_use]
    pub fn logits(&self, activations: &Activations) -> Array2<f32> {
        let last = self.layers.last().expect("a network has a layer");
        product(last, activations.last(), Direction::Forward) + &last.bias
    }

    /// `∂ logit / ∂ pixel`, pixels scaled to 0 to 1, of one logit an image: `[N, H · W]`.
    #[must_use]
    pub fn gradient(&self, activations: &Activations, logits: &[u8]) -> Array2<f32> {
        let (last, before) = self.layers.split_last().expect("a network has a layer");
        let wanted: Vec<usize> = logits.iter().map(|&class| usize::from(class)).collect();
        let mut gradient = last.weight.select(Axis(0), &wanted);
        for (layer, output) in before.iter().zip(&activations.hidden).rev() {
            Zip::from(&mut gradient).and(output).for_each(|slope, &output| {
                if output <= 0.0 {
                    *slope = 0.0;
                }
            });
            gradient = product(layer, gradient.view(), Direction::Backward);
        }
        gradient / self.standard_deviation
    }

    /// The Euclidean length of each unit's weights in the first layer.
    #[must_use]
    pub fn first_layer_norms(&self) -> Array1<f64> {
        let length =
            |row: ndarray::ArrayView1<'_, f32>| row.fold(0.0, |sum, &value| sum + f64::from(value).powi(2)).sqrt();
        self.layers[0].weight.rows().into_iter().map(length).collect()
    }
}

#[derive(Clone, Copy)]
enum Direction {
    /// From inputs to outputs.
    Forward,
    /// From the outputs' gradients to those of the inputs.
    Backward,
}

/// `values` by the layer's weights, group by group: `[N, in]` to `[N, out]`, or back.
fn product(layer: &LinearLayer, values: ArrayView2<'_, f32>, direction: Direction) -> Array2<f32> {
    let groups = layer.groups.get();
    let (outputs, inputs) = (layer.weight.nrows() / groups, layer.weight.ncols());
    let (from, to) = match direction {
        Direction::Forward => (inputs, outputs),
        Direction::Backward => (outputs, inputs),
    };
    let mut product = Array2::zeros((values.nrows(), groups * to));
    let parts = product.axis_chunks_iter_mut(Axis(1), to);
    let weights = layer.weight.axis_chunks_iter(Axis(0), outputs);
    for ((mut part, values), weight) in parts.zip(values.axis_chunks_iter(Axis(1), from)).zip(weights) {
        let weight = match direction {
            Direction::Forward => weight.reversed_axes(),
            Direction::Backward => weight,
        };
        general_mat_mul(1.0, &values, &weight, 0.0, &mut part);
    }
    product
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use ndarray::{array, s};

    use super::*;

    /// Two pixels, two hidden units, two classes; worked by hand.
    #[test]
    fn the_gradient_goes_through_the_units_that_are_active() {
        let layers = [
            LinearLayer::full(array![[1.0, 2.0], [-1.0, 1.0]], array![0.0, 0.5]),
            LinearLayer::full(array![[3.0, 5.0], [-2.0, 7.0]], array![0.0, 0.0]),
        ];
        let model = ModelDescription {
            classes: vec!["A".into(), "B".into()],
            height: 1,
            width: 2,
            mean: 0.0,
            standard_deviation: 0.5,
            hidden: vec![2],
            groups: NonZeroUsize::MIN,
        };
        let network = Network::new(&model, &layers);
        // Pixels 1 and 0, standardised 2 and 0: units 2 and max(-1.5, 0).
        let activations = network.forward(array![[255_u8, 0]].view());
        assert_eq!(activations.last(), array![[2.0, 0.0]]);
        // The first unit alone: 3 · (1, 2) and -2 · (1, 2), by a deviation of 1/2.
        assert_eq!(network.gradient(&activations, &[0]), array![[6.0, 12.0]]);
        assert_eq!(network.gradient(&activations, &[1]), array![[-4.0, -8.0]]);
        assert_eq!(network.first_layer_norms(), array![5.0_f64.sqrt(), 2.0_f64.sqrt()]);
    }

    #[test]
    fn a_layer_of_groups_is_the_full_layer_whose_other_weights_are_zero() {
        let weight = array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0], [11.0, 12.0]];
        let mut full = Array2::zeros((6, 4));
        full.slice_mut(s![..3, ..2]).assign(&weight.slice(s![..3, ..]));
        full.slice_mut(s![3.., 2..]).assign(&weight.slice(s![3.., ..]));
        let layer = LinearLayer { weight, bias: Array1::zeros(6), groups: NonZeroUsize::new(2).unwrap() };
        let (inputs, slopes) = (array![[1.0, -2.0, 3.0, 0.5]], array![[1.0, 0.0, -1.0, 2.0, 0.5, 3.0]]);
        assert_eq!(product(&layer, inputs.view(), Direction::Forward), inputs.dot(&full.t()));
        assert_eq!(product(&layer, slopes.view(), Direction::Backward), slopes.dot(&full));
    }
}
