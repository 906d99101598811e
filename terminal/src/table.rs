use std::fmt;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement};

/// How the cells of a column are aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A bordered table.
#[derive(Debug, Clone)]
pub struct Table {
    inner: comfy_table::Table,
    alignment: Vec<CellAlignment>,
}

impl Table {
    /// A table with a header; one (name, alignment) a column.
    #[must_use]
    pub fn new(columns: &[(&str, Align)]) -> Self {
        let alignment: Vec<_> = columns
            .iter()
            .map(|(_, align)| match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            })
            .collect();
        let mut table = Self { inner: Self::bordered(), alignment };
        let header =
            columns.iter().zip(&table.alignment).map(|((name, _), &align)| Cell::new(name).set_alignment(align));
        table.inner.set_header(header.collect::<Vec<_>>());
        table
    }

    /// A table of names and values without a header, as for a configuration.
    #[must_use]
    pub fn of_settings() -> Self {
        Self { inner: Self::bordered(), alignment: vec![CellAlignment::Left, CellAlignment::Left] }
    }

    /// Adds a row; its cells take their columns' alignment.
    pub fn row<C: fmt::Display>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let cells = cells.into_iter().zip(&self.alignment).map(|(cell, &align)| Cell::new(cell).set_alignment(align));
        self.inner.add_row(cells.collect::<Vec<_>>());
        self
    }

    fn bordered() -> comfy_table::Table {
        let mut table = comfy_table::Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED.with_rounded_corners())
            .set_content_arrangement(ContentArrangement::Disabled);
        table
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(&[("class", Align::Left), ("images", Align::Right)]);
        table.row(["A", "7"]).row(["long name", "1234567"]);
        let expected = "\
╭───────────┬─────────╮
│ class     ┆  images │
╞═══════════╪═════════╡
│ A         ┆       7 │
│ long name ┆ 1234567 │
╰───────────┴─────────╯";
        assert_eq!(table.to_string(), expected);
    }
}
