//! `preprocess`: class folders of PNG images, or an archive of them, to `.npy` shards. See the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use preprocess::Options;
use terminal::{Console, Verbosity};

/// Turn class folders of PNG images into .npy shards with a dataset.json
///
/// Reads INPUT/CLASS/*.png, or the parts that a source.json in INPUT names (as `fetch` leaves them), or an archive of class
/// folders, of which nothing is unpacked. Unreadable files are listed and left out; exact duplicates, leaks between the
/// splits and images under two labels are removed. The splits are stratified by class and, where file names tell the font,
/// no font is in two that are dealt from one archive.
#[derive(Parser)]
#[command(version, max_term_width = 100, allow_negative_numbers = true, args_override_self = true)]
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
    console.finish(preprocess::run(&arguments.options, &console))
}
