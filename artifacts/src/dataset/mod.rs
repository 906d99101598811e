//! A preprocessed data set: `dataset.json` and its shards.

mod manifest;
mod shards;

pub use manifest::{
    Dataset, Fonts, Rejected, Removed, RemovedCounts, RemovedImage, Shard, ShardFile, Split, SplitName, Splits,
};
pub use shards::{SplitData, shard_bytes};
