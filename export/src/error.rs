use std::path::PathBuf;

use terminal::Failure;

use crate::onnx::MOST_BYTES;

/// Why a checkpoint cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint cannot be read or is not its run's, or the model cannot be written.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A file or folder cannot be read or written, or is not as it was.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The run's training did not end.
    #[error("the run `{}` is not finished: it has no training.json", run.display())]
    Unfinished {
        /// The run's folder.
        run: PathBuf,
    },
    /// The checkpoint would be lost.
    #[error("`{}` is the checkpoint, and the model to write", path.display())]
    OnItself {
        /// The file.
        path: PathBuf,
    },
    /// Protocol buffers end at 2 GiB.
    #[error("the model would have {bytes} bytes; an ONNX file holds at most {MOST_BYTES}")]
    TooLarge {
        /// The size of the file.
        bytes: usize,
    },
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::File(error) => artifacts::hint(error),
            Self::Unfinished { .. } => Some(
                "finish the training with `train --resume`; a checkpoint on its own is exported with `export --checkpoint FILE \
                 --output FILE`"
                    .to_owned(),
            ),
            Self::OnItself { .. } => Some("name another --output".to_owned()),
            Self::TooLarge { .. } => Some("train a network with smaller hidden layers".to_owned()),
        }
    }
}
