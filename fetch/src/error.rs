use std::io::ErrorKind;
use std::path::PathBuf;

use archive::Refusal;
use files::Digest;
use terminal::Failure;

use crate::download::MirrorFailure;

/// Why a data set cannot be fetched, or an archive not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An artifact cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A file or folder cannot be read or written, or is not as it was.
    #[error(transparent)]
    File(#[from] files::Error),
    /// An archive cannot be read, or is refused.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// An archive's location has a scheme that is not known.
    #[error("`{location}` has the scheme `{scheme}`; `http`, `https` and `file` are possible")]
    Scheme {
        /// As it was given.
        location: String,
        /// What stands before the colon.
        scheme: String,
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
    /// Archives would be kept in the folder that is replaced.
    #[error("archives cannot be kept in `{}`: `{}` is replaced as a whole", archives.display(), output.display())]
    ArchivesInOutput {
        /// The folder for archives.
        archives: PathBuf,
        /// The folder to write.
        output: PathBuf,
    },
    /// There is no font to look at.
    #[error("there is no .ttf or .otf file under {}", quoted(folders))]
    NoFontFile {
        /// Where fonts were looked for.
        folders: Vec<PathBuf>,
    },
    /// There is nothing to render.
    #[error("none of {files} font files is used, under {}", quoted(folders))]
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

impl Error {
    /// Whether the archive's bytes are to blame, rather than the disk that it is unpacked to or a limit.
    pub(crate) fn is_of_the_archive(&self) -> bool {
        use archive::Error::{Damaged, Entry, NoClassFolders, NotAnArchive};
        match self {
            Self::Archive(Entry { reason, .. }) => {
                !matches!(reason, Refusal::TooManyFiles(_) | Refusal::TooManyBytes(_) | Refusal::TooLongNames(_))
            }
            Self::Archive(error) => matches!(error, Damaged { .. } | NotAnArchive { .. } | NoClassFolders { .. }),
            _ => false,
        }
    }
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::File(files::Error::Io { source, path, .. }) if source.kind() == ErrorKind::IsADirectory => {
                let folder = path.display();
                Some(format!(
                    "an archive is a file: `tar czf letters.tar.gz -C {folder} .` makes one of it, or `preprocess --input {folder}` \
                     reads the folder itself"
                ))
            }
            Self::File(error) => artifacts::hint(error),
            Self::Archive(error) => error.hint(),
            Self::NoMirror { failures, .. } if let Some(hint) = foreign(failures) => Some(hint.to_owned()),
            Self::NoMirror { failures, .. } if failures.iter().all(|(_, failure)| failure.is_of_the_address()) => {
                Some("look the address up, or name another place that has the file: `--mirror URL`".to_owned())
            }
            Self::NoMirror { archive, .. } => Some(format!(
                "behind a proxy set `https_proxy` and `http_proxy`, and name its authority with `--ca-certificate` if it \
                 looks into https; with another place that has the file add `--mirror \
                 URL`; with the file itself put its folder in: `--mirror file:/FOLDER/OF/IT`, which reads \
                 `/FOLDER/OF/IT/{archive}`"
            )),
            Self::Digest { archive, .. } => Some(format!("look for yourself: `sha256sum {archive}`")),
            Self::NoFont { .. } => Some("`-v` says of each font why it is left out".into()),
            Self::ArchivesInOutput { .. } => Some("name another folder with --archives".into()),
            Self::Scheme { .. } | Self::Proxy { .. } | Self::NoFontFile { .. } | Self::ArchiveName { .. } => None,
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Archive(error) => error.exit_code(),
            Self::Scheme { .. } | Self::ArchiveName { .. } | Self::ArchivesInOutput { .. } => 2,
            _ => 1,
        }
    }
}

fn quoted(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| format!("`{}`", folder.display())).collect::<Vec<_>>().join(", ")
}

/// What to do where every mirror has something else under the archive's name.
fn foreign(failures: &[(String, MirrorFailure)]) -> Option<&'static str> {
    let hint = |(_, failure): &(_, MirrorFailure)| match failure {
        MirrorFailure::Foreign(found) => found.hint(),
        _ => None,
    };
    failures.iter().map(hint).collect::<Option<Vec<_>>>()?.first().copied()
}

fn list(failures: &[(String, MirrorFailure)]) -> String {
    failures.iter().map(|(mirror, failure)| format!("\n  {mirror}: {failure}")).collect()
}
