//! The files that the pipeline's stages hand to one another.
//!
//! | file | written by | type |
//! |---|---|---|
//! | `raw/source.json` | fetch | [`Source`] |
//! | `shards/dataset.json`, `shards/{train,valid,test}/*` | preprocess | [`Dataset`], [`SplitData`] |
//! | `shards/removed.jsonl` | preprocess | [`RemovedImage`] |
//! | `checkpoint.safetensors` | train | [`Checkpoint`] |
//! | `training.json`, `metrics.jsonl`, `timings.jsonl` | train | [`TrainingRecord`], [`EpochMetrics`], [`EpochTiming`] |
//! | `reference-logits.npy` | train | [`logits`] |
//! | `cross-validation.json`, `out-of-sample-logits.npy` | train, where asked | [`CrossValidation`] |
//! | the metadata of `model.onnx`; `export.json` | export | [`ModelMetadata`], [`ExportRecord`] |
//! | `timings-stages.json` beside these | fetch, preprocess, export | [`StageTimings`] |
//!
//! What one stage alone reads is its own: `raw/origin.json`, `training-state.safetensors`, `events.out.tfevents`.
//!
//! Two rules hold for all of them, beside those of [`files`], with which they are written:
//!
//! - **Accounted for.** Every JSON artifact but the measured times names its kind, schema version, tool, seed, the arguments
//!   that decide its bytes, and the SHA-256 of its inputs ([`Provenance`]).
//! - **The same bytes.** Nothing in an artifact depends on the clock, the number of threads or the folder it lies in, but in
//!   those whose names begin with `timings`: measured times go into files of their own.

mod dataset;
mod document;
mod error;
pub mod npy;
mod provenance;
mod run;
mod source;
mod stage_timings;
pub mod tensors;

pub use dataset::{
    Dataset, Fonts, Rejected, Removed, RemovedCounts, RemovedImage, Shard, ShardFile, Split, SplitData, SplitName,
    Splits, font_of, glyph_name,
};
pub use document::{Document, read_json, write_json};
pub use error::{Error, Result, hint};
pub use provenance::Provenance;
pub use run::{
    Checkpoint, CrossValidation, EpochMetrics, EpochTiming, ExportRecord, Fold, LayerShape, LinearLayer,
    ModelDescription, ModelMetadata, RunDirectory, Standardisation, TrainingRecord, Weights, logits, read_metrics,
    read_timings, sequential_place,
};
pub use source::{Part, Role, Source};
pub use stage_timings::{StageTiming, StageTimings};
