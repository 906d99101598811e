//! Small drawings of one kind, side by side under their names.

use maud::{Markup, html};

use super::axes::Axes;
use super::{px, short};

const MOST_COLUMNS: usize = 5;
const WIDTH: f64 = 150.0;
const HEIGHT: f64 = 132.0;
/// Left of all, for the label along y.
const LEFT: f64 = 50.0;
/// Below all, for the label along x.
const BOTTOM: f64 = 26.0;

/// A drawing of panels, with its size.
#[derive(Debug)]
pub(crate) struct Panels {
    pub width: f64,
    pub height: f64,
    pub drawing: Markup,
}

impl Panels {
    /// One of these `names` each, between axes at the given place along x and y, whose labels stand once for all. What is drawn
    /// is nothing where there is nothing to draw.
    pub fn new(
        names: &[&str],
        [x_label, y_label]: [&str; 2],
        axes: impl Fn([f64; 2], [f64; 2]) -> Axes,
        draw: impl Fn(usize, &Axes) -> Option<Markup>,
    ) -> Self {
        let columns = MOST_COLUMNS.min(names.len().max(1));
        let rows = names.len().div_ceil(columns);
        let (width, height) = (LEFT + columns as f64 * WIDTH, rows as f64 * HEIGHT + BOTTOM);
        let drawing = html! {
            @for (index, name) in names.iter().enumerate() {
                @let (left, top) = (LEFT + (index % columns) as f64 * WIDTH, (index / columns) as f64 * HEIGHT);
                @let (x, y) = ([left, left + WIDTH - 36.0], [top + 24.0, top + HEIGHT - 22.0]);
                @let axes = axes(x, y);
                text x=(px(x[0])) y=(px(y[0] - 9.0)) { (short(name)) }
                (axes.frame())
                @match draw(index, &axes) {
                    Some(drawing) => (drawing),
                    None => text.small x=(px(x[0] + 8.0)) y=(px(f64::midpoint(y[0], y[1]))) { "undefined" },
                }
            }
            text.label text-anchor="middle" x=(px(f64::midpoint(LEFT, width))) y=(px(height - 8.0)) { (x_label) }
            text.label text-anchor="middle" transform={ "translate(12 " (px((height - BOTTOM) / 2.0)) ") rotate(-90)" } { (y_label) }
        };
        Self { width, height, drawing }
    }
}
