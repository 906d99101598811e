//! Figures as SVG: a short layer of our own, so that their colours follow the page's scheme by style sheet variables, and
//! each has a title and a text alternative that a screen reader finds.

pub(crate) mod axes;
pub(crate) mod heat_map;
pub(crate) mod panels;
pub(crate) mod scale;
pub(crate) mod tiles;

use maud::{Markup, PreEscaped, html};

/// The style of figures, in the page and in files of their own.
pub(crate) const STYLE: &str = include_str!("figure.css");

/// The room that the title takes in a file of its own.
const TITLE_HEIGHT: f64 = 30.0;
const TITLE_SIZE: f64 = 14.0;

/// A drawing with its words.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Its file's name without the ending, and its name in the page: no two figures share it.
    pub name: String,
    pub title: String,
    /// What it shows, in a sentence or two, for those who cannot see it.
    pub description: String,
    pub width: f64,
    pub height: f64,
    pub drawing: Markup,
}

impl Figure {
    /// Its file's name.
    pub fn file_name(&self) -> String {
        format!("{}.svg", self.name)
    }

    /// The figure in the page, with a caption.
    pub fn in_page(&self, caption: &Markup) -> Markup {
        // On a small screen a drawing shrinks as far as its letters stay legible; a wider one scrolls in its own box.
        let size = format!("max-width:{:.0}px;min-width:{:.0}px", self.width * 1.25, self.width * 0.72);
        html! {
            figure id={ "figure-" (self.name) } {
                figcaption {
                    strong { (self.title) } " "
                    a.file href={ (super::FIGURES) "/" (self.file_name()) } download { "SVG" }
                }
                div.scroll tabindex="0" role="group" aria-label=(self.title) {
                    svg.figure viewBox={ "0 0 " (px(self.width)) " " (px(self.height)) } style=(size) role="img"
                        aria-labelledby={ (self.name) "-title" } aria-describedby={ (self.name) "-description" } {
                        title id={ (self.name) "-title" } { (self.title) }
                        desc id={ (self.name) "-description" } { (self.description) }
                        (self.drawing)
                    }
                }
                p.caption { (caption) }
            }
        }
    }

    /// The figure as a file of its own, with its title above it and its style within.
    pub fn file(&self) -> String {
        let height = self.height + TITLE_HEIGHT;
        // A title wider than the drawing is set smaller.
        let size = TITLE_SIZE.min(self.width / text_width(&self.title, 1.0));
        let markup = html! {
            svg.figure xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (px(self.width)) " " (px(height)) }
                width=(px(self.width)) height=(px(height)) role="img" aria-labelledby="title" aria-describedby="description" {
                title id="title" { (self.title) }
                desc id="description" { (self.description) }
                style { (PreEscaped(STYLE)) }
                text.title x="8" y="20" font-size=(px(size)) { (self.title) }
                g transform={ "translate(0 " (px(TITLE_HEIGHT)) ")" } { (self.drawing) }
            }
        };
        super::text::printable(&format!("{}\n", markup.into_string()))
    }
}

/// A coordinate with a tenth of a unit's precision.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// About how wide a text is in the figures' typeface.
pub(crate) fn text_width(text: &str, font_size: f64) -> f64 {
    text.chars().count() as f64 * font_size * 0.58
}

/// A name in a figure: a long one is cut.
pub(crate) fn short(name: &str) -> String {
    cut(name, 12)
}

/// The first of a name's characters, so that there are at most `most`.
pub(crate) fn cut(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 1.25, -0.04, 12.96].map(px), ["1", "1.2", "0", "13"]);
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!([cut("Äpfel", 5), cut("Äpfel", 4), cut("", 0)], ["Äpfel", "Äpf…", ""]);
    }

    #[test]
    fn a_figure_s_file_has_its_title_its_description_and_its_style_and_escapes_what_it_is_told() {
        let figure = Figure {
            name: "example".into(),
            title: "<script>".into(),
            description: "a & \u{1} b".into(),
            width: 100.0,
            height: 50.0,
            drawing: html! { rect {} },
        };
        let file = figure.file();
        assert!(file.starts_with(r#"<svg class="figure" xmlns="http://www.w3.org/2000/svg""#), "{file}");
        assert!(file.contains(r#"<title id="title">&lt;script&gt;</title>"#), "{file}");
        assert!(file.contains("a &amp; \u{fffd} b") && file.contains("prefers-color-scheme"), "{file}");
        assert!(!file.contains("<script"), "{file}");
    }
}
