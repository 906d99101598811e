use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use archive::{Limits, data_set_name};

/// What `preprocess` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["input", "archive"])))]
pub struct Options {
    /// Folder of class folders with PNG images of one size (at most 2048 pixels a side), or a folder with the source.json
    /// that `fetch` writes
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,

    /// Folder of class folders to test on [default: what source.json says, else a part of INPUT]
    #[arg(long, value_name = "DIR", requires = "input", conflicts_with = "archive")]
    pub test_input: Option<PathBuf>,

    /// Archive of class folders (.tar.gz, .tgz or .tar) instead, read as a stream: the same files come of it as of
    /// `fetch --archive` and --input, byte for byte, and nothing is unpacked
    #[arg(long, value_name = "PATH")]
    pub archive: Option<PathBuf>,

    /// Archive of class folders to test on [default: a part of the first]
    #[arg(long, value_name = "PATH", requires = "archive", conflicts_with = "input")]
    pub test_archive: Option<PathBuf>,

    /// Folder to write; an older one is replaced when the new one is complete
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,

    /// The data set's name [default: what source.json says, else the name of INPUT; the archive's without its extension]
    #[arg(long, value_parser = data_set_name)]
    pub name: Option<String>,

    /// Share of the images of each class to validate on, out of those that are not a test archive's
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    pub valid_fraction: f64,

    /// Share of the images of each class to test on, where there is no test archive; copies are removed after the images were
    /// dealt to the splits, from training first
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    pub test_fraction: f64,

    /// Share of files that may be rejected before the run fails
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub max_rejects: f64,

    /// Most rows in a shard, which also has at most 64 MiB of pixels
    #[arg(long, value_name = "ROWS", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..))]
    pub shard_size: u32,

    /// Decides the splits and the order of the rows
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Threads that decode; the result does not depend on it [default: one a processor]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// How much an archive may hold.
    #[command(flatten)]
    pub limits: Limits,
}

impl Options {
    /// How many threads decode.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_owned()),
    }
}
