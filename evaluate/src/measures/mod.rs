//! What computes the numbers of the [`report`](crate::report), a concept a file. None of it knows of files: it takes labels,
//! logits, counts and weights.

pub mod bayes;
pub mod by_class;
pub mod calibration;
pub mod confusion;
pub mod groups;
pub mod intervals;
pub mod label_issues;
pub mod network;
pub mod outcomes;
pub mod paired;
pub mod prior;
pub mod quality;
pub mod roc;
pub mod shift;
pub mod temperature;
pub mod undefined;
