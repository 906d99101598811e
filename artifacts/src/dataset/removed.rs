use std::fs;
use std::path::Path;

use files::{Digest, IoContext as _};

use super::manifest::{Dataset, RemovedImage};
use crate::document::parse_lines;
use crate::error::Result;

impl Dataset {
    /// Reads `removed.jsonl` in `folder`, where this `dataset.json` lies.
    ///
    /// # Errors
    /// When the file cannot be read, has another digest than this records, or a line of it is no [`RemovedImage`].
    pub fn read_removed_list(&self, folder: &Path) -> Result<Vec<RemovedImage>> {
        let path = folder.join(Self::REMOVED_LIST);
        let text = fs::read_to_string(&path).context("read", &path)?;
        Digest::of(text.as_bytes()).check(&path, self.removed_list, &folder.join(Self::FILE_NAME))?;
        parse_lines(&path, Self::REMOVED_LIST, &text)
    }
}
