//! Outlines to grey images, to the same bytes on every machine.
//!
//! Coverage is computed exactly, in `f64` and with nothing but the four operations and `floor`, which IEEE 754 defines to
//! the bit. (A rasteriser that picks its instructions by the processor rounds differently from one to the next.) The
//! method is the signed-area accumulation of font-rs: each edge adds the area that it covers to the right of itself, and
//! the sum from the left is the coverage.

/// A point in pixels, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// From the left edge.
    pub x: f64,
    /// From the top edge.
    pub y: f64,
}

/// An accumulation buffer of `size` by `size` pixels.
#[derive(Debug)]
pub struct Raster {
    size: usize,
    /// `[size, size + 2]`: an edge on the right border writes up to two cells past the last pixel.
    cells: Vec<f64>,
}

impl Raster {
    /// An empty one.
    pub fn new(size: usize) -> Self {
        Self { size, cells: vec![0.0; size * (size + 2)] }
    }

    /// Adds an edge; the edges of a shape form closed contours. Both ends lie within the raster.
    pub fn line(&mut self, from: Point, to: Point) {
        if from.y == to.y {
            return;
        }
        let (direction, top, bottom) = if from.y < to.y { (1.0, from, to) } else { (-1.0, to, from) };
        let slope = (bottom.x - top.x) / (bottom.y - top.y);
        let mut x = top.x;
        let last_row = (bottom.y.ceil() as usize).min(self.size);
        for row in top.y as usize..last_row {
            let height = bottom.y.min((row + 1) as f64) - top.y.max(row as f64);
            let next = (x + slope * height).clamp(0.0, self.size as f64);
            self.add(row, x.min(next), x.max(next), height * direction);
            x = next;
        }
    }

    /// Adds an edge's part within one row, from `left` to `right`; `area` is its height times its direction.
    fn add(&mut self, row: usize, left: f64, right: f64, area: f64) {
        let width = self.size + 2;
        let cells = &mut self.cells[row * width..(row + 1) * width];
        let first = left.floor();
        let index = first as usize;
        let cells_crossed = (right.ceil() - first) as usize;
        if cells_crossed <= 1 {
            let middle = 0.5 * (left + right) - first;
            cells[index] += area * (1.0 - middle);
            cells[index + 1] += area * middle;
            return;
        }
        // What lies to the right of the edge in each cell, as shares of `area`: a triangle in the first and in the last
        // cell, trapezia between them. The buffer holds differences.
        let per_cell = 1.0 / (right - left);
        let into_first = left - first;
        let into_last = right - right.ceil() + 1.0;
        let triangle = 0.5 * per_cell * (1.0 - into_first) * (1.0 - into_first);
        let final_triangle = 0.5 * per_cell * into_last * into_last;
        cells[index] += area * triangle;
        if cells_crossed == 2 {
            cells[index + 1] += area * (1.0 - triangle - final_triangle);
        } else {
            let second = per_cell * (1.5 - into_first);
            cells[index + 1] += area * (second - triangle);
            for cell in &mut cells[index + 2..index + cells_crossed - 1] {
                *cell += area * per_cell;
            }
            let before_last = second + (cells_crossed - 3) as f64 * per_cell;
            cells[index + cells_crossed - 1] += area * (1.0 - before_last - final_triangle);
        }
        cells[index + cells_crossed] += area * final_triangle;
    }

    /// The coverage of each pixel from 0 to 255, `[size, size]`. Where contours overlap it is 255.
    pub fn coverage(&self) -> Vec<u8> {
        let mut pixels = Vec::with_capacity(self.size * self.size);
        for row in self.cells.chunks_exact(self.size + 2) {
            let mut sum = 0.0_f64;
            for cell in &row[..self.size] {
                sum += cell;
                pixels.push((sum.abs().min(1.0) * 255.0 + 0.5) as u8);
            }
        }
        pixels
    }
}

/// Shrinks a square image `factor` times with Lanczos' filter of three lobes, the one that notMNIST's faint rings about
/// its edges come from. `pixels` is `[factor * size, factor * size]`, the result `[size, size]`.
///
/// The weights are rounded to integers first, so the last bit of `sin`, which differs between systems, is not seen.
pub fn shrink(pixels: &[u8], size: usize, factor: usize) -> Vec<u8> {
    let weights = lanczos_weights(size, factor);
    let wide = size * factor;
    // Columns first, then rows; as a transposed image each time, so the same code does both.
    let half = shrink_rows(pixels, wide, wide, &weights);
    shrink_rows(&half, wide, size, &weights)
}

/// Where a weighted sum starts, and its weights, which sum to [`ONE`].
type Weights = Vec<(usize, Vec<i64>)>;

const ONE: i64 = 1 << 22;

fn lanczos_weights(size: usize, factor: usize) -> Weights {
    const LOBES: usize = 3;
    let wide = size * factor;
    let lanczos = |x: f64| {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) };
        if x.abs() < LOBES as f64 { sinc(x) * sinc(x / LOBES as f64) } else { 0.0 }
    };
    let of_pixel = |pixel: usize| {
        let centre = pixel * factor + factor / 2;
        let start = centre.saturating_sub(LOBES * factor);
        let end = (centre + LOBES * factor).min(wide);
        let weights: Vec<f64> =
            (start..end).map(|at| lanczos((at as f64 + 0.5 - centre as f64) / factor as f64)).collect();
        let sum: f64 = weights.iter().sum();
        let mut weights: Vec<i64> = weights.iter().map(|weight| (weight / sum * ONE as f64).round() as i64).collect();
        let surplus = weights.iter().sum::<i64>() - ONE;
        weights[centre - start] -= surplus;
        (start, weights)
    };
    (0..size).map(of_pixel).collect()
}

/// Shrinks each of `rows` rows of `width` pixels to `weights.len()` pixels; the result is transposed.
fn shrink_rows(pixels: &[u8], width: usize, rows: usize, weights: &Weights) -> Vec<u8> {
    let mut shrunk = vec![0; weights.len() * rows];
    for (index, row) in pixels.chunks_exact(width).enumerate() {
        for (pixel, (start, weights)) in weights.iter().enumerate() {
            let sum: i64 = row[*start..].iter().zip(weights).map(|(&value, weight)| i64::from(value) * weight).sum();
            shrunk[pixel * rows + index] = ((sum + ONE / 2) >> 22).clamp(0, 255) as u8;
        }
    }
    shrunk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(size: usize, points: &[(f64, f64)]) -> Vec<u8> {
        let mut raster = Raster::new(size);
        let points: Vec<_> = points.iter().map(|&(x, y)| Point { x, y }).collect();
        for (index, &point) in points.iter().enumerate() {
            raster.line(point, points[(index + 1) % points.len()]);
        }
        raster.coverage()
    }

    #[test]
    fn a_pixel_s_value_is_the_share_of_it_that_the_shape_covers() {
        // A square from (0.5, 1) to (2, 2.75): the shares are products of lengths.
        let covered = polygon(3, &[(0.5, 1.0), (2.0, 1.0), (2.0, 2.75), (0.5, 2.75)]);
        assert_eq!(covered, [0, 0, 0, 128, 255, 0, 96, 191, 0]);
        // The triangle under the diagonal of a 2x2 square: halves on the diagonal.
        assert_eq!(polygon(2, &[(0.0, 0.0), (2.0, 2.0), (0.0, 2.0)]), [128, 0, 255, 128]);
        // Under a line of slope 1/4: trapezia of 1/8, 3/8, 5/8 and 7/8.
        let flat = polygon(4, &[(0.0, 1.0), (4.0, 0.0), (4.0, 1.0)]);
        assert_eq!(flat[..4], [32, 96, 159, 223]);
    }

    #[test]
    fn the_sum_of_the_coverage_is_the_area_whichever_way_round() {
        let mut points = vec![(0.3, 9.1), (15.9, 0.2), (11.7, 14.4), (3.2, 15.8)];
        let shoelace: f64 = (0..4)
            .map(|i| points[i].0 * points[(i + 1) % 4].1 - points[(i + 1) % 4].0 * points[i].1)
            .sum::<f64>()
            .abs()
            / 2.0;
        let sum = |pixels: &[u8]| pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / 255.0;
        let clockwise = polygon(16, &points);
        points.reverse();
        assert_eq!(polygon(16, &points), clockwise);
        assert!((sum(&clockwise) - shoelace).abs() < 0.1, "{} {shoelace}", sum(&clockwise));
    }

    #[test]
    fn overlapping_contours_are_covered_once() {
        let mut raster = Raster::new(2);
        for _ in 0..2 {
            raster.line(Point { x: 0.0, y: 0.0 }, Point { x: 0.0, y: 2.0 });
            raster.line(Point { x: 2.0, y: 2.0 }, Point { x: 2.0, y: 0.0 });
        }
        assert_eq!(raster.coverage(), [255; 4]);
    }

    #[test]
    fn shrinking_keeps_a_flat_image_and_rings_beside_an_edge() {
        assert_eq!(shrink(&[77; 64 * 64], 8, 8), [77; 64]);
        let edge: Vec<u8> = (0..64 * 64).map(|index| if index % 64 < 32 { 0 } else { 255 }).collect();
        // Pillow 13.0: Image.fromarray(edge).resize((8, 8), Image.LANCZOS), any row.
        assert_eq!(shrink(&edge, 8, 8)[..8], [0, 1, 0, 17, 238, 255, 254, 255]);
    }
}
