//! `metrics.jsonl`, `timings.jsonl` and TensorBoard's file, which grow with every epoch.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use artifacts::{EpochMetrics, EpochTiming, RunDirectory};
use files::IoContext as _;
use serde::Serialize;

use crate::error::Error;
use crate::events;

/// The files, open for the next epoch.
#[derive(Debug)]
pub struct Journal {
    metrics: Growing,
    timings: Growing,
    events: Option<Growing>,
}

#[derive(Debug)]
struct Growing {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Begins after the epochs that are over: what a killed run wrote of later ones is cut off. TensorBoard's file is
    /// written where it is wanted; otherwise an earlier training's is removed.
    pub fn begin(run: &RunDirectory, over: &[EpochMetrics], tensorboard: bool) -> Result<Self, Error> {
        let metrics: String = over.iter().map(line).collect();
        let timings = fs::read_to_string(run.timings()).unwrap_or_default();
        // A killed run's last line may be half of one.
        let whole =
            timings.lines().take(over.len()).take_while(|line| serde_json::from_str::<EpochTiming>(line).is_ok());
        let timings: String = whole.map(|line| format!("{line}\n")).collect();
        let events = if tensorboard {
            let records = [events::file_version()].into_iter().chain(over.iter().map(events::epoch));
            Some(Growing::begin(&run.events(), &records.collect::<Vec<_>>().concat())?)
        } else {
            files::remove_file(&run.events())?;
            None
        };
        Ok(Self {
            metrics: Growing::begin(&run.metrics(), metrics.as_bytes())?,
            timings: Growing::begin(&run.timings(), timings.as_bytes())?,
            events,
        })
    }

    /// Adds an epoch.
    pub fn add(&mut self, metrics: &EpochMetrics, timing: &EpochTiming) -> Result<(), Error> {
        self.metrics.add(line(metrics).as_bytes())?;
        self.timings.add(line(timing).as_bytes())?;
        self.events.as_mut().map_or(Ok(()), |file| file.add(&events::epoch(metrics)))
    }

    /// Has the files on the disk, before a record vouches for them.
    pub fn finish(self) -> Result<(), Error> {
        [Some(self.metrics), Some(self.timings), self.events].iter().flatten().try_for_each(Growing::sync)
    }
}

impl Growing {
    fn begin(path: &Path, content: &[u8]) -> Result<Self, Error> {
        files::write_file(path, |writer| writer.write_all(content))?;
        let file = OpenOptions::new().append(true).open(path).context("open", path)?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn add(&mut self, entry: &[u8]) -> Result<(), Error> {
        Ok(self.file.write_all(entry).context("write", &self.path)?)
    }

    fn sync(&self) -> Result<(), Error> {
        Ok(self.file.sync_all().context("write", &self.path)?)
    }
}

fn line<T: Serialize>(entry: &T) -> String {
    let text = serde_json::to_string(entry).expect("plain data serialises");
    format!("{text}\n")
}
