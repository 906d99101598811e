//! `fuzz`: gives changed files of the corpus to every parser, for as long as it is told.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use artifacts::{Digest, IoContext as _};
use clap::Parser;
use fuzz::{Mutator, TARGETS, Target, corpus, seeds};
use terminal::{Align, Console, Failure, Table, Verbosity};

/// Give changed files of the corpus to every parser of the pipeline
///
/// A file that makes one panic is written to the parser's corpus, where `cargo test -p fuzz` finds it from then on.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// How long each parser is given files
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// Where to begin; another number finds other files
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Write the files that the corpus begins with, and do nothing else
    #[arg(long)]
    write_seeds: bool,

    #[command(flatten)]
    verbosity: Verbosity,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    #[error("the parser `{target}` panics on `{}`", file.display())]
    Panicked { target: &'static str, file: PathBuf },
}

impl Failure for Error {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Artifact(error) => error.hint(),
            Self::Panicked { .. } => Some("`cargo test --package fuzz` shows where, now and ever after".to_owned()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::new(arguments.verbosity);
    console.finish(run(&arguments, &console))
}

fn run(arguments: &Arguments, console: &Console) -> Result<(), Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    if arguments.write_seeds {
        return Ok(seeds::write(&folder)?);
    }
    let mut table = Table::new(&[("parser", Align::Left), ("files", Align::Right), ("taken", Align::Right)]);
    for target in TARGETS {
        let (files, taken) = fuzz(&target, arguments, &folder)?;
        table.row([target.name.to_owned(), files.to_string(), taken.to_string()]);
    }
    console.table(&table);
    Ok(())
}

/// How many files were given, and how many of them the parser took.
fn fuzz(target: &Target, arguments: &Arguments, folder: &Path) -> Result<(u64, u64), Error> {
    let place = folder.join(target.name);
    let mut known: Vec<Vec<u8>> = corpus(target).context("read", &place)?.into_iter().map(|(_, bytes)| bytes).collect();
    let mut mutator = Mutator::new(arguments.seed);
    let (mut files, mut taken) = (0, 0);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    while Instant::now() < end {
        let bytes = mutator.next_input(&known);
        files += 1;
        match catch_unwind(|| (target.check)(&bytes)) {
            Ok(false) => {}
            Ok(true) => {
                taken += 1;
                // What a parser takes is a good start for the next ones.
                if known.len() < 1000 {
                    known.push(bytes);
                }
            }
            Err(_) => {
                let file = place.join(format!("panic-{}", &Digest::of(&bytes).to_string()[..16]));
                artifacts::write_file(&file, |writer| std::io::Write::write_all(writer, &bytes))?;
                return Err(Error::Panicked { target: target.name, file });
            }
        }
    }
    Ok((files, taken))
}
