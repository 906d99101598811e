//! A checkpoint to an ONNX model that needs no code of ours.
//!
//! The model takes `images`, `u8 [N, H, W]`, standardises them inside its graph, and gives `logits` and
//! `probabilities`, `f32 [N, C]`; its metadata holds the class names and the provenance. The same checkpoint and version
//! give the same bytes.

mod error;
mod graph;
mod onnx;
mod options;
mod summary;

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use artifacts::{Checkpoint, ExportRecord, ModelMetadata, Provenance, RunDirectory, StageTimings, TrainingRecord};
pub use error::Error;
use files::{Digest, Lock};
pub use options::Options;
use terminal::Console;

use crate::graph::Graph;
use crate::options::Task;

/// Exports the checkpoint that `options` names.
///
/// # Errors
/// See [`Error`]. A model that was there before stays.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let beginning = Instant::now();
    let task = options.task();
    let (input, output) = (task.checkpoint(), task.model());
    let same = |path: &Path| path.canonicalize().ok();
    if same(&input).is_some_and(|input| same(&output) == Some(input)) {
        return Err(Error::OnItself { path: input });
    }
    let _lock = Lock::within(output.parent().unwrap_or(&output))?;
    let (checkpoint, digest) = match &task {
        Task::Run(run) => read_checkpoint(run)?,
        Task::Alone { checkpoint, .. } => Checkpoint::read(checkpoint)?,
    };

    let graph = Graph::of(&checkpoint, options.temperature);
    let metadata = metadata(checkpoint, digest, options.temperature);
    let model = onnx::encode(&graph, &metadata);
    if model.len() > onnx::MOST_BYTES {
        return Err(Error::TooLarge { bytes: model.len() });
    }
    match &task {
        Task::Run(run) => write_with_record(run, &model, &metadata, beginning)?,
        Task::Alone { .. } => drop(files::write_file(&output, |writer| writer.write_all(&model))?),
    }

    console.table(&summary::table(&graph));
    console.say(summary::line(&graph, model.len()));
    for (key, value) in metadata.to_entries() {
        console.detail(format!("export: metadata `{key}`: {value}"));
    }
    console.data(format!("model {}", output.display()));
    Ok(())
}

/// Writes the run's model and, last of all, `export.json`, which vouches for it: an older one goes first.
fn write_with_record(
    run: &RunDirectory,
    model: &[u8],
    metadata: &ModelMetadata,
    beginning: Instant,
) -> Result<(), Error> {
    let record_path = run.export_record();
    files::remove_file(&record_path)?;
    let model = files::write_file(&run.model(), |writer| writer.write_all(model))?;
    StageTimings::default().with(env!("CARGO_PKG_NAME"), beginning).write(run.path())?;
    let record = ExportRecord { provenance: metadata.export.clone(), model };
    artifacts::write_json(&record_path, &record)?;
    Ok(())
}

/// The checkpoint that the run's `training.json` names. Without that file, training was cut short.
fn read_checkpoint(run: &RunDirectory) -> Result<(Checkpoint, Digest), Error> {
    let record_path = run.training_record();
    if !record_path.exists() && (run.training_state().exists() || run.checkpoint().exists()) {
        return Err(Error::Unfinished { run: run.path().to_owned() });
    }
    let (record, _) = artifacts::read_json::<TrainingRecord>(&record_path)?;
    let (checkpoint, digest) = Checkpoint::read(&run.checkpoint())?;
    digest.check(&run.checkpoint(), record.checkpoint, &record_path)?;
    Ok((checkpoint, digest))
}

fn metadata(checkpoint: Checkpoint, digest: Digest, temperature: Option<f64>) -> ModelMetadata {
    let mut export = Provenance::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .with_argument("ir_version", onnx::IR_VERSION)
        .with_argument("opset", onnx::OPSET)
        .with_input(RunDirectory::CHECKPOINT, digest);
    if let Some(temperature) = temperature {
        export = export.with_argument(ModelMetadata::TEMPERATURE, temperature);
    }
    ModelMetadata {
        schema_version: ModelMetadata::SCHEMA_VERSION,
        model: checkpoint.model,
        checkpoint: digest,
        training: checkpoint.provenance,
        export,
    }
}
