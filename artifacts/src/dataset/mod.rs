//! A preprocessed data set: `dataset.json` and its shards.

mod font;
mod manifest;
mod removed;
mod shards;

pub use font::{font_of, glyph_name};
pub use manifest::{
    Dataset, Fonts, Rejected, Removed, RemovedCounts, RemovedImage, Shard, ShardFile, Split, SplitName, Splits,
};
pub use shards::SplitData;
