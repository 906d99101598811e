//! `train`: fits a multilayer perceptron to the shards. See the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use terminal::{Console, Verbosity};
use train::{Options, recipe};

/// Train a multilayer perceptron on the shards that `preprocess` writes
///
/// Linear layers with ReLU between them, kaiming_normal weights, Adam or AdamW, cross entropy; the input is standardised
/// with the training split's mean and deviation. The same seed gives the same bytes for any number of threads.
#[derive(Parser)]
#[command(version, max_term_width = 100, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(recipe::expand(std::env::args_os()));
    let console = Console::new(arguments.verbosity);
    console.finish(train::run(&arguments.options, &console))
}
