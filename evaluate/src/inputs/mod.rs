//! What is judged and on what: opened, and known to belong together.

mod other;
mod priors;
mod unlabelled;

use artifacts::{
    Checkpoint, CrossValidation, Dataset, EpochMetrics, EpochTiming, ModelDescription, Provenance, RunDirectory,
    SplitData, SplitName, StageTiming, StageTimings, TrainingRecord,
};
use files::Digest;
use ndarray::Array2;

pub(crate) use self::other::Other;
pub(crate) use self::priors::Prior;
pub use self::priors::PriorName;
use self::unlabelled::Unlabelled;
use crate::error::Error;
use crate::options::Options;
use crate::runtime::{Model, Runtime, SESSION_OPTIONS};

/// The inputs of an evaluation.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub options: &'a Options,
    pub run: RunDirectory,
    pub training: TrainingRecord,
    pub dataset: Dataset,
    pub model: Model,
    pub checkpoint: Checkpoint,
    pub metrics: Vec<EpochMetrics>,
    /// Of fetch, preprocess and export, as far as they are known.
    pub stages: Vec<StageTiming>,
    /// None where the training's `timings.jsonl` is gone: no result needs it.
    pub timings: Option<Vec<EpochTiming>>,
    /// The out-of-sample logits of the training images, where `train` was asked for them.
    pub cross_validation: Option<(CrossValidation, Array2<f32>)>,
    pub priors: Vec<Prior>,
    pub unlabelled: Option<Unlabelled>,
    pub other: Option<Other>,
    pub dataset_digest: Digest,
    pub training_digest: Digest,
    runtime: Runtime,
}

impl<'a> Inputs<'a> {
    /// Opens what `options` names: a model that is an export of the run's checkpoint and fits the data.
    pub(crate) fn open(options: &'a Options) -> Result<Self, Error> {
        let run = RunDirectory::new(&options.run);
        let (dataset, dataset_digest) = Dataset::read(&options.dataset)?;
        let (training, training_digest) = artifacts::read_json::<TrainingRecord>(&run.training_record())?;
        let checkpoint = read_checkpoint(&run, &training)?;
        let metrics = read_metrics(&run, &training)?;
        let mut stages = StageTimings::read(&options.dataset)?.stages;
        stages.extend(StageTimings::read(run.path())?.stages);
        let timings = run.timings().exists().then(|| artifacts::read_timings(&run.timings())).transpose()?;
        let runtime = Runtime::load(options.onnxruntime.as_deref())?;
        let recorded = if options.no_verify { None } else { Some(run.export_record()) };
        let model = Model::open(&runtime, &run.model(), recorded.as_deref(), options)?;
        model_is_of_training(&model, &training)?;
        model_fits_data(&model.metadata.model, &dataset)?;
        let priors = Prior::open_all(&options.prior, &dataset.classes, options.split.into())?;
        let unlabelled = options.estimate_prior.as_deref();
        let unlabelled = unlabelled.map(|path| Unlabelled::read(path, &model.metadata.model)).transpose()?;
        let other = options.compare.as_deref();
        let other = other.map(|path| Other::read(path, &dataset, dataset_digest, options.split.into())).transpose()?;
        let cross_validation = if is_of(&training.provenance, dataset_digest) {
            read_cross_validation(&run, &dataset, dataset_digest)?
        } else {
            None
        };
        Ok(Self {
            options,
            run,
            training,
            dataset,
            model,
            checkpoint,
            metrics,
            stages,
            timings,
            cross_validation,
            priors,
            unlabelled,
            other,
            dataset_digest,
            training_digest,
            runtime,
        })
    }

    /// Which images to judge on.
    pub(crate) fn split(&self) -> SplitName {
        self.options.split.into()
    }

    /// The temperature in the model's graph; 1 without one.
    pub(crate) fn model_temperature(&self) -> f64 {
        self.model.metadata.temperature()
    }

    /// The images of a split.
    pub(crate) fn open_split(&self, split: SplitName) -> Result<SplitData, Error> {
        Ok(self.dataset.open(&self.options.dataset, split, !self.options.no_verify)?)
    }

    /// Whether the run was trained on this very data set. To judge a model on another one with the same classes is a
    /// fair question, but its validation split is not the one that the reference logits are of.
    pub(crate) fn trained_on_this_data(&self) -> bool {
        is_of(&self.training.provenance, self.dataset_digest)
    }

    /// What is judged, on what, in what.
    pub(crate) fn announcement(&self) -> String {
        let (split, images) = (self.split(), self.dataset.split(self.split()).images);
        format!(
            "evaluate: `{}` on {images} images of the {split} split of data set `{}`, in ONNX Runtime {}",
            self.model.path.display(),
            self.dataset.name,
            self.runtime.version
        )
    }

    /// What was read, and how the model is run.
    pub(crate) fn details(&self) -> Vec<String> {
        let dataset = self.options.dataset.join(Dataset::FILE_NAME);
        let read = [
            (dataset, self.dataset_digest),
            (self.run.training_record(), self.training_digest),
            (self.model.path.clone(), self.model.digest),
        ];
        let read = read.map(|(path, digest)| format!("evaluate: `{}` has SHA-256 {digest}", path.display()));
        let library = format!("evaluate: ONNX Runtime is `{}`; {}", self.runtime.path.display(), Runtime::build());
        let (provider, threads) = (self.model.provider, self.options.threads());
        let session = format!("evaluate: session on {provider}, {threads} threads; {SESSION_OPTIONS}");
        read.into_iter().chain([library, session]).collect()
    }

    /// How the figures come to be, but for parity.
    pub(crate) fn provenance(&self) -> Provenance {
        let priors: Vec<&str> = self.priors.iter().map(|prior| prior.name.as_str()).collect();
        let mut provenance = Provenance::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .with_argument("prior", priors)
            .with_argument("split", self.split().as_str())
            .with_argument("batch_size", self.options.batch_size)
            .with_argument("provider", self.model.provider)
            .with_argument("onnxruntime", self.runtime.version.as_str())
            .with_input(Dataset::FILE_NAME, self.dataset_digest)
            .with_input(RunDirectory::TRAINING_RECORD, self.training_digest)
            .with_input(RunDirectory::MODEL, self.model.digest);
        for (prior, digest) in self.priors.iter().filter_map(|prior| Some((prior, prior.digest?))) {
            provenance = provenance.with_input(&format!("prior {}", prior.name), digest);
        }
        if let Some((record, _)) = &self.cross_validation {
            provenance = provenance.with_input(RunDirectory::OUT_OF_SAMPLE_LOGITS, record.logits);
        }
        if let Some(unlabelled) = &self.unlabelled {
            provenance = provenance.with_input(&format!("unlabelled {}", unlabelled.name), unlabelled.digest);
        }
        if let Some(other) = &self.other {
            provenance = provenance.with_input("compared report.json", other.digest);
        }
        provenance
    }
}

/// The training's own checkpoint.
fn read_checkpoint(run: &RunDirectory, training: &TrainingRecord) -> Result<Checkpoint, Error> {
    let path = run.checkpoint();
    let (checkpoint, found) = Checkpoint::read(&path)?;
    found.check(&path, training.checkpoint, &run.training_record())?;
    Ok(checkpoint)
}

/// Whether what has this provenance was computed on the data set whose `dataset.json` has this digest.
fn is_of(provenance: &Provenance, dataset: Digest) -> bool {
    provenance.inputs.get(Dataset::FILE_NAME) == Some(&dataset)
}

/// The run's cross-validation, where there is one. Like the trainer's logits, it is of the data set that it was trained on.
fn read_cross_validation(
    run: &RunDirectory,
    dataset: &Dataset,
    dataset_digest: Digest,
) -> Result<Option<(CrossValidation, Array2<f32>)>, Error> {
    let path = run.cross_validation();
    if !path.exists() {
        return Ok(None);
    }
    let (record, _) = artifacts::read_json::<CrossValidation>(&path)?;
    if !is_of(&record.provenance, dataset_digest) {
        let kind = RunDirectory::CROSS_VALIDATION;
        let reason = "it is of another data set than the run's training".to_owned();
        return Err(artifacts::Error::Malformed { path, kind, reason }.into());
    }
    let logits = record.read_logits(&run.out_of_sample_logits(), &path)?;
    let expected = (dataset.splits.train.images, dataset.classes.len());
    if logits.dim() != expected || !logits.iter().all(|logit| logit.is_finite()) {
        let reason = format!("finite logits of shape {expected:?} were expected, but its shape is {:?}", logits.dim());
        let path = run.out_of_sample_logits();
        return Err(artifacts::Error::Malformed { path, kind: "array of logits", reason }.into());
    }
    Ok(Some((record, logits)))
}

/// The training's own `metrics.jsonl`.
fn read_metrics(run: &RunDirectory, training: &TrainingRecord) -> Result<Vec<EpochMetrics>, Error> {
    let path = run.metrics();
    let metrics = artifacts::read_metrics(&path)?;
    files::sha256_file(&path)?.check(&path, training.metrics, &run.training_record())?;
    Ok(metrics)
}

/// The model is an export of the checkpoint that the run's training ended with.
fn model_is_of_training(model: &Model, training: &TrainingRecord) -> Result<(), Error> {
    let (exported, trained) = (model.metadata.checkpoint, training.checkpoint);
    if exported == trained { Ok(()) } else { Err(Error::StaleModel { path: model.path.clone(), exported, trained }) }
}

/// The model takes the data's images and tells the data's classes apart.
fn model_fits_data(model: &ModelDescription, data: &Dataset) -> Result<(), Error> {
    let dataset = data.name.clone();
    if model.classes != data.classes {
        return Err(Error::Classes { dataset, model: model.classes.clone(), data: data.classes.clone() });
    }
    let [model, data] = [[model.height, model.width], [data.height, data.width]];
    if model != data {
        return Err(Error::ImageSize { dataset, model, data });
    }
    Ok(())
}
