use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::document::{Document, read_json, write_json};
use crate::error::Result;

/// `timings-stages.json`: what the clock said of the stages that led to the folder it lies in, which no two runs share.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTimings {
    /// In their order.
    pub stages: Vec<StageTiming>,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTiming {
    /// Its name: `fetch`, `preprocess`, `export`.
    pub stage: String,
    /// Wall time from its beginning until this is written, in seconds.
    pub seconds: f64,
}

impl StageTimings {
    /// The name of the file that says them, in the folder that the stage writes.
    pub const FILE_NAME: &str = "timings-stages.json";

    /// Those in `folder`; none where there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(Self::FILE_NAME);
        if path.exists() { Ok(read_json(&path)?.0) } else { Ok(Self::default()) }
    }

    /// With the time of `stage` since `beginning`.
    #[must_use]
    pub fn with(mut self, stage: &str, beginning: Instant) -> Self {
        self.stages.push(StageTiming { stage: stage.to_owned(), seconds: beginning.elapsed().as_secs_f64() });
        self
    }

    /// Writes them into `folder`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> files::Result<()> {
        write_json(&folder.join(Self::FILE_NAME), self).map(drop)
    }
}

impl Document for StageTimings {
    const KIND: &'static str = Self::FILE_NAME;
    const SCHEMA_VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn they_are_read_as_they_were_written_and_a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(StageTimings::read(folder.path()).unwrap(), StageTimings::default());
        let beginning = Instant::now();
        let timings = StageTimings::default().with("fetch", beginning).with("preprocess", beginning);
        timings.write(folder.path()).unwrap();
        assert_eq!(StageTimings::read(folder.path()).unwrap(), timings);
        assert!(timings.stages[0].seconds <= timings.stages[1].seconds);
        fs::write(folder.path().join(StageTimings::FILE_NAME), "{").unwrap();
        assert!(StageTimings::read(folder.path()).unwrap_err().to_string().contains(StageTimings::FILE_NAME));
    }
}
