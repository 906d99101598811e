//! The page's sections, a file each.

mod bayes;
mod by_class;
mod calibration;
mod comparison;
mod failures;
mod images;
mod learned;
mod making;
mod overall;
pub(super) mod verdict;

use image::ImageError;
use maud::{Markup, html};

use super::notes::Note;
use super::{Figures, Material};
use crate::report::Report;

/// A section under its heading.
pub(super) struct Section {
    /// Its name in the page's address.
    pub name: &'static str,
    pub title: &'static str,
    pub body: Markup,
}

/// All of them; the comparison is there where another report was named.
pub(super) fn all(material: &Material<'_>, figures: &mut Figures) -> Result<Vec<Section>, ImageError> {
    let report = material.report;
    let mut sections = Vec::new();
    let mut add = |name, title, body| sections.push(Section { name, title, body });
    add("how-good", "How good", overall::section(report, figures));
    add("by-class", "By class", by_class::section(report, figures));
    add("by-bayes", "By Bayes", bayes::section(report, figures));
    add("how-sure", "How sure", calibration::section(report, figures));
    add("where-it-fails", "Where it fails", failures::section(material)?);
    add("what-it-learned", "What it learned", learned::section(material, figures)?);
    add("how-it-was-made", "How it was made", making::section(report, figures));
    if let Some(comparison) = &report.comparison {
        add("against-another", "Against another", comparison::section(material, comparison)?);
    }
    if !report.undefined.is_empty() {
        add("undefined", "What is undefined", undefined(report));
    }
    add("notes", "Formulas and sources", Note::list());
    Ok(sections)
}

/// Why figures are missing.
fn undefined(report: &Report) -> Markup {
    html! {
        p { "Figures that are not here, each with its reason. One whose denominator is zero is left out of averages, but for the
             precision of a class that has images and is never said, which counts as 0." }
        (table("Figures that do not exist", &["figure", "why"], html! {
            @for undefined in &report.undefined {
                tr { th scope="row" { code { (undefined.figure) } } td { (undefined.reason) } }
            }
        }, "words"))
    }
}

/// A table in a box of its own, which scrolls where the screen is narrow. The first cell of each row is its heading.
fn table(label: &str, columns: &[&str], rows: Markup, class: &str) -> Markup {
    table_with_heads(label, html! { @for column in columns { th scope="col" { (column) } } }, rows, class)
}

/// The same, with headings that are more than words.
fn table_with_heads(label: &str, heads: Markup, rows: Markup, class: &str) -> Markup {
    html! {
        div.table.scroll tabindex="0" role="group" aria-label=(label) {
            table class=(class) {
                thead { tr { (heads) } }
                tbody { (rows) }
            }
        }
    }
}

impl Report {
    /// Why a figure is undefined, by its path.
    fn reason(&self, figure: &str) -> Option<&str> {
        self.undefined.iter().find(|undefined| undefined.figure == figure).map(|undefined| undefined.reason.as_str())
    }
}
