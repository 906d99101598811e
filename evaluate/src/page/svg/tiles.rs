//! Pictures side by side, a name below each.

use maud::{Markup, html};

use super::{Figure, cut, px};

/// A picture and its words.
#[derive(Debug)]
pub(crate) struct Tile {
    /// A `data:` address.
    pub picture: String,
    /// Below the picture; a long one is cut.
    pub name: String,
    /// Where a pointer rests on it.
    pub words: String,
}

/// A figure of them, `columns` in a row.
pub(crate) fn tiles(
    name: &str,
    title: String,
    description: String,
    columns: usize,
    side: f64,
    tiles: &[Tile],
) -> Figure {
    const GAP: f64 = 8.0;
    const NAME: f64 = 18.0;
    let columns = columns.min(tiles.len()).max(1);
    let place = |index: usize| {
        let (row, column) = (index / columns, index % columns);
        (GAP + column as f64 * (side + GAP), GAP + row as f64 * (side + NAME))
    };
    let drawing = html! {
        @for (index, tile) in tiles.iter().enumerate() {
            @let (x, y) = place(index);
            (self::tile(tile, x, y, side))
        }
    };
    Figure {
        name: name.to_owned(),
        title,
        description,
        width: GAP + columns as f64 * (side + GAP),
        height: GAP + tiles.len().div_ceil(columns) as f64 * (side + NAME) + 4.0,
        drawing,
    }
}

fn tile(tile: &Tile, x: f64, y: f64, side: f64) -> Markup {
    html! {
        image.pixels x=(px(x)) y=(px(y)) width=(px(side)) height=(px(side)) href=(tile.picture) {
            title { (tile.words) }
        }
        text.small text-anchor="middle" x=(px(x + side / 2.0)) y=(px(y + side + 12.0)) { (cut(&tile.name, (side / 6.2) as usize)) }
    }
}
