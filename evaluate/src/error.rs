use std::path::PathBuf;

use artifacts::SplitName;
use files::Digest;
use terminal::Failure;

use crate::parity::LIMIT;
use crate::runtime::OLDEST_MINOR;

/// Why a model cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file between the stages cannot be read or written, or is not what it should be.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A file or folder cannot be read or written, or is not as it was.
    #[error(transparent)]
    File(#[from] files::Error),

    /// Nobody said where ONNX Runtime is.
    #[error("no ONNX Runtime library is named: neither --onnxruntime nor ORT_DYLIB_PATH is set")]
    NoLibrary,
    /// There is no such file.
    #[error("the ONNX Runtime library `{}` does not exist", path.display())]
    MissingLibrary {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The system does not find the library by its name, or does not load it.
    #[error("cannot load the ONNX Runtime library `{}`", path.display())]
    Library {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's reason.
        source: libloading::Error,
    },
    /// It is a library, but another one.
    #[error("`{}` is not ONNX Runtime: {reason}", path.display())]
    NotOnnxRuntime {
        /// The library.
        path: PathBuf,
        /// What gave it away.
        reason: String,
    },
    /// It is too old for what is asked of it.
    #[error("`{}` is ONNX Runtime {found}, but 1.{OLDEST_MINOR} or a later 1.x is needed", path.display())]
    LibraryVersion {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
    },
    /// The GPU was asked for, and cannot be used.
    #[error("ONNX Runtime cannot use CUDA: {reason}")]
    NoCuda {
        /// Why.
        reason: String,
    },
    /// A GPU is named, but none is to compute.
    #[error("--device {device} names a GPU, but --provider cpu computes on the processor")]
    DeviceOfCpu {
        /// Its number.
        device: u16,
    },
    /// ONNX Runtime refused.
    #[error("ONNX Runtime cannot {action}")]
    Runtime {
        /// What was asked of it, as an infinitive.
        action: &'static str,
        /// Its reason.
        source: ort::Error,
    },

    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime cannot open the model `{}`", path.display())]
    Model {
        /// The model.
        path: PathBuf,
        /// Its reason.
        source: ort::Error,
    },
    /// The model takes or gives something else than `export` writes.
    #[error("`{}` has {found}, but {expected} was expected", path.display())]
    Interface {
        /// The model.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// The model was exported from another checkpoint than the run's.
    #[error(
        "`{}` was exported from the checkpoint {exported}, but the run's training ended with {trained}", path.display()
    )]
    StaleModel {
        /// The model.
        path: PathBuf,
        /// The digest in its metadata.
        exported: Digest,
        /// The digest in `training.json`.
        trained: Digest,
    },
    /// The model tells other classes apart than the data's.
    #[error("the model's classes are {}, but those of data set `{dataset}` are {}", model.join(", "), data.join(", "))]
    Classes {
        /// The data set's name.
        dataset: String,
        /// The model's, in the order of the logits.
        model: Vec<String>,
        /// The data's, in the order of the labels.
        data: Vec<String>,
    },
    /// The model takes images of another size than the data's.
    #[error(
        "the model takes images of {}x{} pixels, but those of data set `{dataset}` have {}x{}",
        model[0], model[1], data[0], data[1]
    )]
    ImageSize {
        /// The data set's name.
        dataset: String,
        /// Height and width that the model takes.
        model: [usize; 2],
        /// Height and width of the data's images.
        data: [usize; 2],
    },
    /// The reference logits are not the first validation images'.
    #[error("`{}` has {found:?} logits, but {expected:?} were expected for this model and validation split", path.display())]
    ReferenceShape {
        /// The reference logits.
        path: PathBuf,
        /// Their rows and columns.
        found: [usize; 2],
        /// The rows and columns that were expected.
        expected: [usize; 2],
    },

    /// The exported model computes something else than the trainer did.
    #[error(
        "the model's logits differ from the trainer's by {relative:.3e} of the largest on {images} validation images; \
         at most {LIMIT:e} is allowed"
    )]
    Parity {
        /// How many images were compared.
        images: usize,
        /// The largest difference.
        relative: f64,
    },
    /// The model's probabilities are not the softmax of its logits, by which everything is judged.
    #[error(
        "the probabilities of `{}` for image {row} of the {split} split are not those of its logits at temperature \
         {temperature}, the one in its metadata: the largest difference is {difference:.3e}", model.display()
    )]
    Probabilities {
        /// The model.
        model: PathBuf,
        /// Which image.
        row: usize,
        /// Of which split.
        split: SplitName,
        /// What the logits were divided by here.
        temperature: f64,
        /// The largest difference of a class's probability; NaN where one is none.
        difference: f64,
    },
    /// What the report shows of the network would be of another one than the model.
    #[error(
        "the model's logits differ from those of the checkpoint's network, which the report is about to explain, by \
         {relative:.3e} of the largest; at most {LIMIT:e} is allowed"
    )]
    Explained {
        /// The largest difference.
        relative: f64,
    },
    /// There is nothing to judge on.
    #[error("the {split} split of data set `{dataset}` has no image")]
    EmptySplit {
        /// The data set's name.
        dataset: String,
        /// Which split.
        split: SplitName,
    },
    /// The page cannot show an image.
    #[error("the report's page cannot show an image")]
    Picture {
        /// What is wrong with it.
        source: image::ImageError,
    },
    /// A number overflowed on the way through the network.
    #[error("the logits of `{}` for image {row} of {place} are not finite", model.display())]
    NotFinite {
        /// The model.
        model: PathBuf,
        /// Which image.
        row: usize,
        /// Of which split or file.
        place: String,
    },

    /// The classes have no frequencies in English text.
    #[error("`--prior english` needs classes that are single letters, each once; those of the model are {}", classes.join(", "))]
    NoLetters {
        /// The model's classes.
        classes: Vec<String>,
    },
    /// Two priors have one name.
    #[error("two priors are called `{name}`: no report could tell them apart")]
    SamePrior {
        /// Their name.
        name: String,
    },
    /// The other report is on other images.
    #[error("`{}` judges the {} split of {}", path.display(), other.1, other_images(other, this))]
    OtherImages {
        /// The other report.
        path: PathBuf,
        /// Its data set's name and split.
        other: (String, SplitName),
        /// Those of the evaluation.
        this: (String, SplitName),
    },
    /// A prior is none of those that have a name, and no file.
    #[error("there is no prior `{}`, and no such file", path.display())]
    NoPrior {
        /// As it was asked for.
        path: PathBuf,
    },
    /// The run's own report would be replaced by one on other data.
    #[error("the run was trained on another data set, and `{}` is for the report on its own", folder.display())]
    OthersReport {
        /// The folder of the run's report.
        folder: PathBuf,
    },
    /// A data set would be written over.
    #[error("`{}` holds a data set", folder.display())]
    WithinDataset {
        /// The folder that the report was to go to.
        folder: PathBuf,
    },
    /// A result has probability 0 with the numbers given.
    #[error(
        "test {number} cannot be {word}: with these numbers, and P(T) = {belief} before it, that has probability 0"
    )]
    ImpossibleResult {
        /// Which test, from 1.
        number: usize,
        /// "positive" or "negative".
        word: &'static str,
        /// What was believed before it.
        belief: f64,
    },
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Artifact(error) => return error.hint(),
            Self::File(error) => return artifacts::hint(error),
            Self::NoLibrary
            | Self::MissingLibrary { .. }
            | Self::Library { .. }
            | Self::NotOnnxRuntime { .. }
            | Self::LibraryVersion { .. } => {
                "run `make evaluate` with ORT_DYLIB_PATH unset: it unpacks the pinned library; by hand, `export \
                 ORT_DYLIB_PATH=$PWD/.cache/onnxruntime/libonnxruntime.so` names that one behind a `make all`, or --onnxruntime \
                 another"
                    .to_owned()
            }
            Self::DeviceOfCpu { .. } => "leave out one of the two".to_owned(),
            Self::NoCuda { .. } => {
                "run `make evaluate ENGINE=cuda` with ORT_DYLIB_PATH unset, which sets the CUDA provider and its libraries \
                 up; or judge with --provider cpu"
                    .to_owned()
            }
            Self::Model { .. } | Self::Interface { .. } | Self::StaleModel { .. } | Self::Probabilities { .. } => {
                "export the checkpoint again: run `make export`, or `export --run` with this run".to_owned()
            }
            Self::Classes { .. } | Self::ImageSize { .. } => {
                "name the data set that the model was trained on with --dataset".to_owned()
            }
            Self::ReferenceShape { .. } => "train again: run `make train`".to_owned(),
            Self::Parity { .. } | Self::Explained { .. } => {
                "this is a defect of `export` or of the runtime: please report it".to_owned()
            }
            Self::EmptySplit { .. } => "preprocess with more images".to_owned(),
            Self::NoLetters { .. } => "name a file of your own: `{\"CLASS\": weight, ...}`".to_owned(),
            Self::SamePrior { .. } => "name each prior once, and rename one of two files with one name".to_owned(),
            Self::OtherImages { .. } => {
                "evaluate the other run on the same data set and split; make's SEED also decides the split: \
                 TRAIN_FLAGS=--seed=1 varies the training alone"
                    .to_owned()
            }
            Self::NoPrior { .. } => {
                "split, uniform and english have a name; another is a file of weights, `{\"CLASS\": weight, ...}`".to_owned()
            }
            Self::OthersReport { .. } => "name another folder with --output".to_owned(),
            Self::WithinDataset { .. } => "name a folder of its own with --output".to_owned(),
            Self::Runtime { .. } | Self::Picture { .. } | Self::NotFinite { .. } | Self::ImpossibleResult { .. } => {
                return None;
            }
        })
    }

    fn exit_code(&self) -> u8 {
        if matches!(self, Self::DeviceOfCpu { .. }) { 2 } else { 1 }
    }
}

/// What another report judges, against what this one does.
fn other_images(other: &(String, SplitName), this: &(String, SplitName)) -> String {
    let (other, other_split) = other;
    let (this, split) = this;
    if other == this && other_split == split {
        return format!("another data set named `{this}`: its dataset.json is not this one's");
    }
    format!("data set `{other}`, this one the {split} split of data set `{this}`")
}
