use std::error::Error;
use std::{fmt, io};

use crate::Failure;

/// What a program should have read is not all there.
#[derive(Debug)]
pub(crate) struct LostData<'a> {
    /// The system's reason.
    pub source: &'a io::Error,
}

impl fmt::Display for LostData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to stdout")
    }
}

impl Error for LostData<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source)
    }
}

impl Failure for LostData<'_> {}
