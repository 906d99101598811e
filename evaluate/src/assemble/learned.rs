//! Section 6: what the network learned, from its weights and the images of the split.

use artifacts::sequential_place;
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, s};

use crate::error::Error;
use crate::inputs::Inputs;
use crate::judged::Judged;
use crate::measures::network::{Activations, Network};
use crate::measures::undefined::Reasons;
use crate::parity;
use crate::report::{ClassSaliency, ClassTypical, FirstLayerUnit, HiddenLayer, Learned, TypicalImage, test_time_shift};

/// Rows are in random order: the first ones stand for all of a large split.
const MOST_IMAGES: usize = 10_000;
/// Images that are computed at a time.
const BATCH: usize = 1024;

/// Section 6 and the saliency maps, `[C, H, W]`.
///
/// # Errors
/// When the network does not compute the model's logits, so that what it shows would be of something else.
pub(crate) fn learned(
    inputs: &Inputs<'_>,
    judged: &Judged,
    reasons: &mut Reasons,
) -> Result<(Learned, Array3<f32>), Error> {
    let images = judged.data.len().min(MOST_IMAGES);
    let network = Network::new(&inputs.checkpoint.model, &inputs.checkpoint.layers);
    let classes = judged.outcomes.classes();
    let mut units: Vec<ActiveCounts> =
        inputs.checkpoint.layers.iter().map(|layer| ActiveCounts::new(layer.bias.len())).collect();
    let mut saliency = Array2::<f64>::zeros((classes, judged.data.pixels()));
    let mut last =
        Array2::<f32>::zeros((images, inputs.checkpoint.layers.last().map_or(0, |layer| layer.weight.ncols())));
    for start in (0..images).step_by(BATCH) {
        let rows = start..images.min(start + BATCH);
        let pixels: Vec<u8> = rows.clone().flat_map(|row| judged.data.image(row)).copied().collect();
        let pixels =
            ArrayView2::from_shape((rows.len(), judged.data.pixels()), &pixels).expect("images are of one size");
        let activations = network.forward(pixels);
        let logits = judged.outcomes.logits.slice(s![rows.clone(), ..]);
        let pairs = network.logits(&activations).into_iter().zip(logits.iter().copied());
        parity::compare(rows.len(), pairs).map_err(|relative| Error::Explained { relative })?;
        activations.hidden.iter().zip(&mut units).for_each(|(layer, counts)| counts.add(layer));
        last.slice_mut(s![rows.clone(), ..]).assign(&activations.last());
        add_saliency(&mut saliency, &network, &activations, &judged.outcomes.predicted[rows]);
    }
    let (saliency, maps) = class_saliency(inputs, &judged.outcomes.predicted[..images], saliency);
    let typical = typical(inputs, judged, &last);
    for (saliency, typical) in saliency.iter().zip(&typical) {
        let class = &saliency.class;
        let reason = format!("no image was taken for class {class}");
        reasons.explain(saliency.largest.as_ref(), format!("learned.saliency.{class}.largest"), reason);
        let reason = format!("none of the {images} images is of class {class}");
        reasons.explain(typical.most.as_ref(), format!("learned.typical.{class}"), reason);
    }
    let hidden = units.len() - 1;
    let first_hidden = (hidden > 0).then(|| &units[0]);
    let reason = "the first layer's outputs are the logits, which no ReLU follows";
    reasons.explain(first_hidden, "learned.first_layer.active_share", reason);
    let first_layer = first_layer(inputs, &network, first_hidden, images);
    let hidden_layers = units[..hidden].iter().enumerate();
    let learned = Learned {
        images: images as u64,
        hidden_layers: hidden_layers.map(|(index, counts)| counts.layer(index, images)).collect(),
        first_layer,
        saliency,
        typical,
    };
    Ok((learned, maps))
}

/// How many images make each unit of a layer positive.
struct ActiveCounts(Vec<usize>);

impl ActiveCounts {
    fn new(units: usize) -> Self {
        Self(vec![0; units])
    }

    /// Counts the images of `[N, units]`.
    fn add(&mut self, activations: &Array2<f32>) {
        for image in activations.rows() {
            for (count, &value) in self.0.iter_mut().zip(image) {
                *count += usize::from(value > 0.0);
            }
        }
    }

    fn layer(&self, index: usize, images: usize) -> HiddenLayer {
        let units = self.0.iter().enumerate();
        HiddenLayer {
            name: sequential_place(index).to_string(),
            units: self.0.len() as u64,
            dead: units.filter(|&(_, &active)| active == 0).map(|(unit, _)| unit).collect(),
            always_active: self.0.iter().filter(|&&active| active == images).count() as u64,
            mean_active_share: self.0.iter().sum::<usize>() as f64 / (self.0.len() * images) as f64,
        }
    }
}

fn first_layer(
    inputs: &Inputs<'_>,
    network: &Network<'_>,
    active: Option<&ActiveCounts>,
    images: usize,
) -> Vec<FirstLayerUnit> {
    let mut units: Vec<_> = network.first_layer_norms().into_iter().enumerate().collect();
    units.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let weights = &inputs.checkpoint.layers[0].weight;
    let size = (inputs.checkpoint.model.height, inputs.checkpoint.model.width);
    let shift = test_time_shift(&inputs.training.provenance).unwrap_or(0);
    let mut listed: Vec<FirstLayerUnit> = Vec::new();
    for (unit, norm) in units {
        if listed.len() == Learned::MOST_UNITS {
            break;
        }
        let map = |unit: usize| weights.row(unit).into_shape_with_order(size).expect("a unit has a weight a pixel");
        if listed.iter().any(|listed| is_shifted_copy(map(listed.unit), map(unit), shift as isize)) {
            continue;
        }
        let active_share = active.map(|counts| counts.0[unit] as f64 / images as f64);
        listed.push(FirstLayerUnit { unit, norm, active_share });
    }
    listed
}

/// Whether two maps of weights are one map, shifted by nothing or `shift` to one side, and again so.
fn is_shifted_copy(one: ArrayView2<'_, f32>, other: ArrayView2<'_, f32>, shift: isize) -> bool {
    // From the place of one shift to that of another.
    let offsets =
        [-2, -1, 0, 1, 2].into_iter().flat_map(|down: isize| [-2, -1, 0, 1, 2].map(|right: isize| [down, right]));
    let mut offsets = offsets.filter(|[down, right]| shift > 0 && (1..=2).contains(&(down.abs() + right.abs())));
    let (height, width) = one.dim();
    offsets.any(|offset| {
        let [down, right] = offset.map(|shifts| shifts * shift);
        let [(rows, other_rows), (columns, other_columns)] = [(height, down), (width, right)].map(|(size, by)| {
            let kept = size.saturating_sub(by.unsigned_abs());
            let (near, far) = (0..kept, size - kept..size);
            if by >= 0 { (near, far) } else { (far, near) }
        });
        !rows.is_empty()
            && !columns.is_empty()
            && one.slice(s![rows, columns]) == other.slice(s![other_rows, other_columns])
    })
}

fn add_saliency(sums: &mut Array2<f64>, network: &Network<'_>, activations: &Activations, winners: &[u8]) {
    let gradient = network.gradient(activations, winners);
    for (slopes, &winner) in gradient.rows().into_iter().zip(winners) {
        let mut sum = sums.row_mut(usize::from(winner));
        sum.zip_mut_with(&slopes, |sum, slope| *sum += f64::from(slope.abs()));
    }
}

fn class_saliency(inputs: &Inputs<'_>, winners: &[u8], mut sums: Array2<f64>) -> (Vec<ClassSaliency>, Array3<f32>) {
    let model = &inputs.checkpoint.model;
    let mut list = Vec::new();
    for (class, (name, mut map)) in model.classes.iter().zip(sums.rows_mut()).enumerate() {
        let images = winners.iter().filter(|&&winner| usize::from(winner) == class).count();
        if images > 0 {
            map /= images as f64;
        }
        let largest = (images > 0).then(|| map.fold(0.0_f64, |most, &value| most.max(value)));
        list.push(ClassSaliency { class: name.clone(), images: images as u64, largest });
    }
    let shape = (model.classes.len(), model.height, model.width);
    let maps = sums.mapv(|value| value as f32).into_shape_with_order(shape).expect("a map has a value a pixel");
    (list, maps)
}

fn typical(inputs: &Inputs<'_>, judged: &Judged, last: &Array2<f32>) -> Vec<ClassTypical> {
    let classes = &inputs.checkpoint.model.classes;
    let of_class = |(class, name): (usize, &String)| {
        let is_of_class = |&row: &usize| usize::from(judged.outcomes.labels[row]) == class;
        let rows: Vec<usize> = (0..last.nrows()).filter(is_of_class).collect();
        let mean = mean_of(last, &rows);
        let distances = rows.iter().map(|&row| (row, distance(last.row(row), &mean)));
        let by_distance = |one: &(usize, f64), other: &(usize, f64)| one.1.total_cmp(&other.1);
        let image = |(row, distance)| TypicalImage { distance, image: judged.record(row, classes) };
        ClassTypical {
            class: name.clone(),
            most: distances.clone().min_by(by_distance).map(image),
            least: distances.max_by(by_distance).map(image),
        }
    };
    classes.iter().enumerate().map(of_class).collect()
}

fn mean_of(values: &Array2<f32>, rows: &[usize]) -> Array1<f64> {
    let mut mean = Array1::zeros(values.ncols());
    for &row in rows {
        mean.zip_mut_with(&values.row(row), |sum, &value| *sum += f64::from(value));
    }
    mean / rows.len().max(1) as f64
}

fn distance(image: ArrayView1<'_, f32>, mean: &Array1<f64>) -> f64 {
    image.iter().zip(mean).map(|(&value, mean)| (f64::from(value) - mean).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::is_shifted_copy;

    #[test]
    fn a_map_and_the_same_one_elsewhere_are_copies_by_the_shift_that_was_asked_for() {
        let map = Array2::from_shape_fn((4, 5), |(row, column)| (5 * row + column + 1) as f32);
        let shifted = |down: usize, right: usize| {
            let mut other = Array2::zeros((4, 5));
            let kept = map.slice(ndarray::s![..4 - down, ..5 - right]);
            other.slice_mut(ndarray::s![down.., right..]).assign(&kept);
            other
        };
        for (down, right, shift, expected) in [
            (1, 0, 1, true),
            (0, 1, 1, true),
            (1, 1, 1, true),
            (0, 2, 1, true),
            (2, 1, 1, false),
            (2, 0, 2, true),
            (1, 0, 2, false),
            (1, 0, 0, false),
        ] {
            let other = shifted(down, right);
            for [one, other] in [[&map, &other], [&other, &map]] {
                assert_eq!(is_shifted_copy(one.view(), other.view(), shift), expected, "{down} {right} {shift}");
            }
        }
        // Nothing is left to compare of images that are no larger than the shift.
        assert!(!is_shifted_copy(array![[1.0]].view(), array![[2.0]].view(), 1));
    }
}
