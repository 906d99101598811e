//! A confusion matrix as a map: one row a true class, one column a predicted class.

use maud::{Markup, html};

use super::{Figure, px, short, text_width};

/// A map's cells.
pub(crate) struct HeatMap<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub description: String,
    pub classes: &'a [String],
    /// `[true][predicted]`, from 0 to 1: how much colour a cell gets.
    pub shades: Vec<Vec<f64>>,
    /// `[true][predicted]`: what stands in a cell that is large enough; nothing for 0.
    pub texts: Vec<Vec<String>>,
    /// What a pointer that rests on a cell is told, for the cells that are not 0.
    pub words: &'a dyn Fn(usize, usize) -> Option<String>,
}

impl HeatMap<'_> {
    /// The figure. Cells are of one size; where there are many classes, they hold no numbers.
    pub fn figure(self) -> Figure {
        let classes = self.classes.len();
        let side = (340.0 / classes as f64).clamp(14.0, 60.0);
        let names: Vec<String> = self.classes.iter().map(|class| short(class)).collect();
        let longest = names.iter().map(|name| text_width(name, 12.0)).fold(0.0, f64::max);
        let (left, top) = (longest + 34.0, if longest > side - 4.0 { longest + 34.0 } else { 40.0 });
        let field = side * classes as f64;
        let drawing = html! {
            (Self::names(&names, [left, top], side, longest))
            rect.field x=(px(left)) y=(px(top)) width=(px(field)) height=(px(field)) {}
            @for row in 0..classes {
                @for column in 0..classes {
                    (self.cell(row, column, [left, top], side))
                }
            }
        };
        Figure {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            description: self.description,
            width: left + field + 10.0,
            height: top + field + 10.0,
            drawing,
        }
    }

    fn names(names: &[String], [left, top]: [f64; 2], side: f64, longest: f64) -> Markup {
        let half = side * names.len() as f64 / 2.0;
        let is_turned = longest > side - 4.0;
        html! {
            text.label text-anchor="middle" x=(px(left + half)) y="14" { "predicted class" }
            text.label text-anchor="middle" transform={ "translate(14 " (px(top + half)) ") rotate(-90)" } { "true class" }
            @for (name, index) in names.iter().zip(0_u32..) {
                @let centre = (f64::from(index) + 0.5) * side;
                text.tick text-anchor="end" x=(px(left - 6.0)) y=(px(top + centre + 4.0)) { (name) }
                @if is_turned {
                    text.tick transform={ "translate(" (px(left + centre + 4.0)) " " (px(top - 6.0)) ") rotate(-90)" } { (name) }
                } @else {
                    text.tick text-anchor="middle" x=(px(left + centre)) y=(px(top - 6.0)) { (name) }
                }
            }
        }
    }

    fn cell(&self, row: usize, column: usize, [left, top]: [f64; 2], side: f64) -> Markup {
        let Some(words) = (self.words)(row, column) else { return Markup::default() };
        let (x, y) = (left + column as f64 * side, top + row as f64 * side);
        let shade = self.shades[row][column].clamp(0.06, 1.0);
        let text = &self.texts[row][column];
        let size = (side * 0.36).min(14.0).min(side * 0.9 / text_width(text, 1.0).max(1.0));
        html! {
            rect.hit[row == column].miss[row != column] x=(px(x + 0.5)) y=(px(y + 0.5)) width=(px(side - 1.0))
                height=(px(side - 1.0)) fill-opacity=(format!("{shade:.3}")) { title { (words) } }
            @if side >= 24.0 {
                text.cell.inverse[shade > 0.6] text-anchor="middle" x=(px(x + side / 2.0))
                    y=(px(y + side / 2.0 + size * 0.36)) font-size=(px(size)) { (text) }
            }
        }
    }
}
