//! A model in a session of ONNX Runtime.

use std::fs;
use std::path::{Path, PathBuf};

use artifacts::{Digest, ExportRecord, IoContext as _, ModelMetadata};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, TensorRef};

use crate::error::Error;
use crate::library::Runtime;
use crate::options::Provider;

/// What `Runtime::session` asks for besides threads, for the person who watches.
pub(crate) const SESSION_OPTIONS: &str = "all graph optimisations, deterministic, idle threads do not spin";

/// `model.onnx`, ready to run.
#[derive(Debug)]
pub(crate) struct Model {
    session: Session,
    /// What the model says of itself.
    pub metadata: ModelMetadata,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Where it lies.
    pub path: PathBuf,
    /// What computes.
    pub provider: &'static str,
}

/// What a model gives for some images.
#[derive(Debug)]
pub(crate) struct Scores {
    /// `[images, classes]`, row-major.
    pub logits: Vec<f32>,
    /// `[images, classes]`, row-major; each row sums to 1.
    pub probabilities: Vec<f32>,
}

impl Model {
    /// Opens the model in `path`, to be run by `threads` threads. Where there is a `record` to ask, it must name the
    /// model's digest.
    pub(crate) fn open(
        runtime: &Runtime,
        path: &Path,
        record: Option<&Path>,
        provider: Provider,
        threads: usize,
    ) -> Result<Self, Error> {
        let bytes = fs::read(path).context("read", path)?;
        let digest = Digest::of(&bytes);
        if let Some(record) = record {
            check_digest(path, digest, record)?;
        }
        let (mut builder, provider) = runtime
            .session(provider, threads)
            .map_err(|source| Error::Runtime { action: "prepare a session", source })?;
        let session =
            builder.commit_from_memory(&bytes).map_err(|source| Error::Model { path: path.to_owned(), source })?;

        let metadata = read_metadata(&session, path)?;
        check_interface(&session, &metadata, path)?;
        Ok(Self { session, metadata, digest, path: path.to_owned(), provider })
    }

    /// How many classes it tells apart.
    pub(crate) fn classes(&self) -> usize {
        self.metadata.model.classes.len()
    }

    /// Runs the model on `images`, `[N, H, W]`, row-major.
    pub(crate) fn run(&mut self, images: &[u8]) -> Result<Scores, Error> {
        let refused = |source| Error::Runtime { action: "run the model", source };
        let [height, width] = [self.metadata.model.height, self.metadata.model.width];
        let rows = images.len() / (height * width);
        let input = TensorRef::from_array_view(([rows, height, width], images)).map_err(refused)?;
        let outputs = self.session.run(ort::inputs! { "images" => input }).map_err(refused)?;
        let take = |name: &str| {
            let (_, values) = outputs[name].try_extract_tensor::<f32>().map_err(refused)?;
            Ok::<_, Error>(values.to_vec())
        };
        Ok(Scores { logits: take("logits")?, probabilities: take("probabilities")? })
    }
}

impl Runtime {
    /// A session on what computes, and its name.
    ///
    /// Idle threads do not spin: another process on the machine would find the cores taken, and take them from threads
    /// that compute.
    fn session(&self, provider: Provider, threads: usize) -> ort::Result<(SessionBuilder, &'static str)> {
        let builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_deterministic_compute(true)?
            .with_intra_op_spinning(false)?
            .with_intra_threads(threads)?;
        match provider {
            Provider::Auto | Provider::Cpu => {
                Ok((builder.with_execution_providers([ort::ep::CPU::default().build().error_on_failure()])?, "cpu"))
            }
        }
    }
}

fn check_digest(path: &Path, found: Digest, record: &Path) -> Result<(), Error> {
    let recorded = artifacts::read_json::<ExportRecord>(record)?.0.model;
    if found != recorded {
        let (path, recorded_by) = (path.to_owned(), record.to_owned());
        return Err(artifacts::Error::Digest { path, found, recorded_by, recorded }.into());
    }
    Ok(())
}

fn read_metadata(session: &Session, path: &Path) -> Result<ModelMetadata, Error> {
    let entries =
        session.metadata().map_err(|source| Error::Runtime { action: "read the model's metadata", source })?;
    ModelMetadata::from_entries(|key| entries.custom(key))
        .map_err(|reason| artifacts::Error::Malformed { path: path.to_owned(), kind: "exported model", reason }.into())
}

/// The model takes `images` and gives `logits` and `probabilities`, shaped as its metadata says.
fn check_interface(session: &Session, metadata: &ModelMetadata, path: &Path) -> Result<(), Error> {
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let model = &metadata.model;
    let image = vec![-1, size(model.height), size(model.width)];
    let scores = vec![-1, size(model.classes.len())];
    let expected = [
        (session.inputs(), "images", TensorElementType::Uint8, &image),
        (session.outputs(), "logits", TensorElementType::Float32, &scores),
        (session.outputs(), "probabilities", TensorElementType::Float32, &scores),
    ];
    for (outlets, name, element, shape) in expected {
        let outlet = outlets.iter().find(|outlet| outlet.name() == name);
        if outlet.and_then(form) != Some((element, shape.clone())) {
            let found = match outlet {
                Some(outlet) => format!("`{name}` of type {}", outlet.dtype()),
                None => format!("no `{name}`"),
            };
            let expected = format!("`{name}` of {element:?} {shape:?} (-1: any)");
            return Err(Error::Interface { path: path.to_owned(), found, expected });
        }
    }
    Ok(())
}

fn form(outlet: &Outlet) -> Option<(TensorElementType, Vec<i64>)> {
    let dtype = outlet.dtype();
    Some((dtype.tensor_type()?, dtype.tensor_shape()?.to_vec()))
}
