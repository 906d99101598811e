//! Section 8: against another model.

use image::ImageError;
use maud::{Markup, html};

use super::images::{gallery, image, item};
use super::table;
use crate::page::Material;
use crate::page::notes::Note;
use crate::page::text::{count, counted, network, number, percentage};
use crate::report::Comparison;

/// How many images are shown; `report.json` lists more.
const PICTURES: usize = 48;

pub(crate) fn section(material: &Material<'_>, comparison: &Comparison) -> Result<Markup, ImageError> {
    let report = material.report;
    let shown = comparison.images.iter().take(PICTURES).map(|differing| {
        let words = format!("labelled {}: {} here, {} there", differing.label, differing.this, differing.other);
        let picture = image(material, report.split, differing.row, &words)?;
        let answer = html! { (differing.label) ": " (differing.this) " or " (differing.other) };
        let details = html! {
            span { "this one " (percentage(differing.this_confidence)) ", the other " (percentage(differing.other_confidence)) " " }
        };
        Ok(item(&picture, &answer, &details, differing.font.as_deref(), &differing.file))
    });
    let shown = shown.collect::<Result<Vec<_>, ImageError>>()?;
    let probability = |p: f64| if p < 1e-4 { format!("{p:.0e}") } else { number(p) };
    let points = |share: f64| format!("{:+.2}", share * 100.0).replace('-', "−");
    Ok(html! {
        p {
            "The other model, "
            @if comparison.other.hidden.is_empty() { "softmax regression " } @else { "a perceptron " }
            (network(&comparison.other)) ", on the same images: "
            @if let Some(value) = comparison.other_accuracy.value {
                "accuracy " strong { (percentage(value)) }
                @if let Some(this) = report.overall.without_duplicates.accuracy.value { ", this one " strong { (percentage(this)) } }
                ". "
            }
            @if let Some(value) = comparison.difference.value {
                "The difference is " strong { (points(value)) } " percentage points"
                @if let Some([low, high]) = comparison.difference.interval_95 {
                    ", with 95 % confidence between " (points(low)) " and " (points(high)) (Note::Difference.mark())
                }
                ". "
            }
            "If both were equally good, a difference of at least this size would come about with a probability of "
            (probability(comparison.mcnemar_p)) " (exact McNemar test)" (Note::McNemar.mark()) "."
            @if let Some(by_font) = &comparison.by_font {
                " Both take the images as independent. For fonts like these"
                @if let Some([low, high]) = by_font.difference_95 {
                    ", the difference is with 95 % confidence between " (points(low)) " and " (points(high)) ", and"
                }
                " the probability is " (probability(by_font.p)) (Note::DifferenceByFont.mark()) "."
            }
        }
        (table("Both models on the same images", &["", "the other is right", "the other is wrong"], html! {
            @let right = ("this one is right", comparison.both_right, comparison.only_this_right);
            @let wrong = ("this one is wrong", comparison.only_other_right, comparison.both_wrong);
            @for (name, other_right, other_wrong) in [right, wrong] {
                tr { th scope="row" { (name) } td { (count(other_right)) } td { (count(other_wrong)) } }
            }
        }, ""))
        h3 { "Images on which they differ" }
        @if shown.is_empty() {
            p { "They give every image the same class." }
        } @else {
            p {
                "They differ on " (counted(comparison.differing, "image"))
                @if comparison.differing > shown.len() as u64 { "; the first " (count(shown.len() as u64)) " are shown" }
                ". Each: its label, this model's answer, the other's."
            }
            (gallery(&shown))
        }
        details {
            summary { "Which model the other is" }
            (table("The other model", &["file", "SHA-256"], html! {
                tr { th scope="row" { "report.json" } td { code { (comparison.report.to_string()) } } }
                tr { th scope="row" { "model.onnx" } td { code { (comparison.other_digest.to_string()) } } }
            }, "words"))
        }
    })
}
