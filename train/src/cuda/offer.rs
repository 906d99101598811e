//! What a machine offers the engine, or what it lacks, for the person who asks.

use std::path::Path;

use super::device::Device;
use super::error::{Error, size};
use super::libraries::{self, Found};

/// The driver, the libraries and the devices, each with whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// In the order in which they are needed.
    pub lines: Vec<Line>,
    /// What a person can do about the first that is missing.
    pub hint: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whether it is there and new enough.
    pub is_there: bool,
    /// What it is, or why it is not there.
    pub what: String,
    /// Where it was found.
    pub place: String,
}

impl Offer {
    /// What this machine offers, with `folder` searched for libraries.
    #[must_use]
    pub fn find(folder: Option<&Path>) -> Self {
        let mut offer = Self { lines: Vec::new(), hint: None };
        if let Err(error) = offer.look(folder) {
            offer.lacks(&error);
        }
        offer
    }

    fn look(&mut self, folder: Option<&Path>) -> Result<(), Error> {
        let driver = libraries::driver()?;
        self.has(&driver);
        match libraries::beside(&driver, folder) {
            Ok(libraries) => libraries.found.iter().for_each(|library| self.has(library)),
            Err(error) => self.lacks(&error),
        }
        let devices = Device::all()?;
        if devices.is_empty() {
            return Err(Error::NoDevice);
        }
        for device in devices {
            match device.usable() {
                Err(error) => self.lacks(&error),
                Ok(Device { ordinal, name, memory, capability: (major, minor), .. }) => {
                    let memory = size(*memory);
                    let what = format!("device {ordinal}: {name}, {memory}, compute capability {major}.{minor}");
                    self.lines.push(Line { is_there: true, what, place: String::new() });
                }
            }
        }
        Ok(())
    }

    fn has(&mut self, Found { name, version, path }: &Found) {
        let what = format!("{name} {version}");
        self.lines.push(Line { is_there: true, what, place: path.display().to_string() });
    }

    fn lacks(&mut self, error: &Error) {
        self.lines.push(Line { is_there: false, what: error.to_string(), place: String::new() });
        self.hint = self.hint.take().or_else(|| error.hint());
    }
}
