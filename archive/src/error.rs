use std::io;

use terminal::Failure;

use crate::foreign::Foreign;

/// Why an archive gives no files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be read, or a scratch file not be written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// An archive's location does not end in a file name, so it cannot be kept or recorded.
    #[error("`{location}` does not end in the name of a file")]
    NoFileName {
        /// As it was given.
        location: String,
    },
    /// An artifact calls something else so, among what it is made from.
    #[error("an archive cannot be called `{name}`: so dataset.json calls another of its inputs")]
    TakenName {
        /// The name.
        name: String,
    },
    /// source.json names archives by their file names.
    #[error("the archive and the test archive are both called `{name}`")]
    SameName {
        /// The name.
        name: String,
    },
    /// The bytes are those of something else.
    #[error("`{archive}` is no .tar.gz, .tgz or .tar: {found}")]
    NotAnArchive {
        /// Where it was read from.
        archive: String,
        /// What it looks like.
        found: Foreign,
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
    /// File systems have limits.
    #[error("has a name of more than {part} bytes, or of more than {whole} with its folders")]
    LongName {
        /// The most bytes of a name without its folders.
        part: usize,
        /// The most bytes with them.
        whole: usize,
    },
    /// `ln`, `ln -s`.
    #[error("is a {0} link; only files and folders are unpacked")]
    Link(&'static str),
    /// A device, pipe or socket.
    #[error("is a {0}; only files and folders are unpacked")]
    Kind(&'static str),
    /// The second entry of a name would replace the first one.
    #[error("comes twice")]
    Twice,
    /// A file where a folder is needed, or the other way round.
    #[error("is a file and a folder")]
    FileAndFolder,
    /// Folders are held in memory.
    #[error("is in one folder more than the {0} that are possible")]
    TooManyFolders(usize),
    /// More than `--max-files`.
    #[error("is one file more than the {0} of --max-files")]
    TooManyFiles(u64),
    /// Names take room in the files of those who keep them.
    #[error("brings the names to more than {0} bytes")]
    TooLongNames(u64),
    /// More than `--max-unpacked-bytes`.
    #[error("brings the files to more than the {0} bytes of --max-unpacked-bytes")]
    TooManyBytes(u64),
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) => error.hint().map(str::to_owned),
            Self::NoFileName { .. } => Some("give the location of the archive itself, as `.../letters.tar.gz`".into()),
            Self::TakenName { .. } => Some("rename it, as to `letters.tar.gz`".into()),
            Self::SameName { .. } => Some("rename one of them".into()),
            // What a decoder says has a kind; what we say against something that it read well has none.
            Self::Damaged { source, .. } if source.kind() == io::ErrorKind::Other => {
                Some("pack its files anew: `tar -czf NAME.tar.gz FOLDER`".into())
            }
            Self::Damaged { .. } => Some("the file may have been cut: fetch it again".into()),
            Self::Entry { reason: Refusal::TooManyFiles(_), .. } => {
                Some("if the archive is to be trusted, raise --max-files".into())
            }
            Self::Entry { reason: Refusal::TooManyBytes(_), .. } => {
                Some("if the archive is to be trusted, raise --max-unpacked-bytes".into())
            }
            Self::Entry { reason: Refusal::Link(_), .. } => Some(
                "pack files in the place of links: `tar --dereference --hard-dereference -czf NAME.tar.gz FOLDER`"
                    .into(),
            ),
            Self::NoClassFolders { .. } => Some("images lie in class folders, as `A/*.png`, `B/*.png`".into()),
            Self::NotAnArchive { found, .. } => found.hint().map(str::to_owned),
            Self::Entry { .. } => None,
        }
    }

    fn exit_code(&self) -> u8 {
        if matches!(self, Self::NoFileName { .. } | Self::TakenName { .. } | Self::SameName { .. }) { 2 } else { 1 }
    }
}
