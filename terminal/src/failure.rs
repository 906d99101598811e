use std::error::Error;

/// An error that a binary may end with.
pub trait Failure: Error {
    /// What the person can do about it, best as the very command to run.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The process's exit code: 1, or 2 where the arguments were wrong.
    fn exit_code(&self) -> u8 {
        1
    }
}
