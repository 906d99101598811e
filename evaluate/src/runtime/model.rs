//! A model in a session of ONNX Runtime.

use std::fs;
use std::path::{Path, PathBuf};

use artifacts::{ExportRecord, ModelMetadata};
use files::{Digest, IoContext as _};
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use ort::value::{Outlet, TensorElementType, TensorRef};

use super::cuda;
use super::library::Runtime;
use crate::error::Error;
use crate::options::{Options, Provider};

/// What `Runtime::builder` asks for besides threads, for the person who watches.
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
    /// That, with why where the choice was left open.
    pub choice: String,
    /// Where a device writes the results for the processor to read, where it is a device that computes: images and results
    /// are then bound to its memory.
    results: Option<MemoryInfo<'static>>,
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
    /// Opens the model in `path`, to be run as `options` say. Where there is a `record` to ask, it must name the model's
    /// digest.
    pub(crate) fn open(
        runtime: &Runtime,
        path: &Path,
        record: Option<&Path>,
        options: &Options,
    ) -> Result<Self, Error> {
        let bytes = fs::read(path).context("read", path)?;
        let digest = Digest::of(&bytes);
        if let Some(record) = record {
            check_digest(path, digest, record)?;
        }
        let (session, provider, choice) = runtime.open(path, &bytes, options)?;
        let pinned = || {
            let (kind, device) = (AllocationDevice::CUDA_PINNED, i32::from(options.device()));
            MemoryInfo::new(kind, device, AllocatorType::Device, MemoryType::CPUOutput)
        };
        let results = (provider == CUDA).then(pinned).transpose();
        let results = results.map_err(|source| Error::Runtime { action: "bind memory", source })?;

        let metadata = read_metadata(&session, path)?;
        check_interface(&session, &metadata, path)?;
        Ok(Self { session, metadata, digest, path: path.to_owned(), provider, choice, results })
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
        let Some(results) = &self.results else {
            let outputs = self.session.run(ort::inputs! { ModelMetadata::IMAGES => input }).map_err(refused)?;
            return scores(&outputs).map_err(refused);
        };
        let mut binding = self.session.create_binding().map_err(refused)?;
        binding.bind_input(ModelMetadata::IMAGES, &input).map_err(refused)?;
        for output in [ModelMetadata::LOGITS, ModelMetadata::PROBABILITIES] {
            binding.bind_output_to_device(output, results).map_err(refused)?;
        }
        let outputs = self.session.run_binding(&binding).map_err(refused)?;
        binding.synchronize_outputs().map_err(refused)?;
        scores(&outputs).map_err(refused)
    }
}

fn scores(outputs: &SessionOutputs<'_>) -> ort::Result<Scores> {
    let take = |name: &str| Ok::<_, ort::Error>(outputs[name].try_extract_tensor::<f32>()?.1.to_vec());
    Ok(Scores { logits: take(ModelMetadata::LOGITS)?, probabilities: take(ModelMetadata::PROBABILITIES)? })
}

const CPU: &str = "cpu";
pub(crate) const CUDA: &str = "cuda";

impl Runtime {
    /// A session on what computes, its name, and why it was chosen.
    fn open(&self, path: &Path, model: &[u8], options: &Options) -> Result<(Session, &'static str, String), Error> {
        let on_cpu = |why: &str| {
            let builder = self.builder(options).and_then(|builder| {
                Ok(builder.with_execution_providers([ort::ep::CPU::default().build().error_on_failure()])?)
            });
            let mut builder = builder.map_err(|source| Error::Runtime { action: "prepare a session", source })?;
            let session = builder.commit_from_memory(model);
            let session = session.map_err(|source| Error::Model { path: path.to_owned(), source })?;
            Ok((session, CPU, format!("every node runs on the processor{why}")))
        };
        let on_cuda = || {
            let session = self
                .builder(options)
                .and_then(|builder| cuda::use_cuda(builder, options, &self.path))
                .and_then(|mut builder| builder.commit_from_memory(model));
            session.map(|session| (session, CUDA, format!("every node runs on GPU {} by CUDA", options.device())))
        };
        match options.provider()? {
            Provider::Cpu => on_cpu(""),
            Provider::Cuda => match cuda::load_driver() {
                Err(reason) => Err(Error::NoCuda { reason }),
                Ok(()) => on_cuda().map_err(|error| Error::NoCuda { reason: error.to_string() }),
            },
            Provider::Auto => match cuda::load_driver() {
                Err(reason) => on_cpu(&format!(", as {reason}")),
                Ok(()) => on_cuda().or_else(|error| on_cpu(&format!(", as ONNX Runtime cannot use CUDA: {error}"))),
            },
        }
    }

    /// What all sessions have in common.
    ///
    /// Idle threads do not spin: another process on the machine would find the cores taken, and take them from threads
    /// that compute.
    fn builder(&self, options: &Options) -> ort::Result<SessionBuilder> {
        Ok(Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_deterministic_compute(true)?
            .with_intra_op_spinning(false)?
            .with_intra_threads(options.threads())?)
    }
}

fn check_digest(path: &Path, found: Digest, record: &Path) -> Result<(), Error> {
    let (exported, _) = artifacts::read_json::<ExportRecord>(record)?;
    Ok(found.check(path, exported.model, record)?)
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
        (session.inputs(), ModelMetadata::IMAGES, TensorElementType::Uint8, &image),
        (session.outputs(), ModelMetadata::LOGITS, TensorElementType::Float32, &scores),
        (session.outputs(), ModelMetadata::PROBABILITIES, TensorElementType::Float32, &scores),
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
