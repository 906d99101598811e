//! One letter of one font as an image.

use ttf_parser::{Face, OutlineBuilder};

use super::raster::{Point, Raster, shrink};

/// Glyphs are drawn this many times larger and then shrunk.
const OVERSAMPLING: usize = 8;
/// Straight pieces that a curve is drawn as: at 224 pixels an edge is off by less than a twentieth of one.
const PIECES: u32 = 16;

/// Draws `letter`, stretched so that its bounding box fills the image: `[size, size]`, white (255) on black.
/// `None` where the font has no glyph for it, or one without an area.
pub fn draw(face: &Face<'_>, letter: char, size: usize) -> Option<Vec<u8>> {
    let glyph = face.glyph_index(letter).filter(|glyph| glyph.0 != 0)?;
    let mut outline = Outline::default();
    face.outline_glyph(glyph, &mut outline)?;
    outline.close();
    let wide = size * OVERSAMPLING;
    let fitted = outline.stretched_to(wide as f64)?;
    let mut raster = Raster::new(wide);
    for contour in &fitted {
        for (index, &point) in contour.iter().enumerate() {
            raster.line(point, contour[(index + 1) % contour.len()]);
        }
    }
    Some(shrink(&raster.coverage(), size, OVERSAMPLING))
}

/// Closed contours of straight pieces, in the font's units, y upwards.
#[derive(Debug, Default)]
struct Outline {
    contours: Vec<Vec<Point>>,
    current: Vec<Point>,
}

impl Outline {
    /// The contours moved and stretched so that they touch all four edges of a square; y downwards.
    fn stretched_to(&self, side: f64) -> Option<Vec<Vec<Point>>> {
        let points = || self.contours.iter().flatten();
        let range = |of: fn(&Point) -> f64| {
            points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ((left, right), (bottom, top)) = (range(|point| point.x), range(|point| point.y));
        let (width, height) = (right - left, top - bottom);
        if !(width > 0.0 && height > 0.0 && width.is_finite() && height.is_finite()) {
            return None;
        }
        let fit = |point: &Point| Point {
            x: ((point.x - left) / width * side).clamp(0.0, side),
            y: ((top - point.y) / height * side).clamp(0.0, side),
        };
        Some(self.contours.iter().map(|contour| contour.iter().map(fit).collect()).collect())
    }

    fn last(&self) -> Point {
        self.current.last().copied().unwrap_or(Point { x: 0.0, y: 0.0 })
    }

    /// Adds a curve from the last point as straight pieces; `at` gives its points for 0 to 1.
    fn curve(&mut self, at: impl Fn(f64) -> Point) {
        self.current.extend((1..=PIECES).map(|piece| at(f64::from(piece) / f64::from(PIECES))));
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.close();
        self.current.push(point(x, y));
    }

    fn line_to(&mut self, x: f32, y: f32) {
        self.current.push(point(x, y));
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (start, control, end) = (self.last(), point(x1, y1), point(x, y));
        self.curve(|t| mix(mix(start, control, t), mix(control, end, t), t));
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (start, first, second, end) = (self.last(), point(x1, y1), point(x2, y2), point(x, y));
        self.curve(|t| {
            let middle = mix(first, second, t);
            mix(mix(mix(start, first, t), middle, t), mix(middle, mix(second, end, t), t), t)
        });
    }

    fn close(&mut self) {
        let contour = std::mem::take(&mut self.current);
        if contour.len() > 2 {
            self.contours.push(contour);
        }
    }
}

fn point(x: f32, y: f32) -> Point {
    Point { x: f64::from(x), y: f64::from(y) }
}

fn mix(from: Point, to: Point, t: f64) -> Point {
    Point { x: from.x + (to.x - from.x) * t, y: from.y + (to.y - from.y) * t }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_stretched_to_the_edges_whatever_its_proportions() {
        let mut outline = Outline::default();
        outline.move_to(-100.0, 50.0);
        outline.line_to(-100.0, 850.0);
        outline.line_to(-90.0, 50.0);
        outline.close();
        let fitted = outline.stretched_to(224.0).unwrap();
        assert_eq!(fitted, [[(0.0, 224.0), (0.0, 0.0), (224.0, 224.0)].map(|(x, y)| Point { x, y })]);
    }

    #[test]
    fn a_shape_without_an_area_is_none() {
        let mut outline = Outline::default();
        assert_eq!(outline.stretched_to(224.0), None);
        outline.move_to(0.0, 0.0);
        outline.line_to(10.0, 0.0);
        outline.line_to(20.0, 0.0);
        outline.close();
        assert_eq!(outline.stretched_to(224.0), None);
    }

    #[test]
    fn a_curve_passes_where_its_formula_says() {
        let mut outline = Outline::default();
        outline.move_to(0.0, 0.0);
        outline.quad_to(8.0, 8.0, 16.0, 0.0);
        // Half-way a quadratic curve is at a quarter of the ends and half of the control point.
        assert_eq!(outline.current[8], Point { x: 8.0, y: 4.0 });
        outline.curve_to(16.0, 8.0, 0.0, 8.0, 0.0, 0.0);
        // A cubic one at an eighth of the ends and three eighths of each control point.
        assert_eq!(outline.current[24], Point { x: 8.0, y: 6.0 });
    }
}
