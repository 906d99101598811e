//! What is judged and on what: opened, and known to belong together.

use artifacts::{Dataset, Digest, ModelDescription, Provenance, RunDirectory, SplitData, SplitName, TrainingRecord};

use crate::error::Error;
use crate::library::Runtime;
use crate::model::{self, Model};
use crate::options::Options;

/// The inputs of an evaluation.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub options: &'a Options,
    pub run: RunDirectory,
    pub training: TrainingRecord,
    pub dataset: Dataset,
    pub model: Model,
    dataset_digest: Digest,
    training_digest: Digest,
    runtime: Runtime,
}

impl<'a> Inputs<'a> {
    /// Opens what `options` names: a model that is an export of the run's checkpoint and fits the data.
    pub(crate) fn open(options: &'a Options) -> Result<Self, Error> {
        let run = RunDirectory::new(&options.run);
        let (dataset, dataset_digest) = Dataset::read(&options.dataset)?;
        let (training, training_digest) = artifacts::read_json::<TrainingRecord>(&run.training_record())?;
        let runtime = Runtime::load(options.onnxruntime.as_deref())?;
        let model = Model::open(&runtime, &run.model(), options)?;
        model_is_of_training(&model, &training)?;
        model_fits_data(&model.metadata.model, &dataset)?;
        Ok(Self { options, run, training, dataset, model, dataset_digest, training_digest, runtime })
    }

    /// Which images to judge on.
    pub(crate) fn split(&self) -> SplitName {
        self.options.split.into()
    }

    /// The images to judge on: at least one.
    pub(crate) fn judged(&self) -> Result<SplitData, Error> {
        let data = self.open_split(self.split())?;
        if data.is_empty() {
            return Err(Error::EmptySplit { dataset: self.dataset.name.clone(), split: self.split() });
        }
        Ok(data)
    }

    /// The images of the trainer's reference logits, and perhaps more.
    pub(crate) fn validation(&self) -> Result<SplitData, Error> {
        self.open_split(SplitName::Valid)
    }

    fn open_split(&self, split: SplitName) -> Result<SplitData, Error> {
        Ok(self.dataset.open(&self.options.dataset, split, true)?)
    }

    /// Whether the run was trained on this very data set. To judge a model on another one with the same classes is a
    /// fair question, but its validation split is not the one that the reference logits are of.
    pub(crate) fn trained_on_this_data(&self) -> bool {
        self.training.provenance.inputs.get(Dataset::FILE_NAME) == Some(&self.dataset_digest)
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
        let session = format!("evaluate: session on {provider}, {threads} threads; {}", model::SESSION_OPTIONS);
        read.into_iter().chain([library, session]).collect()
    }

    /// How the figures come to be, but for parity.
    pub(crate) fn provenance(&self) -> Provenance {
        Provenance::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .with_argument("split", self.split().as_str())
            .with_argument("batch_size", self.options.batch_size)
            .with_argument("provider", self.model.provider)
            .with_argument("onnxruntime", self.runtime.version.as_str())
            .with_input(Dataset::FILE_NAME, self.dataset_digest)
            .with_input("training.json", self.training_digest)
            .with_input("model.onnx", self.model.digest)
    }
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
