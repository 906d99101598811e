//! `export`: a checkpoint to an ONNX model. See the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use export::Options;
use terminal::{Console, Verbosity};

/// Write a trained checkpoint as an ONNX model
///
/// The model takes images of bytes, `u8 [N, H, W]`, as they are: standardisation is part of its graph. It gives `logits`
/// and `probabilities`, `f32 [N, C]`. Class names and provenance stand in its metadata. Any onnxruntime from 1.12 on
/// opens it.
#[derive(Parser)]
#[command(version, max_term_width = 100, args_override_self = true, allow_negative_numbers = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.verbosity);
    console.end_on_signals(files::remove_unfinished, None);
    console.finish(export::run(&arguments.options, &console))
}
