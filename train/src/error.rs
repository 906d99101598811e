use std::num::NonZeroUsize;
use std::path::PathBuf;

use artifacts::SplitName;
use terminal::{Failure, counted};

use crate::cuda;
use crate::model::Mlp;
use crate::options::Precision;

/// Why a training fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A file or folder cannot be read or written, or is not as it was.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The network does not fit in the memory of any machine that it is meant for.
    #[error(
        "the network{} has {parameters} parameters; at most {} are possible",
        if copies.get() > 1 { format!(" that {copies} copies are joined to") } else { String::new() },
        Mlp::MOST_PARAMETERS
    )]
    TooLarge {
        /// Weights and biases.
        parameters: usize,
        /// How many networks it is made of.
        copies: NonZeroUsize,
    },
    /// Shifted images would show nothing.
    #[error("--test-time-shift {pixels} moves images of {height}x{width} pixels out of sight")]
    Shift {
        /// By so many pixels.
        pixels: u32,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
    },
    /// There is nothing to train or to validate on.
    #[error("the {split} split of `{}` has no image", folder.display())]
    EmptySplit {
        /// The folder of the data set.
        folder: PathBuf,
        /// The split.
        split: SplitName,
    },
    /// The loss is no number any more.
    #[error("training diverged: the loss of epoch {epoch} is {loss}")]
    Diverged {
        /// From 1.
        epoch: usize,
        /// The mean loss of its steps.
        loss: f64,
        /// Whether its products were in half precision.
        in_half: bool,
    },
    /// `--resume` would continue another training.
    #[error("`{}` is of another training:{}", path.display(), listed(differences))]
    OtherTraining {
        /// Its state or, where there is none, its record.
        path: PathBuf,
        /// What differs, each as `name: there, here`.
        differences: Vec<String>,
    },
    /// Trainings of a sweep diverged, and the others are over.
    #[error("{} of the trainings diverged:{}", trainings.len(), listed(trainings))]
    SomeDiverged {
        /// Each with its variant and seed.
        trainings: Vec<String>,
        /// Whether the products of one of them were in half precision.
        in_half: bool,
    },
    /// A file is not a valid sweep.
    #[error("`{}` is not a valid sweep: {reason}", path.display())]
    Sweep {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A sweep has flags that `train` refuses.
    #[error("variant `{variant}`: {reason}")]
    Flags {
        /// The variant's name.
        variant: String,
        /// What `train` says of them.
        reason: String,
    },
    /// A picture cannot be written.
    #[error("cannot write the sheet `{}`", path.display())]
    Sheet {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: image::ImageError,
    },
    /// A cross-validation has nothing to train on.
    #[error("all training images fall into one of the {folds} folds")]
    OneFold {
        /// How many folds were asked for.
        folds: u32,
    },
    /// The CUDA engine cannot start, or not go on.
    #[error(transparent)]
    Cuda(#[from] cuda::Error),
    /// A run would lie among a data set's files.
    #[error("`{}` holds a data set", folder.display())]
    WithinDataset {
        /// The folder of the data set.
        folder: PathBuf,
    },
    /// The engine has no such products.
    #[error(
        "the {engine} engine has no {precision} products{}",
        because.as_ref().map(|because| format!(" (the {engine} was chosen because {because})")).unwrap_or_default()
    )]
    Precision {
        /// Its name.
        engine: &'static str,
        /// What was asked for.
        precision: Precision,
        /// Why it is that engine, where nobody asked for it.
        because: Option<String>,
    },
    /// A GPU is named, but none is to compute.
    #[error("--device {device} names a GPU, but --engine cpu computes on the processor")]
    DeviceOfCpu {
        /// Its number.
        device: u32,
    },
    /// The system starts no threads.
    #[error("cannot start {}", counted(*threads as u64, "thread"))]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::File(error) => artifacts::hint(error),
            Self::Cuda(error) => error.hint(),
            Self::Precision { precision, .. } => {
                let other = if *precision == Precision::F16 { "cpu" } else { "cuda" };
                Some(format!("leave out --precision, or train with --engine {other}"))
            }
            Self::EmptySplit { split: SplitName::Train, .. } => {
                Some("lower --valid-fraction or --test-fraction of `preprocess`".to_owned())
            }
            Self::EmptySplit { split, .. } => Some(format!("`preprocess --{split}-fraction` decides its size")),
            Self::TooLarge { .. } => {
                Some("lower --hidden, or what it is multiplied by: --ensemble and --test-time-shift".to_owned())
            }
            Self::Shift { .. } => Some("1 or 2 is what helps images of 28x28".to_owned()),
            Self::Diverged { in_half, .. } | Self::SomeDiverged { in_half, .. } => {
                let precision = if *in_half { ", or take --precision f32" } else { "" };
                Some(format!("lower --learning-rate or --weight-decay, raise --warmup, or set --clip-norm{precision}"))
            }
            Self::OtherTraining { .. } => {
                Some("repeat its arguments, name another --run, or leave out --resume to start anew".to_owned())
            }
            Self::WithinDataset { .. } => Some("name a folder outside of it with --run".to_owned()),
            Self::OneFold { .. } => Some("the images of one font are in one fold: more fonts are needed".to_owned()),
            Self::DeviceOfCpu { .. } => Some("leave out one of the two".to_owned()),
            Self::Sweep { .. } => Some("`docs/recipe/` has examples".to_owned()),
            Self::Flags { .. } | Self::Sheet { .. } | Self::Threads { .. } => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::TooLarge { .. }
            | Self::Shift { .. }
            | Self::Precision { .. }
            | Self::DeviceOfCpu { .. }
            | Self::WithinDataset { .. }
            | Self::Flags { .. } => 2,
            _ => 1,
        }
    }
}

fn listed(differences: &[String]) -> String {
    differences.iter().map(|difference| format!("\n  {difference}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_is_not_1_threads() {
        let said = |threads| Error::Threads { threads, source: std::io::Error::other("") }.to_string();
        assert_eq!([said(1), said(2)], ["cannot start 1 thread", "cannot start 2 threads"]);
    }
}
