//! `report.html`: the report as one page for people. It needs no network and no script, and says all it says without the files
//! beside it.
//!
//! A section of the page is a file in `sections/`. The page is a function of what [`Material`] holds: the same material
//! gives the same bytes, so that what the clock said is on a page of its own, `timings.html`. The figures also come as
//! files in `figures/`, with their style within.
//!
//! Class and file names are other people's words. [`maud`] escapes all that it is given; what it is given unescaped are the
//! style sheets, which are our own.

mod notes;
mod picture;
mod sections;
mod svg;
mod text;
mod timings;

use std::io::Write as _;
use std::path::Path;

use artifacts::SplitName;
use files::StagedDirectory;
use image::ImageError;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ndarray::{Array2, Array3};

use crate::error::Error;
use crate::report::{Report, Timings};
use svg::Figure;

/// The page's file name.
pub const PAGE: &str = "report.html";
/// The file name of what the clock said.
pub const TIMINGS_PAGE: &str = "timings.html";
/// The folder of the figures.
pub const FIGURES: &str = "figures";
/// The figure that every report has.
const CONFUSION: &str = "confusion-counts.svg";

/// What the page is made of.
pub struct Material<'a> {
    /// The numbers.
    pub report: &'a Report,
    /// The pixels of an image by its split and row, `[H, W]`, row-major.
    pub image: &'a dyn Fn(SplitName, usize) -> Option<&'a [u8]>,
    /// The first layer's weights, `[units, H · W]`.
    pub first_layer: &'a Array2<f32>,
    /// The saliency maps, `[classes, H, W]`.
    pub saliency: &'a Array3<f32>,
}

/// A folder for the figures of a report in `folder`.
///
/// # Errors
/// When something else is in their place.
pub fn stage_figures(folder: &Path) -> files::Result<StagedDirectory> {
    StagedDirectory::replacing(&folder.join(FIGURES), CONFUSION, |name| name.ends_with(".svg"))
}

/// Writes `report.html`, `timings.html` and the folder of figures.
///
/// # Errors
/// When a file cannot be written, or an image has not the size that the model takes.
pub fn write(folder: &Path, staged: StagedDirectory, material: &Material<'_>, timings: &Timings) -> Result<(), Error> {
    let (page, figures) = render(material).map_err(|source| Error::Picture { source })?;
    for (name, content) in figures {
        files::write_file(&staged.path().join(name), |writer| writer.write_all(content.as_bytes()))?;
    }
    staged.commit()?;
    let clock = timings::page(timings);
    files::write_file(&folder.join(TIMINGS_PAGE), |writer| writer.write_all(clock.as_bytes()))?;
    files::write_file(&folder.join(PAGE), |writer| writer.write_all(page.as_bytes()))?;
    Ok(())
}

/// The page, and the figures' files by name.
fn render(material: &Material<'_>) -> Result<(String, Vec<(String, String)>), ImageError> {
    let mut figures = Figures::default();
    let sections = sections::all(material, &mut figures)?;
    let report = material.report;
    let title = format!("{}: a report on a classifier", report.dataset);
    let body = html! {
        header {
            p.overline { "Report on a classifier" }
            h1 { (sections::verdict::title(report)) }
            p.verdict { (sections::verdict::verdict(report)) }
            p.meta { (sections::verdict::meta(report)) }
        }
        div.columns {
            nav aria-label="Contents" {
                ol {
                    @for (section, number) in sections.iter().zip(1..) {
                        li { a href={ "#" (section.name) } { span.number { (number) } (section.title) } }
                    }
                }
            }
            main {
                @for (section, number) in sections.iter().zip(1..) {
                    section id=(section.name) {
                        h2 { span.number { (number) } (section.title) }
                        (section.body)
                    }
                }
            }
        }
    };
    let files = figures.0.iter().map(|figure| (figure.file_name(), figure.file()));
    Ok((document(&title, &body), files.collect()))
}

/// A whole page around `body`.
fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(svg::STYLE)) (PreEscaped(include_str!("page.css"))) }
            }
            body { (body) }
        }
    };
    text::printable(&format!("{}\n", page.into_string()))
}

/// The figures that were shown.
#[derive(Debug, Default)]
struct Figures(Vec<Figure>);

impl Figures {
    /// Shows a figure in the page, and keeps it for its file.
    fn show(&mut self, figure: Figure, caption: &Markup) -> Markup {
        let markup = figure.in_page(caption);
        self.0.push(figure);
        markup
    }
}
