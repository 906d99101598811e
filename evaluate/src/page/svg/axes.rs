//! A pair of axes, and what is drawn between them.

use maud::{Markup, html};

use super::scale::{Scale, tick_labels, ticks};
use super::{px, text_width};

const FONT_SIZE: f64 = 12.0;
/// From an axis to the text of its ticks.
const GAP: f64 = 7.0;

/// An axis: its words, its values, and those that it names.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    label: String,
    domain: [f64; 2],
    ticks: Vec<(f64, String)>,
    is_logarithmic: bool,
}

impl Axis {
    /// From `low` to `high`, with room up to round values on both sides.
    pub fn linear(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let ticks = ticks(low, high, count);
        let domain = [ticks[0], ticks[ticks.len() - 1]];
        let labels = tick_labels(&ticks);
        Self { label: label.into(), domain, ticks: ticks.into_iter().zip(labels).collect(), is_logarithmic: false }
    }

    /// Shares from `low` to `high`, in per cent.
    pub fn percent(label: impl Into<String>, low: f64, high: f64, count: usize) -> Self {
        let mut axis = Self::linear(label, low * 100.0, high * 100.0, count);
        axis.ticks.retain(|(value, _)| (-1e-9..=100.0 + 1e-9).contains(value));
        for (value, _) in &mut axis.ticks {
            *value /= 100.0;
        }
        axis.domain = axis.domain.map(|end| (end / 100.0).clamp(0.0, 1.0));
        axis
    }

    /// Shares from `low` to `high`, in per cent, by their logarithm, with the powers of ten named.
    pub fn rates(low: f64, high: f64) -> Self {
        let named = [(1e-5, "0.001"), (1e-4, "0.01"), (1e-3, "0.1"), (0.01, "1"), (0.1, "10"), (1.0, "100")];
        let within = named.into_iter().filter(|(value, _)| (low..=high).contains(value));
        let ticks = within.map(|(value, text)| (value, text.to_owned())).collect();
        Self { label: String::new(), domain: [low, high], ticks, is_logarithmic: true }
    }

    fn scale(&self, range: [f64; 2]) -> Scale {
        if self.is_logarithmic { Scale::logarithmic(self.domain, range) } else { Scale::linear(self.domain, range) }
    }

    fn widest_tick(&self) -> f64 {
        self.ticks.iter().map(|(_, text)| text_width(text, FONT_SIZE)).fold(0.0, f64::max)
    }
}

/// Two axes around a field.
#[derive(Debug, Clone)]
pub(crate) struct Axes {
    x: Axis,
    y: Axis,
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
    pub x_scale: Scale,
    pub y_scale: Scale,
}

impl Axes {
    /// In a drawing of this size from `top` on, with room for all words.
    pub fn new([width, height]: [f64; 2], top: f64, x: Axis, y: Axis) -> Self {
        let left = y.widest_tick() + GAP + if y.label.is_empty() { 4.0 } else { 24.0 };
        let (right, bottom) = (width - 14.0, height - 42.0);
        Self::within([left, right], [top, bottom], x, y)
    }

    /// Around the field between these places, whose surroundings are the caller's.
    pub fn within([left, right]: [f64; 2], [top, bottom]: [f64; 2], x: Axis, y: Axis) -> Self {
        let (x_scale, y_scale) = (x.scale([left, right]), y.scale([bottom, top]));
        Self { x, y, left, top, right, bottom, x_scale, y_scale }
    }

    /// Grid lines, axes, ticks and labels.
    pub fn frame(&self) -> Markup {
        let (centre, middle) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        let label_x = (self.left - self.y.widest_tick() - GAP - 11.0).max(11.0);
        html! {
            g.grid {
                @for (value, _) in &self.y.ticks {
                    @let y = px(self.y_scale.at(*value));
                    line x1=(px(self.left)) x2=(px(self.right)) y1=(y) y2=(y) {}
                }
            }
            line.axis x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.bottom)) y2=(px(self.bottom)) {}
            g.ticks text-anchor="middle" {
                @for (value, text) in &self.x.ticks {
                    @let x = px(self.x_scale.at(*value));
                    line.axis x1=(x) x2=(x) y1=(px(self.bottom)) y2=(px(self.bottom + 4.0)) {}
                    text x=(x) y=(px(self.bottom + 17.0)) { (text) }
                }
            }
            g.ticks text-anchor="end" {
                @for (value, text) in &self.y.ticks {
                    text x=(px(self.left - GAP)) y=(px(self.y_scale.at(*value) + 4.0)) { (text) }
                }
            }
            @if !self.x.label.is_empty() {
                text.label text-anchor="middle" x=(px(centre)) y=(px(self.bottom + 35.0)) { (self.x.label) }
            }
            @if !self.y.label.is_empty() {
                text.label text-anchor="middle"
                    transform={ "translate(" (px(label_x)) " " (px(middle)) ") rotate(-90)" } { (self.y.label) }
            }
        }
    }

    /// A line through points, in the style of a class. Where a point has no value, the line is broken.
    pub fn line(&self, class: &str, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Markup {
        let mut path = String::new();
        let mut command = 'M';
        for (x, y) in points {
            match y {
                Some(y) => {
                    path += &format!("{command}{} {}", px(self.x_scale.at(x)), px(self.y_scale.at(y)));
                    command = 'L';
                }
                None => command = 'M',
            }
        }
        html! { path class={ "line " (class) } d=(path) {} }
    }

    /// The area between two lines.
    pub fn band(&self, class: &str, points: &[(f64, [f64; 2])]) -> Markup {
        let place = |x: f64, y: f64| format!("{} {}", px(self.x_scale.at(x)), px(self.y_scale.at(y)));
        let above = points.iter().map(|&(x, [_, high])| place(x, high));
        let below = points.iter().rev().map(|&(x, [low, _])| place(x, low));
        let path = above.chain(below).collect::<Vec<_>>().join("L");
        html! { @if !points.is_empty() { path class={ "band " (class) } d={ "M" (path) "Z" } {} } }
    }

    /// A point, with words that show where a pointer rests on it.
    pub fn point(&self, class: &str, x: f64, y: f64, words: &str) -> Markup {
        html! {
            circle class={ "point " (class) } cx=(px(self.x_scale.at(x))) cy=(px(self.y_scale.at(y))) r="3.5" {
                title { (words) }
            }
        }
    }

    /// A level line from `x[0]` to `x[1]`.
    pub fn level(&self, class: &str, x: [f64; 2], y: f64, words: &str) -> Markup {
        let [left, right] = x.map(|x| px(self.x_scale.at(x)));
        html! {
            path class={ "line whisker level " (class) } d={ "M" (left) " " (px(self.y_scale.at(y))) "H" (right) } {
                title { (words) }
            }
        }
    }

    /// An upright line: the interval of what is drawn there.
    pub fn upright(&self, x: f64, ends: [f64; 2]) -> Markup {
        let [low, high] = ends.map(|end| px(self.y_scale.at(end)));
        html! { path.line.interval d={ "M" (px(self.x_scale.at(x))) " " (low) "V" (high) } {} }
    }

    /// A bar that stands on the axis, from `x[0]` to `x[1]`, up to `y`.
    pub fn bar(&self, class: &str, x: [f64; 2], y: f64, words: &str) -> Markup {
        let [left, right] = x.map(|x| self.x_scale.at(x));
        let top = self.y_scale.at(y);
        html! {
            rect class={ "bar " (class) } x=(px(left + 1.0)) width=(px((right - left - 2.0).max(1.0)))
                y=(px(top)) height=(px(self.bottom - top)) { title { (words) } }
        }
    }

    /// The axis along x alone, with grid lines up to the top: for rows of names.
    pub fn x_axis(&self) -> Markup {
        let centre = (self.left + self.right) / 2.0;
        html! {
            g.grid {
                @for (value, _) in &self.x.ticks {
                    @let x = px(self.x_scale.at(*value));
                    line x1=(x) x2=(x) y1=(px(self.top)) y2=(px(self.bottom)) {}
                }
            }
            line.axis x1=(px(self.left)) x2=(px(self.right)) y1=(px(self.bottom)) y2=(px(self.bottom)) {}
            g.ticks text-anchor="middle" {
                @for (value, text) in &self.x.ticks {
                    text x=(px(self.x_scale.at(*value))) y=(px(self.bottom + 17.0)) { (text) }
                }
            }
            text.label text-anchor="middle" x=(px(centre)) y=(px(self.bottom + 35.0)) { (self.x.label) }
        }
    }

    /// A point with the line of its interval, at a height of the drawing's own.
    pub fn whisker(&self, class: &str, ends: [f64; 2], value: f64, y: f64, words: &str) -> Markup {
        let [low, high] = ends.map(|end| px(self.x_scale.at(end)));
        html! {
            g {
                title { (words) }
                path class={ "line whisker " (class) } d={ "M" (low) " " (px(y)) "H" (high) } {}
                circle class={ "point " (class) } cx=(px(self.x_scale.at(value))) cy=(px(y)) r="3.5" {}
            }
        }
    }
}

/// The names of what is drawn, side by side from `x` on. Each has the class of its line or point.
pub(crate) fn legend(x: f64, y: f64, entries: &[(&str, &str)]) -> Markup {
    let starts = entries.iter().scan(x, |next, (_, name)| {
        let start = *next;
        *next += 24.0 + text_width(name, FONT_SIZE) + 14.0;
        Some(start)
    });
    html! {
        g.legend {
            @for (start, (class, name)) in starts.zip(entries) {
                path class={ "line " (class) } d={ "M" (px(start)) " " (px(y)) "h18" } {}
                text x=(px(start + 24.0)) y=(px(y + 4.0)) { (name) }
            }
        }
    }
}
