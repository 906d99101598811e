//! Augmentation: each time that a training image is seen, it is moved, turned, sheared, scaled and made bolder or thinner at
//! random.
//!
//! What happens to an image is decided by the seed, the epoch and the image's row alone ([`Augmentation::draw`]): any thread
//! of any engine draws the same. The pixels agree but for the last bits of a device's own `sin` and `cos`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::random::philox;

/// How strongly training images are varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// Not at all
    None,
    /// By what the eye hardly sees: 1 pixel, 5 degrees
    Light,
    /// As far as letters stay letters: 2 pixels, 10 degrees
    Strong,
}

/// The largest variations; each is drawn uniformly from minus to plus its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Along each axis, in pixels.
    pub shift: f64,
    /// About the middle of the image, in degrees.
    pub rotation: f64,
    /// The sideways movement of a row, as a share of its distance from the middle.
    pub shear: f64,
    /// The change in size along each axis, as a share of it.
    pub scale: f64,
    /// How far the strokes go towards those of the image dilated (or eroded) by a pixel: at most 1.
    pub stroke: f64,
}

impl From<Strength> for Augmentation {
    fn from(strength: Strength) -> Self {
        match strength {
            Strength::None => Self { shift: 0.0, rotation: 0.0, shear: 0.0, scale: 0.0, stroke: 0.0 },
            Strength::Light => Self { shift: 1.0, rotation: 5.0, shear: 0.1, scale: 0.08, stroke: 0.3 },
            Strength::Strong => Self { shift: 2.0, rotation: 10.0, shear: 0.25, scale: 0.15, stroke: 0.6 },
        }
    }
}

/// What happens to one image: an affine map and a change of its strokes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// Where a pixel comes from, relative to the middle: `x' = m[0] x + m[1] y + m[2]`, `y' = m[3] x + m[4] y + m[5]`.
    pub from: [f32; 6],
    /// From -1, eroded, to 1, dilated.
    pub stroke: f32,
}

/// The fourth word of the counter, whose high half dropout fills with bits 32 to 47 of the step: the two never draw the same.
pub(crate) const DOMAIN: u32 = u32::from_be_bytes(*b"augm");

impl Augmentation {
    /// Whether images stay as they are.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::from(Strength::None)
    }

    /// What happens to the training image in `row` in an epoch, counted from 1.
    #[must_use]
    pub fn draw(&self, seed: u64, epoch: u32, row: u32) -> Variation {
        let [words, more] = [0, 1].map(|block| philox([row, epoch, block, DOMAIN], seed));
        // From -1 to 1.
        let uniform = |word: u32| f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0;
        let (shift_x, shift_y) = (self.shift * uniform(words[0]), self.shift * uniform(words[1]));
        let (sin, cos) = (self.rotation * uniform(words[2])).to_radians().sin_cos();
        let shear = self.shear * uniform(words[3]);
        let (scale_x, scale_y) = (1.0 + self.scale * uniform(more[0]), 1.0 + self.scale * uniform(more[1]));
        // Forward: scale, shear, rotate, shift. Backward, which is what is wanted, the inverses in the other order.
        let (a, b) = (cos / scale_x + shear * sin / scale_x, sin / scale_x - shear * cos / scale_x);
        let (c, d) = (-sin / scale_y, cos / scale_y);
        let from = [a, b, -(a * shift_x + b * shift_y), c, d, -(c * shift_x + d * shift_y)];
        Variation { from: from.map(|value| value as f32), stroke: (self.stroke * uniform(more[2])) as f32 }
    }
}

/// Room for an image with a border, kept by each thread.
#[derive(Debug, Default, Clone)]
pub struct Scratch {
    padded: Vec<f32>,
}

/// The width of the black border on each side: room for a pixel between the image and what is far away.
const BORDER: usize = 2;

impl Variation {
    /// Writes the varied image to `output`, in the scale of `image` (0 to 255), interpolating between four pixels; what
    /// comes from outside the image is black.
    ///
    /// # Panics
    /// Where `image` and `output` are not `height` times `width` pixels.
    #[inline(always)]
    pub fn apply(&self, image: &[u8], height: usize, width: usize, scratch: &mut Scratch, output: &mut [f32]) {
        assert!(image.len() == height * width && output.len() == height * width, "an image of {height}x{width} pixels");
        let stride = width + 2 * BORDER;
        scratch.padded.clear();
        scratch.padded.resize(stride * (height + 2 * BORDER), 0.0);
        self.stroke_into(image, height, width, &mut scratch.padded);

        // Places are whole numbers of a 65,536th of a pixel, so that every engine finds the same ones.
        const ONE: i64 = 1 << 16;
        let fixed = |pixels: f64| (pixels * ONE as f64).round() as i64;
        let [a, b, x0, c, d, y0] = self.from.map(f64::from);
        let (middle_x, middle_y) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let (step_x, step_y) = (fixed(a), fixed(c));
        // In the border, pixels are black: what is farther away may as well come from there.
        let farthest = |pixels: usize| (pixels + BORDER) as i64 * ONE + ONE / 2;
        let (farthest_x, farthest_y) = (farthest(width), farthest(height));
        for (row, output) in output.chunks_exact_mut(width).enumerate() {
            let (x, y) = (-middle_x, row as f64 - middle_y);
            let mut from_x = fixed(a * x + b * y + x0 + middle_x + BORDER as f64);
            let mut from_y = fixed(c * x + d * y + y0 + middle_y + BORDER as f64);
            for output in output {
                let (near_x, near_y) = (from_x.clamp(ONE / 2, farthest_x), from_y.clamp(ONE / 2, farthest_y));
                let corner = (near_y >> 16) as usize * stride + (near_x >> 16) as usize;
                let share = |place: i64| (place & (ONE - 1)) as f32 / ONE as f32;
                let four = &scratch.padded[corner..corner + stride + 2];
                let upper = four[0] + share(near_x) * (four[1] - four[0]);
                let lower = four[stride] + share(near_x) * (four[stride + 1] - four[stride]);
                *output = upper + share(near_y) * (lower - upper);
                from_x += step_x;
                from_y += step_y;
            }
        }
    }

    /// Puts the image with its strokes changed into the middle of `padded`.
    #[inline(always)]
    fn stroke_into(&self, image: &[u8], height: usize, width: usize, padded: &mut [f32]) {
        // The largest (or smallest) of each pixel and its four neighbours, and so far towards it as the stroke says.
        if self.stroke >= 0.0 {
            self.blend(image, height, width, padded, u8::max);
        } else {
            self.blend(image, height, width, padded, u8::min);
        }
    }

    #[inline(always)]
    fn blend(
        &self,
        image: &[u8],
        height: usize,
        width: usize,
        padded: &mut [f32],
        extreme: impl Fn(u8, u8) -> u8 + Copy,
    ) {
        let stride = width + 2 * BORDER;
        let share = self.stroke.abs();
        let row_at = |row: usize| &image[row * width..][..width];
        for row in 0..height {
            let (above, here, below) = (row_at(row.saturating_sub(1)), row_at(row), row_at((row + 1).min(height - 1)));
            let place = &mut padded[(row + BORDER) * stride + BORDER..][..width];
            let vertical =
                above.iter().zip(here).zip(below).map(|((&above, &here), &below)| extreme(above, extreme(here, below)));
            let left = here[..1].iter().chain(here);
            let right = here[1..].iter().chain(&here[width - 1..]);
            for ((((value, &pixel), vertical), &left), &right) in
                place.iter_mut().zip(here).zip(vertical).zip(left).zip(right)
            {
                let (pixel, found) = (f32::from(pixel), f32::from(extreme(vertical, extreme(left, right))));
                *value = pixel + share * (found - pixel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STILL: Variation = Variation { from: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], stroke: 0.0 };

    fn image(height: usize, width: usize) -> Vec<u8> {
        (0..height * width).map(|index| u8::try_from(index * 37 % 251).unwrap()).collect()
    }

    fn applied(variation: Variation, image: &[u8], height: usize, width: usize) -> Vec<f32> {
        let mut output = vec![f32::NAN; height * width];
        variation.apply(image, height, width, &mut Scratch::default(), &mut output);
        output
    }

    #[test]
    fn no_augmentation_leaves_every_pixel() {
        for (height, width) in [(28, 28), (5, 9), (1, 1)] {
            let image = image(height, width);
            let variation = Augmentation::from(Strength::None).draw(1, 2, 3);
            let expected: Vec<f32> = image.iter().map(|&pixel| f32::from(pixel)).collect();
            assert_eq!(applied(variation, &image, height, width), expected);
        }
    }

    #[test]
    fn a_shift_by_whole_pixels_moves_them_and_black_comes_in() {
        let image = [10, 20, 30, 40, 50, 60, 70, 80, 90];
        let right = Variation { from: [1.0, 0.0, -1.0, 0.0, 1.0, 0.0], ..STILL };
        assert_eq!(applied(right, &image, 3, 3), [0.0, 10.0, 20.0, 0.0, 40.0, 50.0, 0.0, 70.0, 80.0]);
        let far = Variation { from: [1.0, 0.0, -100.0, 0.0, 1.0, 1e9], ..STILL };
        assert_eq!(applied(far, &image, 3, 3), [0.0; 9]);
    }

    #[test]
    fn half_a_pixel_is_the_mean_of_two() {
        let down = Variation { from: [1.0, 0.0, 0.0, 0.0, 1.0, -0.5], ..STILL };
        assert_eq!(applied(down, &[100, 200, 50, 0], 2, 2), [50.0, 100.0, 75.0, 100.0]);
    }

    #[test]
    fn a_quarter_turn_turns() {
        let turned = Augmentation { rotation: 90.0, ..Strength::None.into() };
        let variation = (0..).map(|row| turned.draw(0, 1, row)).find(|found| found.from[3] < -0.999).unwrap();
        let exact = Variation { from: variation.from.map(f32::round), ..STILL };
        // x' = y, y' = -x: a point comes from what is a quarter turn anticlockwise of it, as the image's y points down.
        assert_eq!(applied(exact, &[1, 2, 3, 4], 2, 2), [3.0, 1.0, 4.0, 2.0]);
    }

    #[test]
    fn strokes_go_towards_the_largest_or_smallest_neighbour() {
        let dot = [0, 0, 0, 0, 200, 0, 0, 0, 0];
        let bolder = Variation { stroke: 0.5, ..STILL };
        assert_eq!(applied(bolder, &dot, 3, 3), [0.0, 100.0, 0.0, 100.0, 200.0, 100.0, 0.0, 100.0, 0.0]);
        let thinner = Variation { stroke: -0.25, ..STILL };
        assert_eq!(applied(thinner, &dot, 3, 3), [0.0, 0.0, 0.0, 0.0, 150.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_map_back_undoes_scale_shear_rotation_and_shift() {
        let strong = Augmentation { shift: 2.0, rotation: 10.0, shear: 0.25, scale: 0.15, stroke: 0.0 };
        let variation = strong.draw(7, 3, 11);
        let uniform = |block: u32, word: usize| {
            f64::from(philox([11, 3, block, DOMAIN], 7)[word]) / f64::from(u32::MAX) * 2.0 - 1.0
        };
        let (sin, cos) = (10.0 * uniform(0, 2)).to_radians().sin_cos();
        for (x, y) in [(0.0, 0.0), (3.0, -5.0), (-13.5, 13.5)] {
            // Forward, step by step.
            let (scaled_x, scaled_y) = (x * (1.0 + 0.15 * uniform(1, 0)), y * (1.0 + 0.15 * uniform(1, 1)));
            let (sheared_x, sheared_y) = (scaled_x + 0.25 * uniform(0, 3) * scaled_y, scaled_y);
            let (turned_x, turned_y) = (cos * sheared_x - sin * sheared_y, sin * sheared_x + cos * sheared_y);
            let (to_x, to_y) = (turned_x + 2.0 * uniform(0, 0), turned_y + 2.0 * uniform(0, 1));
            let [a, b, x0, c, d, y0] = variation.from.map(f64::from);
            assert!((a * to_x + b * to_y + x0 - x).abs() < 1e-4, "x of {x}, {y}");
            assert!((c * to_x + d * to_y + y0 - y).abs() < 1e-4, "y of {x}, {y}");
        }
    }

    #[test]
    fn each_image_and_epoch_has_a_variation_of_its_own_within_the_strengths() {
        let strong: Augmentation = Strength::Strong.into();
        let mut strokes = Vec::new();
        for (epoch, row) in [(1, 0), (1, 1), (2, 0), (2, 1), (9, 500_000)] {
            let variation = strong.draw(5, epoch, row);
            assert_eq!(variation, strong.draw(5, epoch, row));
            assert!(variation.stroke.abs() <= 0.6);
            strokes.push(variation.stroke.to_bits());
        }
        strokes.sort_unstable();
        strokes.dedup();
        assert_eq!(strokes.len(), 5);
    }
}
