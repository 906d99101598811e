use std::path::PathBuf;

use archive::{Limits, data_set_name};
use clap::builder::PossibleValuesParser;
use files::Digest;

use crate::datasets::DATASETS;

// `requires` alone does not do for the archive's arguments: with `--dataset` the group is content, and clap asks no further.
/// What `fetch` is asked for.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["dataset", "archive"])))]
pub struct FetchOptions {
    /// A known data set; `fetch list` describes them
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(DATASETS.iter().map(|known| known.name)))]
    pub dataset: Option<String>,

    /// An archive of your own: path, file: or http(s) URL of a .tar.gz, .tgz or .tar with class folders. Another URL is
    /// fetched anew, even with the same file name
    #[arg(long, value_name = "PATH_OR_URL")]
    pub archive: Option<String>,

    /// Folder to write: train/CLASS/*, perhaps test/CLASS/*, source.json and, after a URL, origin.json [default: data/NAME/raw]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// An archive of your own to test on
    #[arg(long, value_name = "PATH_OR_URL", requires = "archive", conflicts_with = "dataset")]
    pub test_archive: Option<String>,

    /// Name of the data set, which must do as a folder's [default: the archive's name without its extension]
    #[arg(long, requires = "archive", conflicts_with = "dataset", value_parser = data_set_name)]
    pub name: Option<String>,

    /// SHA-256 that the archive must have
    #[arg(long, value_name = "HEX", requires = "archive", conflicts_with = "dataset")]
    pub sha256: Option<Digest>,

    /// SHA-256 that the test archive must have
    #[arg(long, value_name = "HEX", requires = "test_archive", conflicts_with = "dataset")]
    pub test_sha256: Option<Digest>,

    /// Look here first: a URL or folder that has the archive under its own name; may be repeated
    #[arg(long, value_name = "URL", help_heading = "Download")]
    pub mirror: Vec<String>,

    /// Keep the archives that were downloaded, to be used again
    #[arg(long, help_heading = "Download")]
    pub keep_archive: bool,

    /// Folder for downloads and kept archives [default: the folder `archives` beside the output]
    #[arg(long, value_name = "DIR", help_heading = "Download")]
    pub archives: Option<PathBuf>,

    /// How often all mirrors are tried again, after 1, 2, 4, ... seconds
    #[arg(long, value_name = "TIMES", default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=16), help_heading = "Download")]
    pub retries: u32,

    /// Seconds without a byte, or with fewer than 1000 bytes a second, after which a mirror is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400), help_heading = "Download")]
    pub timeout: u64,

    /// PEM file of the certificate authorities to trust instead of Mozilla's, as behind a proxy that looks into https
    /// [default: the environment variable SSL_CERT_FILE, where it is set]
    #[arg(long, value_name = "FILE", help_heading = "Download")]
    pub ca_certificate: Option<PathBuf>,

    /// Fetch anew although it is there already
    #[arg(long)]
    pub force: bool,

    /// How much an archive may hold
    #[command(flatten)]
    pub limits: Limits,
}
