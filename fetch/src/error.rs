use std::io;
use std::path::{Path, PathBuf};

use artifacts::Digest;
use terminal::Failure;

use crate::download::MirrorFailure;

/// Why a data set cannot be fetched, or an archive not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// An archive's location does not end in a file name, so it cannot be kept or recorded.
    #[error("`{location}` does not end in the name of a file")]
    NoFileName {
        /// As it was given.
        location: String,
    },
    /// An archive's location has a scheme that is not known.
    #[error("`{location}` has the scheme `{scheme}`; `http`, `https` and `file` are possible")]
    Scheme {
        /// As it was given.
        location: String,
        /// What stands before the colon.
        scheme: String,
    },
    /// source.json names archives by their file names.
    #[error("the archive and the test archive are both called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// A proxy's address is not one.
    #[error("the environment variable {variable} is no proxy's address: {reason}")]
    Proxy {
        /// Which variable.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No mirror gave the archive.
    #[error("no mirror gave `{archive}`{}", list(failures))]
    NoMirror {
        /// The archive's file name.
        archive: String,
        /// Each mirror's last failure.
        failures: Vec<(String, MirrorFailure)>,
    },
    /// An archive is not the expected one.
    #[error("`{archive}` has SHA-256 {found}, but {expected} is expected")]
    Digest {
        /// Where it was read from.
        archive: String,
        /// What was expected.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// The bytes are those of something else.
    #[error("`{archive}` is no .tar.gz, .tgz or .tar: {found}")]
    NotAnArchive {
        /// Where it was read from.
        archive: String,
        /// What it looks like.
        found: &'static str,
    },
    /// An archive ends early or its contents are inconsistent.
    #[error("`{archive}` is damaged after {files} files")]
    Damaged {
        /// Where it was read from.
        archive: String,
        /// How many files came out of it before.
        files: u64,
        /// What the decoder said.
        source: io::Error,
    },
    /// An archive has an entry that is not unpacked.
    #[error("`{archive}` is refused: its entry `{entry}` {reason}")]
    Entry {
        /// Where it was read from.
        archive: String,
        /// The entry's name; what is no text in it is escaped.
        entry: String,
        /// What is wrong with it.
        reason: Refusal,
    },
    /// An archive without class folders.
    #[error("`{archive}` has no class folders: {files} files, none of them in a folder")]
    NoClassFolders {
        /// Where it was read from.
        archive: String,
        /// How many files there are.
        files: u64,
    },
    /// There is no font to look at.
    #[error("there is no .ttf or .otf file under {}", quoted(folders))]
    NoFontFile {
        /// Where fonts were looked for.
        folders: Vec<PathBuf>,
    },
    /// There is nothing to render.
    #[error("none of {files} font files draws all letters, under {}", quoted(folders))]
    NoFont {
        /// Where fonts were looked for.
        folders: Vec<PathBuf>,
        /// How many font files there are.
        files: usize,
    },
    /// The archive to render to has another form's name.
    #[error("`{}` does not end in .tar.gz or .tgz", path.display())]
    ArchiveName {
        /// As it was given.
        path: PathBuf,
    },
}

/// Why an archive's entry is not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `/etc/passwd`.
    #[error("has an absolute path")]
    Absolute,
    /// `../../etc/passwd`.
    #[error("leads out of the folder")]
    Outside,
    /// No line of text could hold the name.
    #[error("has a name that is not UTF-8 or holds a control character")]
    Name,
    /// A link, device, pipe or socket.
    #[error("is a {0}; only files and folders are unpacked")]
    Kind(&'static str),
    /// The second entry of a name would replace the first one.
    #[error("comes twice")]
    Twice,
    /// A file where a folder is needed, or the other way round.
    #[error("is a file and a folder")]
    FileAndFolder,
    /// More than `--max-files`.
    #[error("is one file more than the {0} of --max-files")]
    TooManyFiles(u64),
    /// More than `--max-bytes`.
    #[error("brings the files to more than the {0} bytes of --max-bytes")]
    TooManyBytes(u64),
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::NoFileName { .. } => Some("give the location of the archive itself, as `.../letters.tar.gz`".into()),
            Self::SameName { .. } => Some("rename one of them".into()),
            Self::NoMirror { archive, .. } => Some(format!(
                "behind a proxy set `https_proxy` and `http_proxy`; with another place that has the file add `--mirror \
                 URL`; with the file itself put its folder in: `--mirror file:/FOLDER/OF/IT`, which reads \
                 `/FOLDER/OF/IT/{archive}`"
            )),
            Self::Digest { archive, .. } => Some(format!("look for yourself: `sha256sum {archive}`")),
            Self::Damaged { .. } => Some("the file may have been cut: fetch it again".into()),
            Self::Entry { reason: Refusal::TooManyFiles(_), .. } => {
                Some("if the archive is to be trusted, raise --max-files".into())
            }
            Self::Entry { reason: Refusal::TooManyBytes(_), .. } => {
                Some("if the archive is to be trusted, raise --max-bytes".into())
            }
            Self::NoClassFolders { .. } => Some("images lie in class folders, as `A/*.png`, `B/*.png`".into()),
            Self::NoFont { .. } => Some("`-v` says of each font why it is left out".into()),
            Self::Io { .. }
            | Self::Scheme { .. }
            | Self::Proxy { .. }
            | Self::NotAnArchive { .. }
            | Self::Entry { .. }
            | Self::NoFontFile { .. }
            | Self::ArchiveName { .. } => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::NoFileName { .. } | Self::Scheme { .. } | Self::SameName { .. } | Self::ArchiveName { .. } => 2,
            _ => 1,
        }
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

fn quoted(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| format!("`{}`", folder.display())).collect::<Vec<_>>().join(", ")
}

fn list(failures: &[(String, MirrorFailure)]) -> String {
    failures.iter().map(|(mirror, failure)| format!("\n  {mirror}: {failure}")).collect()
}
