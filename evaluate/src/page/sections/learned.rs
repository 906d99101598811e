//! Section 6: what it learned.

use image::ImageError;
use maud::{Markup, html};

use super::images::{gallery, record};
use super::table;
use crate::page::notes::Note;
use crate::page::svg::Figure;
use crate::page::svg::tiles::{Tile, tiles};
use crate::page::text::{count, counted, number, per_cent, percentage, split};
use crate::page::{Figures, Material, picture};
use crate::report::{ClassTypical, HiddenLayer, Learned, TypicalImage};

pub(crate) fn section(material: &Material<'_>, figures: &mut Figures) -> Result<Markup, ImageError> {
    let learned = &material.report.learned;
    let units = first_layer(material, learned)?;
    let saliency = saliency(material, learned)?;
    let typical = typical(material, &learned.typical)?;
    Ok(html! {
        p { "Computed on "
            @if learned.images < material.report.images { "the first " (count(learned.images)) } @else { "all" }
            " images of the " (split(material.report.split)) " split."
        }
        @if let Some(figure) = units {
            h3 { "What the first layer looks for" }
            (figures.show(figure, &html! {
                "Each square is a unit's weights, laid out as the image is: orange pixels speak for it, blue ones against it, as
                 strongly as their colour; white ones do not matter. Each has its own scale. Those with the longest weight
                 vectors come first" @if !learned.hidden_layers.is_empty() {
                "; below each, the share of images that make it positive, in per cent" } "."
                @if material.report.making.test_time_shift().is_some() {
                    " Of units that are one another's copies, shifted, one is shown." } }))
        }
        @if let Some(figure) = saliency {
            h3 { "Where it looks" }
            (figures.show(figure, &html! {
                "How strongly the winning logit depends on each pixel, averaged over the images taken for a class."
                (Note::Saliency.mark()) " Bright is strong; each map has its own scale." }))
        }
        h3 { "The most and the least typical image of each class" }
        p {
            "By the distance of " @if material.report.model.hidden.is_empty() { "its pixels" } @else {
                "what the last hidden layer makes of it" } " from the class's mean." (Note::Typical.mark())
        }
        (typical)
        (hidden_layers(&learned.hidden_layers))
    })
}

fn first_layer(material: &Material<'_>, learned: &Learned) -> Result<Option<Figure>, ImageError> {
    let model = &material.report.model;
    let mut pictures = Vec::new();
    for unit in &learned.first_layer {
        let values = material.first_layer.row(unit.unit).to_vec();
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let active = unit.active_share.map(|share| format!(", active for {}", percentage(share))).unwrap_or_default();
        pictures.push(Tile {
            picture: picture::weights(&values, largest, [model.height, model.width])?,
            name: unit.active_share.map(per_cent).unwrap_or_default(),
            words: format!("unit {}: length {}{active}", unit.unit, number(unit.norm)),
        });
    }
    if pictures.is_empty() {
        return Ok(None);
    }
    let description =
        format!("The weights of {} as images, longest weight vector first.", counted(pictures.len() as u64, "unit"));
    let title = "Weights of the first layer".to_owned();
    Ok(Some(tiles("first-layer-weights", title, description, 10, 52.0, &pictures)))
}

fn saliency(material: &Material<'_>, learned: &Learned) -> Result<Option<Figure>, ImageError> {
    let model = &material.report.model;
    let mut pictures = Vec::new();
    for (class, map) in learned.saliency.iter().zip(material.saliency.outer_iter()) {
        let Some(largest) = class.largest else { continue };
        pictures.push(Tile {
            picture: picture::heat(
                &map.iter().copied().collect::<Vec<_>>(),
                largest as f32,
                [model.height, model.width],
            )?,
            name: class.class.clone(),
            words: format!("{}: {}, at most {} a pixel", class.class, counted(class.images, "image"), number(largest)),
        });
    }
    if pictures.is_empty() {
        return Ok(None);
    }
    let (columns, side) = if pictures.len() > 20 { (10, 52.0) } else { (5, 96.0) };
    let description = format!(
        "{} of a class each: the pixels on which the winning logit depends.",
        counted(pictures.len() as u64, "map")
    );
    Ok(Some(tiles("saliency", "Saliency by class".to_owned(), description, columns, side, &pictures)))
}

fn typical(material: &Material<'_>, classes: &[ClassTypical]) -> Result<Markup, ImageError> {
    let mut items = Vec::new();
    for class in classes {
        for (which, typical) in [("most", &class.most), ("least", &class.least)] {
            if let Some(TypicalImage { distance, image }) = typical {
                let title = format!("{which} typical {}, at {}", class.class, number(*distance));
                items.push(record(material, Some(&title), image)?);
            }
        }
    }
    Ok(html! {
        @if items.is_empty() {
            p { "No class has an image." }
        } @else {
            (gallery(&items))
        }
    })
}

fn hidden_layers(layers: &[HiddenLayer]) -> Markup {
    const MOST: usize = 12;
    html! {
        h3 { "Dead units" (Note::DeadUnits.mark()) }
        @if layers.is_empty() {
            p { "The network has no hidden layer." }
        } @else {
            (table("Hidden layers", &["layer", "units", "dead", "always active", "active for an image, %", "dead units"], html! {
                @for layer in layers {
                    tr {
                        th scope="row" { (layer.name) }
                        td { (count(layer.units)) }
                        td { (count(layer.dead.len() as u64)) }
                        td { (count(layer.always_active)) }
                        td { (per_cent(layer.mean_active_share)) }
                        td {
                            (layer.dead.iter().take(MOST).map(ToString::to_string).collect::<Vec<_>>().join(", "))
                            @if layer.dead.len() > MOST { " …" }
                        }
                    }
                }
            }, ""))
        }
    }
}
