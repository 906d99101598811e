use serde::{Deserialize, Serialize};

use super::failures::ImageRecord;

/// Section 6: what it learned. Computed from the checkpoint's weights on images of the split that is judged. The first
/// layer's weights themselves are the checkpoint's `0.weight`, `[units, height · width]`; the saliency maps are in
/// `saliency.npy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// How many images it was computed on: the first rows of the split.
    pub images: u64,
    /// The hidden layers, first to last; none in softmax regression.
    pub hidden_layers: Vec<HiddenLayer>,
    /// The units of the first layer (of the output layer in softmax regression) with the longest weight vectors, longest
    /// first; at most [`Learned::MOST_UNITS`]. Of units that are one another's copies, shifted as the training was told to
    /// shift images at test time, one is listed.
    pub first_layer: Vec<FirstLayerUnit>,
    /// The maps in `saliency.npy`, `f32 [classes, height, width]`, in the order of the classes.
    pub saliency: Vec<ClassSaliency>,
    /// In the order of the classes.
    pub typical: Vec<ClassTypical>,
}

impl Learned {
    /// How many units of the first layer are listed at most.
    pub const MOST_UNITS: usize = 64;
}

/// A layer of rectified linear units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HiddenLayer {
    /// Its name in the checkpoint, as "0" or "2".
    pub name: String,
    /// How many units.
    pub units: u64,
    /// The units that no image makes positive.
    pub dead: Vec<usize>,
    /// How many units every image makes positive: they are linear.
    pub always_active: u64,
    /// The share of units that an image makes positive, averaged over the images.
    pub mean_active_share: f64,
}

/// A unit of the first layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstLayerUnit {
    /// Its row in `0.weight`.
    pub unit: usize,
    /// The Euclidean length of that row.
    pub norm: f64,
    /// The share of images that make it positive; nothing in softmax regression, whose outputs are logits.
    pub active_share: Option<f64>,
}

/// A class's map in `saliency.npy`: the mean over the images that are taken for the class of
/// `|∂ winning logit / ∂ pixel|`, pixels scaled to 0 to 1 (K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside
/// Convolutional Networks", 2014, section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassSaliency {
    /// Its name.
    pub class: String,
    /// How many images are taken for it. Where that is 0, there is no saliency, and the map is all 0.
    pub images: u64,
    /// The largest value of the map, for a scale.
    pub largest: Option<f64>,
}

/// The images of a class whose activations in the last hidden layer (pixels in softmax regression) are nearest to and
/// farthest from their mean over the class's images, by Euclidean distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassTypical {
    /// Its name.
    pub class: String,
    /// The nearest; nothing where the class has no image.
    pub most: Option<TypicalImage>,
    /// The farthest.
    pub least: Option<TypicalImage>,
}

/// An image, and how far it is from the mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TypicalImage {
    /// The distance.
    pub distance: f64,
    /// The image.
    pub image: ImageRecord,
}
