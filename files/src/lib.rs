//! Files and folders that are written whole, by one at a time, and known by their digests.
//!
//! - **Whole or absent.** A file or folder is written to a temporary name beside its place and renamed, a file synced before
//!   ([`write_file`], [`StagedFile`], [`StagedDirectory`]): a process that is killed leaves what was there before, or nothing.
//!   What grows by a line at a time, as the log of a training does, is its writer's own affair.
//! - **One writer.** Who writes to a place holds the [`Lock`] on it.
//! - **Nothing left.** A process that ends early removes what it has not finished ([`remove_unfinished`]).
//! - **Known by its digest.** What is written is digested on the way ([`Digest`], SHA-256); an [`Error`] names the file and
//!   what was tried with it ([`IoContext`]).

mod digest;
mod error;
mod lock;
mod place;
mod unfinished;

pub use digest::{Digest, HashingReader, HashingWriter, sha256_file};
pub use error::{Error, IoContext, Result};
pub use lock::Lock;
pub use place::{StagedDirectory, StagedFile, remove_file, resolved, write_file};
pub use unfinished::{NothingFinishes, remove_unfinished};
