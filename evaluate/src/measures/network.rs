//! The network's own weights at work: which units are active, what the last hidden layer makes of an image, which pixels
//! the winning logit hangs on.

use artifacts::{LinearLayer, ModelDescription};
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};

/// A network in `f32`, as the trainer has it.
#[derive(Debug)]
pub struct Network<'a> {
    layers: &'a [LinearLayer],
    mean: f32,
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
        Self { layers, mean: model.mean as f32, standard_deviation: model.standard_deviation as f32 }
    }

    /// The activations of `images`, `[N, H · W]`.
    #[must_use]
    pub fn forward(&self, images: ArrayView2<'_, u8>) -> Activations {
        let pixels = images.mapv(|pixel| (f32::from(pixel) / 255.0 - self.mean) / self.standard_deviation);
        let mut hidden: Vec<Array2<f32>> = Vec::new();
        for layer in &self.layers[..self.layers.len() - 1] {
            let input = hidden.last().unwrap_or(&pixels);
            let mut output = input.dot(&layer.weight.t()) + &layer.bias;
            output.mapv_inplace(|value| value.max(0.0));
            hidden.push(output);
        }
        Activations { pixels, hidden }
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
            gradient = gradient.dot(&layer.weight);
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

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// Two pixels, two hidden units, two classes; worked by hand.
    #[test]
    fn the_gradient_goes_through_the_units_that_are_active() {
        let layers = [
            LinearLayer { weight: array![[1.0, 2.0], [-1.0, 1.0]], bias: array![0.0, 0.5] },
            LinearLayer { weight: array![[3.0, 5.0], [-2.0, 7.0]], bias: array![0.0, 0.0] },
        ];
        let model = ModelDescription {
            classes: vec!["A".into(), "B".into()],
            height: 1,
            width: 2,
            mean: 0.0,
            standard_deviation: 0.5,
            hidden: vec![2],
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
}
