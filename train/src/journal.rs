//! `metrics.jsonl`, `timings.jsonl` and TensorBoard's file, which grow with every epoch.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use artifacts::{EpochMetrics, EpochTiming, RunDirectory};
use files::{IoContext as _, StagedFile};
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

/// The files as the next epoch finds them, before they take their places.
#[derive(Debug)]
pub struct StagedJournal {
    metrics: StagedFile,
    timings: StagedFile,
    events: Option<StagedFile>,
}

impl StagedJournal {
    /// They end with the epochs that are over: what a killed run wrote of later ones is cut off. Of the timings, an epoch may
    /// be missing: that in which a run was killed after it had written the state. TensorBoard's file is written where it is
    /// wanted, or where a training that goes on has one; otherwise it is that of an earlier training, and goes.
    pub fn after(over: &[EpochMetrics], run: &RunDirectory, tensorboard: bool) -> Result<Self, Error> {
        let metrics: String = over.iter().map(line).collect();
        let timings = fs::read_to_string(run.timings()).unwrap_or_default();
        // A killed run's last line may be half of one.
        let whole = timings.lines().map_while(|line| Some((line, serde_json::from_str::<EpochTiming>(line).ok()?)));
        let timings: String =
            whole.filter(|(_, timing)| timing.epoch <= over.len()).map(|(line, _)| format!("{line}\n")).collect();
        let has_events = tensorboard || !over.is_empty() && run.events().exists();
        let events = has_events.then(|| {
            let records = [events::file_version()].into_iter().chain(over.iter().map(events::epoch));
            staged(&run.events(), &records.collect::<Vec<_>>().concat())
        });
        Ok(Self {
            metrics: staged(&run.metrics(), metrics.as_bytes())?,
            timings: staged(&run.timings(), timings.as_bytes())?,
            events: events.transpose()?,
        })
    }

    /// Puts them in their places, in the folder that they were staged for.
    pub fn begin(self, run: &RunDirectory) -> Result<Journal, Error> {
        let events = match self.events {
            Some(staged) => Some(Growing::begin(staged, run.events())?),
            None => {
                files::remove_file(&run.events())?;
                None
            }
        };
        Ok(Journal {
            metrics: Growing::begin(self.metrics, run.metrics())?,
            timings: Growing::begin(self.timings, run.timings())?,
            events,
        })
    }
}

fn staged(path: &Path, content: &[u8]) -> Result<StagedFile, Error> {
    Ok(StagedFile::write(path, |writer| writer.write_all(content))?)
}

impl Journal {
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
    fn begin(staged: StagedFile, path: PathBuf) -> Result<Self, Error> {
        staged.commit()?;
        let file = OpenOptions::new().append(true).open(&path).context("open", &path)?;
        Ok(Self { file, path })
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
