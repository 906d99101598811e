//! What every binary of the pipeline says to a person, in one style.
//!
//! - What a program may parse goes to stdout ([`Console::data`]), everything else to stderr. Where stdout does not take
//!   it, as on a full disk, the process fails; a reader that has gone away is no failure.
//! - `-q` leaves warnings and errors, `-v` adds details; colour only on a terminal and without `NO_COLOR`.
//! - A progress bar is drawn on a terminal alone; elsewhere a stage's plain lines have to do.
//! - A process that is told to end by SIGTERM or SIGINT removes what is unfinished, says so, and ends with 128 and the
//!   signal's number ([`Console::end_on_signals`]).
//! - An error is printed with its causes and, where there is something to do, a `hint:` line ([`Console::finish`]).

mod failure;
mod lost_data;
mod number;
mod table;
mod termination;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
pub use failure::Failure;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lost_data::LostData;
pub use number::{counted, grouped};
pub use table::{Align, Table};

const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// The verbosity flags that every binary takes.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Verbosity {
    /// Say nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    quiet: bool,
    /// Say more
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
}

/// Where a stage speaks.
#[derive(Debug)]
pub struct Console {
    verbosity: Verbosity,
    bars: MultiProgress,
    /// Why stdout did not take something, the first time.
    lost_data: OnceLock<io::Error>,
}

impl Console {
    /// A console on this process's stdout and stderr.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        let target = if verbosity.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { verbosity, bars: MultiProgress::with_draw_target(target), lost_data: OnceLock::new() }
    }

    /// A console that says nothing but warnings and errors.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(Verbosity { quiet: true, verbose: false })
    }

    /// A line on stderr; silent under `-q`.
    pub fn say(&self, line: impl AsRef<str>) {
        if !self.verbosity.quiet {
            self.stderr(line.as_ref());
        }
    }

    /// A line on stderr under `-v` alone.
    pub fn detail(&self, line: impl AsRef<str>) {
        if self.verbosity.verbose {
            self.stderr(line.as_ref());
        }
    }

    /// A `warning:` on stderr, whatever the verbosity.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.stderr(&format!("{WARNING}warning:{WARNING:#} {}", line.as_ref()));
    }

    /// A table on stderr; silent under `-q`.
    pub fn table(&self, table: &Table) {
        self.say(table.to_string());
    }

    /// Text for programs on stdout, whatever the verbosity. A reader that has gone away is not an error; any other is
    /// reported by [`Console::finish`].
    pub fn data(&self, text: impl AsRef<str>) {
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{}", text.as_ref()).and_then(|()| stdout.flush())
        });
        if let Err(error) = written
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _first_one_counts = self.lost_data.set(error);
        }
    }

    /// A bar that counts to `total` of `unit` (as in "images"). It is drawn on a terminal alone and
    /// vanishes when it is dropped.
    #[must_use]
    pub fn progress(&self, total: u64, unit: &str) -> Progress {
        let counts = format!("{{human_pos}}/{{human_len}} {unit}");
        self.bar(total, &format!("{{prefix:>12}} {{bar:32}} {counts}  {{per_sec}}  {{eta}} left"))
    }

    /// A bar that counts to `total` bytes.
    #[must_use]
    pub fn progress_bytes(&self, total: u64) -> Progress {
        self.bar(total, "{prefix:>12} {bar:32} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left")
    }

    /// Prints `result`'s error with its causes and its hint, and turns it into the process's exit code. Without one, the
    /// process has succeeded if stdout took all of [`Console::data`].
    #[must_use]
    pub fn finish<E: Failure>(&self, result: Result<(), E>) -> ExitCode {
        match (result, self.lost_data.get()) {
            (Err(error), _) => self.fail(&error),
            (Ok(()), Some(source)) => self.fail(&LostData { source }),
            (Ok(()), None) => ExitCode::SUCCESS,
        }
    }

    fn fail(&self, error: &dyn Failure) -> ExitCode {
        self.stderr(&format!("{ERROR}error:{ERROR:#} {error}"));
        let mut cause = error.source();
        while let Some(inner) = cause {
            self.stderr(&format!("  caused by: {inner}"));
            cause = inner.source();
        }
        if let Some(hint) = error.hint() {
            self.stderr(&format!("{HINT}hint:{HINT:#} {hint}"));
        }
        ExitCode::from(error.exit_code())
    }

    fn bar(&self, total: u64, template: &str) -> Progress {
        let style =
            ProgressStyle::with_template(template).expect("the template is a constant but for a unit, which is a word");
        let bar = self.bars.add(ProgressBar::new(total).with_style(style));
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    fn stderr(&self, line: &str) {
        write_stderr(&self.bars, line);
    }
}

fn write_stderr(bars: &MultiProgress, line: &str) {
    bars.suspend(|| {
        let _closed_pipe = writeln!(anstream::stderr(), "{line}");
    });
}

/// A progress bar of [`Console::progress`].
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// What is under way, in front of the bar.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        self.0.set_prefix(label.into());
        self
    }

    /// `count` more are done.
    pub fn advance(&self, count: u64) {
        self.0.inc(count);
    }

    /// `position` are done in all.
    pub fn set_position(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
