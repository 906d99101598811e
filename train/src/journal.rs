//! `metrics.jsonl` and `timings.jsonl`, which grow by a line an epoch.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use artifacts::{EpochMetrics, EpochTiming, IoContext as _, RunDirectory};
use serde::Serialize;

use crate::error::Error;

/// The two files, open for the next epoch.
#[derive(Debug)]
pub struct Journal {
    metrics: Lines,
    timings: Lines,
}

#[derive(Debug)]
struct Lines {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Begins behind the epochs that are over: what a killed run wrote of later ones is cut off.
    pub fn begin(run: &RunDirectory, over: &[EpochMetrics]) -> Result<Self, Error> {
        let metrics: Vec<String> = over.iter().map(line).collect();
        let timings = fs::read_to_string(run.timings()).unwrap_or_default();
        let timings: Vec<String> = timings.lines().take(over.len()).map(|line| format!("{line}\n")).collect();
        Ok(Self { metrics: Lines::begin(&run.metrics(), &metrics)?, timings: Lines::begin(&run.timings(), &timings)? })
    }

    /// Adds an epoch.
    pub fn add(&mut self, metrics: &EpochMetrics, timing: &EpochTiming) -> Result<(), Error> {
        self.metrics.add(&line(metrics))?;
        self.timings.add(&line(timing))
    }
}

impl Lines {
    fn begin(path: &Path, lines: &[String]) -> Result<Self, Error> {
        artifacts::write_file(path, |writer| writer.write_all(lines.concat().as_bytes()))?;
        let file = OpenOptions::new().append(true).open(path).context("open", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn add(&mut self, line: &str) -> Result<(), Error> {
        Ok(self.file.write_all(line.as_bytes()).context("write", &self.path)?)
    }
}

fn line<T: Serialize>(entry: &T) -> String {
    let text = serde_json::to_string(entry).expect("plain data serialises");
    format!("{text}\n")
}
