//! `train`: fits a multilayer perceptron to the shards. See the library for what it does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use terminal::{Console, Verbosity};
use train::sweep::SweepOptions;
use train::{Options, recipe};

/// Train a multilayer perceptron on the shards that `preprocess` writes
///
/// Linear layers with ReLU between them, kaiming_normal weights, Adam or AdamW; the input is standardised with the training
/// split's mean and deviation. The same seed gives the same bytes for any number of threads. Of a flag that is given twice,
/// the last one counts.
///
/// `train sweep FILE.toml` trains variants with several seeds each: see `train sweep --help`. `train --engines` lists the
/// engines of this machine.
#[derive(Parser)]
#[command(version, max_term_width = 100, allow_negative_numbers = true, args_override_self = true)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    verbosity: Verbosity,
}

/// Train variants of a recipe, each with several seeds, and compare them on validation
///
/// The test split is never opened. A finished training is taken as it is, one that was cut short goes on.
#[derive(Parser)]
#[command(name = "train sweep", bin_name = "train sweep", version, max_term_width = 100)]
struct SweepArguments {
    #[command(flatten)]
    options: SweepOptions,
    #[command(flatten)]
    verbosity: Verbosity,
}

/// List the engines of this machine
///
/// Each GPU with its memory, compute capability and libraries, and where these were found; what is missing with the reason.
#[derive(Parser)]
#[command(name = "train --engines", bin_name = "train", version, max_term_width = 100)]
struct EnginesArguments {
    /// List the engines
    #[arg(long = "engines", required = true)]
    _engines: bool,
    /// Folder of CUDA's libraries, searched after CUDA_HOME and before the system's
    #[arg(long, value_name = "DIR", env = "CUDA_LIBRARIES", hide_env_values = true)]
    cuda_libraries: Option<PathBuf>,
    #[command(flatten)]
    verbosity: Verbosity,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.iter().any(|argument| argument == "--engines") {
        let EnginesArguments { cuda_libraries, verbosity, .. } = EnginesArguments::parse_from(&arguments);
        train::engines(cuda_libraries.as_deref(), &Console::new(verbosity));
        return ExitCode::SUCCESS;
    }
    if arguments.get(1).is_some_and(|first| first == "sweep") {
        let SweepArguments { options, verbosity } = SweepArguments::parse_from(&arguments[1..]);
        let console = Console::new(verbosity);
        console.end_on_signals(files::remove_unfinished, Some("run it again: what is trained is taken as it is"));
        return console.finish(train::sweep::run(&options, &console));
    }
    let Arguments { options, verbosity } = Arguments::parse_from(recipe::expand(arguments));
    let console = Console::new(verbosity);
    console.end_on_signals(
        files::remove_unfinished,
        Some("where an epoch of this training was finished, `--resume` continues after the last one"),
    );
    console.finish(train::run(&options, &console))
}
