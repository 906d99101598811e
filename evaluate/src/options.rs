use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use artifacts::SplitName;

use crate::error::Error;
use crate::inputs::PriorName;

/// What `evaluate` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Folder of a training run, with the model.onnx that `export` wrote
    #[arg(long, value_name = "DIR")]
    pub run: PathBuf,

    /// Folder of the shards, with the dataset.json that `preprocess` wrote
    #[arg(long, value_name = "DIR")]
    pub dataset: PathBuf,

    /// Folder for the report [default: `report` in the run's folder]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Which images to judge on
    #[arg(long, value_enum, default_value_t = JudgedSplit::Test)]
    pub split: JudgedSplit,

    /// Images in a batch
    #[arg(long, value_name = "IMAGES", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch_size: u32,

    /// Threads that compute; the report does not depend on it [default: one a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// What computes
    #[arg(long, value_enum, default_value_t = Provider::Auto)]
    pub provider: Provider,

    /// GPU to compute on, counted from 0; where it is given, no other provider is taken than CUDA's [default: 0]
    #[arg(long, value_name = "NUMBER")]
    pub device: Option<u16>,

    /// Folder of CUDA's libraries, searched after CUDA_HOME and before the folder of ONNX Runtime
    #[arg(long, value_name = "DIR", env = "CUDA_LIBRARIES", hide_env_values = true)]
    pub cuda_libraries: Option<PathBuf>,

    /// Do not compare the model and the shards with the digests that were recorded of them
    #[arg(long)]
    pub no_verify: bool,

    /// Tell what to expect where the classes are as frequent as here: split (the one that is judged), uniform, english, or a
    /// JSON file of one weight a class; may be given several times [default: split, uniform and, if the classes are letters,
    /// english]
    #[arg(long, value_name = "PRIOR", help_heading = "Questions")]
    pub prior: Vec<PriorName>,

    /// Estimate how frequent the classes are among unlabelled images: a .npy, u8 [N, H, W]
    #[arg(long, value_name = "FILE.npy", help_heading = "Questions")]
    pub estimate_prior: Option<PathBuf>,

    /// Compare with the model of another report on the same images
    #[arg(long, value_name = "report.json", help_heading = "Questions")]
    pub compare: Option<PathBuf>,

    /// The library of ONNX Runtime, as libonnxruntime.so
    #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH", hide_env_values = true, value_parser = clap::value_parser!(OsString))]
    pub onnxruntime: Option<OsString>,
}

/// A split that a model may be judged on: never the one that it was fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum JudgedSplit {
    /// Images that had no part in training
    Test,
    /// Images that decided when training stopped
    Valid,
}

/// What computes: a provider of ONNX Runtime, in its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// The GPU where ONNX Runtime can use one, else the processor
    Auto,
    /// The GPU
    Cuda,
    /// The processor
    Cpu,
}

impl Options {
    /// How many threads compute.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }

    /// The provider that is asked for: whoever names a GPU wants no processor.
    pub(crate) fn provider(&self) -> Result<Provider, Error> {
        match (self.provider, self.device) {
            (Provider::Auto, Some(_)) => Ok(Provider::Cuda),
            (Provider::Cpu, Some(device)) => Err(Error::DeviceOfCpu { device }),
            (provider, _) => Ok(provider),
        }
    }

    /// The GPU that would compute.
    pub(crate) fn device(&self) -> u16 {
        self.device.unwrap_or_default()
    }

    /// How many images are in a batch.
    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size as usize
    }
}

impl From<JudgedSplit> for SplitName {
    fn from(split: JudgedSplit) -> Self {
        match split {
            JudgedSplit::Test => Self::Test,
            JudgedSplit::Valid => Self::Valid,
        }
    }
}
