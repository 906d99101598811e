//! What there is in a run's folder: what `train` writes, and what `export` makes of it.

mod checkpoint;
mod cross_validation;
mod directory;
mod export_record;
pub mod logits;
mod model;
mod model_metadata;
mod training;

pub use checkpoint::Checkpoint;
pub use cross_validation::{CrossValidation, Fold};
pub use directory::RunDirectory;
pub use export_record::ExportRecord;
pub(crate) use model::check_images;
pub use model::{LayerShape, LinearLayer, ModelDescription, Standardisation, sequential_place};
pub use model_metadata::ModelMetadata;
pub use training::{EpochMetrics, EpochTiming, TrainingRecord, Weights, read_metrics, read_timings};
