//! The files that the pipeline's stages hand to one another, and how they are written: whole, by one at a time.
//!
//! | file | written by | type |
//! |---|---|---|
//! | `raw/source.json` | fetch | [`Source`] |
//! | `shards/dataset.json`, `shards/{train,valid,test}/*` | preprocess | [`Dataset`], [`SplitData`] |
//! | `shards/removed.jsonl` | preprocess | [`RemovedImage`] |
//! | `checkpoint.safetensors` | train | [`Checkpoint`] |
//! | `training.json`, `metrics.jsonl`, `timings.jsonl` | train | [`TrainingRecord`], [`EpochMetrics`], [`EpochTiming`] |
//! | `reference-logits.npy` | train | [`reference_logits`] |
//! | `cross-validation.json`, `out-of-sample-logits.npy` | train, where asked | [`CrossValidation`] |
//! | the metadata of `model.onnx`; `export.json` | export | [`ModelMetadata`], [`ExportRecord`] |
//! | `timings-stages.json` beside these | fetch, preprocess, export | [`StageTimings`] |
//!
//! What one stage alone reads is its own: `raw/origin.json`, `training-state.safetensors`, `events.out.tfevents`.
//!
//! Four rules hold for all of them:
//!
//! - **Whole or absent.** A file or folder is written to a temporary name beside its place and renamed, a file synced before
//!   ([`write_file`], [`StagedDirectory`]): a killed stage leaves what was there before, or nothing. `metrics.jsonl` and
//!   `timings.jsonl` alone grow, by an epoch a line.
//! - **One writer.** Who writes to a place holds the [`Lock`] on it.
//! - **Accounted for.** Every JSON artifact but the measured times names its kind, schema version, tool, seed, the arguments
//!   that decide its bytes, and the SHA-256 of its inputs ([`Provenance`]).
//! - **The same bytes.** Nothing in an artifact depends on the clock, the number of threads or the folder it lies in, but in
//!   those whose names begin with `timings`: measured times go into files of their own.

mod checkpoint;
mod cross_validation;
mod dataset;
mod digest;
mod document;
mod error;
mod export_record;
mod lock;
mod model;
mod model_metadata;
pub mod npy;
mod place;
mod provenance;
pub mod reference_logits;
mod run;
mod source;
mod stage_timings;
pub mod tensors;
mod training;
mod unfinished;

pub use checkpoint::Checkpoint;
pub use cross_validation::CrossValidation;
pub use dataset::{
    Dataset, Fonts, Rejected, Removed, RemovedCounts, RemovedImage, Shard, ShardFile, Split, SplitData, SplitName,
    Splits, font_of, glyph_name,
};
pub use digest::{Digest, HashingReader, HashingWriter, sha256_file};
pub use document::{Document, read_json, write_json};
pub use error::{Error, IoContext, Result};
pub use export_record::ExportRecord;
pub use lock::Lock;
pub use model::{LayerShape, LinearLayer, ModelDescription, Standardisation, sequential_place};
pub use model_metadata::ModelMetadata;
pub use place::{StagedDirectory, remove_file, resolved, write_file};
pub use provenance::Provenance;
pub use run::RunDirectory;
pub use source::{Part, Role, Source};
pub use stage_timings::{StageTiming, StageTimings};
pub use training::{EpochMetrics, EpochTiming, TrainingRecord, Weights, read_metrics, read_timings};
pub use unfinished::{NothingFinishes, remove_unfinished};
