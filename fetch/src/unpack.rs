//! Writing an archive's files to disk. Which they are, and what is refused, [`archive`] decides.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use archive::{Contents, Input, Limits};
use files::IoContext as _;
use terminal::Progress;

use crate::error::Error;

/// Bytes of a file that are held in memory.
const MOST_AT_ONCE: u64 = 1 << 20;

/// Unpacks `input` so that its class folders lie directly in `place`, which is made; leading folders are stripped.
/// `progress` counts the bytes of the archive that are read.
///
/// # Errors
/// When the archive cannot be read, is refused, or has no class folders, or the disk is full. Then `place` is not there.
pub fn unpack(input: Input, place: &Path, limits: Limits, progress: &Progress) -> Result<Contents, Error> {
    let scratch = place.with_extension("unpacking");
    fs::create_dir(&scratch).context("create the folder", &scratch)?;
    let mut writer = Writer { folder: &scratch, last_folder: None, piece: Vec::new() };
    let contents = archive::read(input, limits, &scratch, progress, |file| writer.write(file))?;
    let classes = match &contents.class_root[..] {
        "" => scratch.clone(),
        root => scratch.join(root),
    };
    fs::rename(&classes, place).context("rename to", place)?;
    if classes != scratch {
        fs::remove_dir_all(&scratch).context("remove the folder", &scratch)?;
    }
    Ok(contents)
}

/// Makes `folder` and what lies between it and `root`, but not `root`: a process that ends on a signal has removed it for good.
fn make_folders(root: &Path, folder: &Path) -> Result<(), Error> {
    let mut made = root.to_owned();
    for part in folder.strip_prefix(root).unwrap_or(folder).components() {
        made.push(part);
        match fs::create_dir(&made) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && made.is_dir() => {}
            created => created.context("create the folder", &made)?,
        }
    }
    Ok(())
}

struct Writer<'a> {
    folder: &'a Path,
    /// The folder of the file before: most files lie in the same one.
    last_folder: Option<PathBuf>,
    piece: Vec<u8>,
}

impl Writer<'_> {
    fn write(&mut self, file: &mut archive::File<'_>) -> Result<(), Error> {
        let place = self.folder.join(file.path());
        let folder = place.parent().unwrap_or(self.folder);
        if self.last_folder.as_deref() != Some(folder) {
            make_folders(self.folder, folder)?;
            self.last_folder = Some(folder.to_owned());
        }
        let mut written = match File::create_new(&place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(file.twice().into()),
            created => created.context("create", &place)?,
        };
        // In pieces, so that an archive which claims to hold a huge file does not fill the memory.
        loop {
            self.piece.clear();
            let read = file.read(MOST_AT_ONCE, &mut self.piece)?;
            written.write_all(&self.piece).context("write", &place)?;
            if (read as u64) < MOST_AT_ONCE {
                return Ok(());
            }
        }
    }
}
