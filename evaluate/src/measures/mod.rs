//! What computes the numbers of the [`report`](crate::report), a concept a file. None of it knows of files or models: it
//! takes labels, logits and counts.

pub mod bootstrap;
pub mod by_class;
pub mod confusion;
pub mod intervals;
pub mod outcomes;
pub mod quality;
pub mod undefined;
