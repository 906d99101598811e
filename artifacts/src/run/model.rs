//! What a network is.

use std::num::NonZeroUsize;

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

/// What a network takes, gives, and how its input is standardised.
///
/// It stands in several files, and what does not know all of it would compute something else: an unknown field is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDescription {
    /// The classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Height of an image in pixels.
    pub height: usize,
    /// Width of an image in pixels.
    pub width: usize,
    /// Mean of the training pixels, scaled to 0 to 1.
    pub mean: f64,
    /// Standard deviation of the training pixels, scaled to 0 to 1.
    pub standard_deviation: f64,
    /// Sizes of the hidden layers, first to last; each is followed by a `ReLU`.
    pub hidden: Vec<usize>,
    /// The hidden layers are so many groups of equal width, each of which sees its own group of the hidden layer before and
    /// no other. All groups see the image, and the output sees all of them.
    pub groups: NonZeroUsize,
}

impl ModelDescription {
    /// The sizes of input, hidden layers and output: layer `i` maps `sizes[i]` to `sizes[i + 1]`.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        let input = self.height * self.width;
        [input].into_iter().chain(self.hidden.iter().copied()).chain([self.classes.len()]).collect()
    }

    /// The layers' shapes, first to last.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerShape> {
        let sizes = self.sizes();
        let between_hidden_layers = 1..self.hidden.len();
        let layer = |(index, ends): (usize, &[usize])| LayerShape {
            inputs: ends[0],
            outputs: ends[1],
            groups: if between_hidden_layers.contains(&index) { self.groups } else { NonZeroUsize::MIN },
        };
        sizes.windows(2).enumerate().map(layer).collect()
    }

    /// Says why there can be no such network.
    ///
    /// # Errors
    /// When an image, the classes or a layer is empty, the pixels cannot be standardised, or there are no such groups.
    pub fn check(&self) -> Result<(), String> {
        let Self { hidden, groups, .. } = self;
        check_images([self.height, self.width], self.mean, self.standard_deviation)?;
        if self.classes.is_empty() {
            return Err("it has no class".to_owned());
        }
        if let Some(width) = hidden.iter().find(|&width| *width == 0 || !width.is_multiple_of(groups.get())) {
            return Err(format!("its hidden layer of {width} units has no {groups} equal groups"));
        }
        if groups.get() > 1 && hidden.len() < 2 {
            return Err(format!("it has {groups} groups, but no two hidden layers"));
        }
        Ok(())
    }

    /// How the pixels become the network's input.
    #[must_use]
    pub fn standardisation(&self) -> Standardisation {
        Standardisation::new(self.mean, self.standard_deviation)
    }

    /// Weights and biases of all layers.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers().iter().map(LayerShape::parameters).sum()
    }
}

/// Says why there can be no images of this height and width whose pixels are standardised so.
pub(crate) fn check_images([height, width]: [usize; 2], mean: f64, standard_deviation: f64) -> Result<(), String> {
    if height.checked_mul(width).is_none_or(|pixels| pixels == 0) {
        return Err(format!("its images are {height}x{width} pixels"));
    }
    if !mean.is_finite() || !standard_deviation.is_finite() || standard_deviation <= 0.0 {
        return Err(format!("its pixels have the mean {mean} and the standard deviation {standard_deviation}"));
    }
    Ok(())
}

/// The shape of a [`LinearLayer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerShape {
    /// Width of its input.
    pub inputs: usize,
    /// Width of its output.
    pub outputs: usize,
    /// Into how many groups both fall.
    pub groups: NonZeroUsize,
}

impl LayerShape {
    /// `[out, in / groups]`, the weight's shape.
    #[must_use]
    pub fn weight(&self) -> [usize; 2] {
        [self.outputs, self.inputs / self.groups]
    }

    /// Weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        let [outputs, inputs] = self.weight();
        outputs * inputs + self.outputs
    }
}

/// A linear layer: `y = x · weightᵀ + bias` for each group of `x` and the same group of `y`, with the rows of `weight` that
/// are this group's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearLayer {
    /// `[out, in / groups]`.
    pub weight: Array2<f32>,
    /// `[out]`.
    pub bias: Array1<f32>,
    /// 1 is a fully connected layer.
    pub groups: NonZeroUsize,
}

impl LinearLayer {
    /// A fully connected layer.
    #[must_use]
    pub fn full(weight: Array2<f32>, bias: Array1<f32>) -> Self {
        Self { weight, bias, groups: NonZeroUsize::MIN }
    }
}

/// A layer's place in the `torch.nn.Sequential` of linear layers and `ReLU`s, which has a `ReLU` behind each but the last.
/// Layers are counted from 0.
#[must_use]
pub fn sequential_place(layer: usize) -> usize {
    2 * layer
}

/// `(p / 255 - mean) / standard_deviation` of pixel values `p`, which need not be whole, as a product and a sum in `f32`:
/// what trains, what is exported and what is explained compute the same bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standardisation {
    /// What a pixel value is multiplied by.
    pub scale: f32,
    /// What is added to that.
    pub offset: f32,
}

impl Standardisation {
    /// By the mean and the standard deviation of pixels that are scaled to 0 to 1.
    #[must_use]
    pub fn new(mean: f64, standard_deviation: f64) -> Self {
        Self { scale: (1.0 / 255.0 / standard_deviation) as f32, offset: (-mean / standard_deviation) as f32 }
    }

    /// The standardised value of a pixel from 0 to 255.
    #[must_use]
    #[inline(always)]
    pub fn of(self, pixel: f32) -> f32 {
        pixel * self.scale + self.offset
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> ModelDescription {
        ModelDescription {
            classes: vec!["A".into(), "B".into()],
            height: 2,
            width: 3,
            mean: 0.25,
            standard_deviation: 0.5,
            hidden: vec![4, 6],
            groups: NonZeroUsize::new(2).unwrap(),
        }
    }

    #[test]
    fn only_layers_between_two_hidden_ones_have_groups() {
        let model = example();
        let shapes = model.layers();
        assert_eq!(shapes.iter().map(|layer| layer.groups.get()).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(shapes.iter().map(LayerShape::weight).collect::<Vec<_>>(), [[4, 6], [6, 2], [2, 6]]);
        // As torch counts those of Linear(6, 4), Conv1d(4, 6, 1, groups=2) and Linear(6, 2).
        assert_eq!(model.parameters(), 28 + 18 + 14);
    }

    #[test]
    fn a_description_with_what_is_not_known_or_without_what_is_needed_is_refused() {
        let mut later = serde_json::to_value(example()).unwrap();
        later["activation"] = "gelu".into();
        assert!(serde_json::from_value::<ModelDescription>(later).unwrap_err().to_string().contains("unknown field"));
        let mut earlier = serde_json::to_value(example()).unwrap();
        earlier.as_object_mut().unwrap().remove("groups");
        assert!(serde_json::from_value::<ModelDescription>(earlier).unwrap_err().to_string().contains("missing field"));
    }

    #[test]
    fn each_pixel_value_is_standardised_to_a_few_units_in_the_last_place_of_the_largest() {
        // Means and deviations of: notMNIST, a dark set, a bright one, MNIST.
        for (mean, standard_deviation) in [(0.4, 0.45), (0.001, 0.01), (0.99, 0.02), (0.1307, 0.3081)] {
            let standardisation = Standardisation::new(mean, standard_deviation);
            let largest = (1.0 - mean).max(mean) / standard_deviation;
            for pixel in 0..=255_u8 {
                let expected = (f64::from(pixel) / 255.0 - mean) / standard_deviation;
                let found = f64::from(standardisation.of(f32::from(pixel)));
                assert!((found - expected).abs() <= 3e-7 * largest, "{mean} {standard_deviation} {pixel}");
            }
        }
    }
}
