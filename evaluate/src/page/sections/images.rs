//! Images with what is known of them.

use artifacts::SplitName;
use image::ImageError;
use maud::{Markup, html};

use crate::page::Material;
use crate::page::picture;
use crate::page::text::{per_cent, percentage};
use crate::report::ImageRecord;

/// How many classes' probabilities an image shows, at least its label's and its prediction's.
const PROBABILITIES: usize = 3;

/// An image in the page.
pub(super) fn image(material: &Material<'_>, split: SplitName, row: usize, words: &str) -> Result<Markup, ImageError> {
    let model = &material.report.model;
    let Some(pixels) = (material.image)(split, row) else {
        return Ok(html! { p.note { "This image is not at hand." } });
    };
    let address = picture::grey(pixels, [model.height, model.width])?;
    Ok(html! {
        img.pixels src=(address) alt=(words) title=(words) width=(model.width) height=(model.height) loading="lazy";
    })
}

/// A gallery's item around a picture: the answer, then what else is to say, then where the image comes from.
pub(super) fn item(picture: &Markup, answer: &Markup, details: &Markup, font: Option<&str>, file: &str) -> Markup {
    html! {
        li {
            (picture)
            span.answer { (answer) }
            (details)
            @if let Some(font) = font { span { (font) } }
            span.file-name { (file) }
        }
    }
}

/// How many images are seen at once where there are more than [`MOST`]; the others are folded away.
const FIRST: usize = 18;
/// The most that are seen at once.
const MOST: usize = 24;

/// Items side by side.
pub(super) fn gallery(items: &[Markup]) -> Markup {
    let (first, others) = items.split_at(if items.len() > MOST { FIRST } else { items.len() });
    html! {
        @if !first.is_empty() { ul.gallery { @for item in first { (item) } } }
        @if !others.is_empty() {
            details {
                summary { (others.len()) " more" }
                ul.gallery { @for item in others { (item) } }
            }
        }
    }
}

/// Images of the split that is judged, with what the model says of them.
pub(super) fn records(material: &Material<'_>, records: &[ImageRecord]) -> Result<Markup, ImageError> {
    let items = records.iter().map(|image| record(material, None, image)).collect::<Result<Vec<_>, _>>()?;
    Ok(gallery(&items))
}

/// One of them, perhaps under a title.
pub(super) fn record(material: &Material<'_>, title: Option<&str>, record: &ImageRecord) -> Result<Markup, ImageError> {
    let words =
        format!("labelled {}, taken for {} with {}", record.label, record.prediction, percentage(record.confidence));
    let picture = image(material, material.report.split, record.row, &words)?;
    let picture = html! { @if let Some(title) = title { span.title { (title) } } (picture) };
    let answer = html! {
        (record.label) @if record.label != record.prediction { " → " (record.prediction) }
    };
    let details = probabilities(&material.report.model.classes, record);
    Ok(item(&picture, &answer, &details, record.font.as_deref(), &record.file))
}

/// The most probable classes and the label, as bars: blue for the label, orange for a wrong answer.
fn probabilities(classes: &[String], record: &ImageRecord) -> Markup {
    let mut most: Vec<(&String, f64)> = classes.iter().zip(record.probabilities.iter().copied()).collect();
    most.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let label = most.iter().skip(PROBABILITIES).find(|(class, _)| **class == record.label).copied();
    html! {
        @for (class, probability) in most.iter().take(PROBABILITIES).chain(&label) {
            span.bar {
                span { (class) }
                i.is-label[**class == record.label].is-answer[**class == record.prediction && record.prediction != record.label]
                    style=(format!("width:{:.1}%", probability * 100.0)) {}
                span { (per_cent(*probability)) }
            }
        }
    }
}
