//! Which files there are in folders, and which class each one is in.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use archive::is_hidden;
use artifacts::{Dataset, Part, Role, Source};
use files::{Digest, IoContext as _};
use rayon::prelude::*;
use scratch::{FileVec, Name, Names};
use terminal::Console;

use crate::error::Error;
use crate::options::Options;

/// The files to preprocess, in the order of their names.
#[derive(Debug)]
pub struct Folders {
    /// The data set's name.
    pub name: String,
    /// The classes of the training part, sorted.
    pub classes: Vec<String>,
    /// The names of all files, and where they lie.
    pub names: Names,
    /// All files, sorted by part, class and name.
    pub files: FileVec<ImageFile>,
    /// Whether testing has images of its own.
    pub has_test_part: bool,
    /// The digests of source.json and of the archives that it names.
    pub source_digests: BTreeMap<String, Digest>,
    /// The folder of class folders or the archive to train on.
    pub place: PathBuf,
}

/// A file in a class folder.
#[derive(Debug, Clone, Copy)]
pub struct ImageFile {
    /// `train/CLASS/NAME` or `test/CLASS/NAME` with forward slashes, which is its name in every artifact.
    pub name: Name,
    /// The index of its class.
    pub label: u8,
    /// Whether it is of the test part.
    pub is_test: bool,
}

/// Where the files lie.
#[derive(Debug)]
pub struct Places {
    class_folders: Vec<PathBuf>,
    /// In the order of the files.
    pub all: FileVec<Place>,
}

/// Where a file lies.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    class_folder: usize,
    /// Its name there.
    name: Name,
    /// Whether it is a regular file; a link is what it leads to.
    pub is_file: bool,
}

impl Places {
    /// Makes `path` that of a file of `folders`.
    pub fn put_path(&self, place: Place, folders: &Folders, path: &mut PathBuf) {
        path.as_mut_os_string().clear();
        path.push(&self.class_folders[place.class_folder]);
        path.push(OsStr::from_bytes(folders.names.bytes(place.name)));
    }
}

/// Lists the files of the class folders in `input`, and where each one lies. Hidden files and folders are passed over. What
/// is kept of each file is in `scratch`.
pub fn survey(input: &Path, options: &Options, scratch: &Path, console: &Console) -> Result<(Folders, Places), Error> {
    let mut source_digests = BTreeMap::new();
    let mut name = input.canonicalize().unwrap_or_default().file_name().map(|name| name.to_string_lossy().into_owned());
    let mut train = input.to_owned();
    let mut test = options.test_input.clone();
    if input.join(Source::FILE_NAME).exists() {
        let (source, digest) = artifacts::read_json::<Source>(&input.join(Source::FILE_NAME))?;
        check_parts(&source, input)?;
        train = input.join(Role::Train.directory());
        source_digests = source.provenance.inputs.clone();
        source_digests.insert(Source::FILE_NAME.to_owned(), digest);
        match source.test_part() {
            // Another folder is tested on: no image comes of this archive.
            Some(part) if test.is_some() => drop(source_digests.remove(&part.archive)),
            Some(_) => test = Some(input.join(Role::Test.directory())),
            None => {}
        }
        name = Some(source.name);
    }

    let no_classes = [Some(options.output.as_path()), test.as_deref()];
    let no_classes: Vec<PathBuf> =
        no_classes.into_iter().flatten().filter_map(|path| path.canonicalize().ok()).collect();
    let mut listing = Listing {
        names: Names::new(scratch)?,
        files: FileVec::new(scratch)?,
        places: Places { class_folders: Vec::new(), all: FileVec::new(scratch)? },
        of_folder: FileVec::new(scratch)?,
    };
    let train_classes = class_folders(&train, &no_classes, console)?;
    let classes: Vec<String> = train_classes.keys().cloned().collect();
    check_classes(&classes, &train)?;
    for (label, (class, folder)) in (0..=u8::MAX).zip(train_classes) {
        listing.add(folder, Role::Train, &class, label)?;
    }
    if let Some(test) = &test {
        let test_classes = class_folders(test, &no_classes, console)?;
        if test_classes.is_empty() {
            return Err(Error::NoTestClass { folder: test.clone() });
        }
        for (class, folder) in test_classes {
            let label = label_of(&class, &classes, &train, test)?;
            listing.add(folder, Role::Test, &class, label)?;
        }
    }
    let name = options.name.clone().or(name).unwrap_or_else(|| "unnamed".to_owned());
    let (has_test_part, place) = (test.is_some(), train);
    let Listing { names, files, places, .. } = listing;
    Ok((Folders { name, classes, names, files, has_test_part, source_digests, place }, places))
}

/// Refuses parts that have lost files of their archives, or have others: what comes of them would bear the archives' digests.
fn check_parts(source: &Source, input: &Path) -> Result<(), Error> {
    for Part { directory, archive, files, .. } in &source.parts {
        let folder = input.join(directory);
        let found = archive::count_files(&folder).context("read the folder", &folder)?;
        if found != *files {
            return Err(Error::FilesOfArchive { folder, found, archive: archive.clone(), unpacked: *files });
        }
    }
    Ok(())
}

/// Refuses a number of classes that no label or no classifier could hold.
pub fn check_classes(classes: &[String], place: &Path) -> Result<(), Error> {
    if classes.len() < 2 || classes.len() > Dataset::MOST_CLASSES {
        return Err(Error::Classes { folder: place.to_owned(), found: classes.len() });
    }
    Ok(())
}

/// The index of a class of the test part among those of the training part.
pub fn label_of(class: &str, classes: &[String], train: &Path, test: &Path) -> Result<u8, Error> {
    let label = classes.binary_search_by(|known| known.as_str().cmp(class));
    let label = label.ok().and_then(|label| u8::try_from(label).ok());
    label.ok_or_else(|| Error::TestClass { test: test.to_owned(), train: train.to_owned(), class: class.to_owned() })
}

/// The visible folders in `folder`, by name, but for `no_classes`: the output of an earlier run, and the folder to test on.
/// Links stand for what they lead to. Skipped, as hidden, is macOS's `__MACOSX`; and a folder in which there is nothing, which
/// is no class of an archive either.
fn class_folders(folder: &Path, no_classes: &[PathBuf], console: &Console) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(folder).context("read the folder", folder)? {
        let entry = entry.context("read the folder", folder)?;
        let (name, path) = (entry.file_name(), entry.path());
        if is_hidden(name.as_bytes()) {
            continue;
        }
        let is_folder = fs::metadata(&path).context("read", &path)?.is_dir();
        if !is_folder || path.canonicalize().is_ok_and(|path| no_classes.contains(&path)) {
            continue;
        }
        if !has_something(&path)? {
            console.warn(format!("`{}` is no class: there is nothing in it", path.display()));
            continue;
        }
        match as_text(&name) {
            Some(name) => drop(folders.insert(name.to_owned(), path)),
            None => return Err(Error::ClassName { path }),
        }
    }
    Ok(folders)
}

/// Whether a visible entry is in the folder.
fn has_something(folder: &Path) -> Result<bool, Error> {
    for entry in fs::read_dir(folder).context("read the folder", folder)? {
        if !is_hidden(entry.context("read the folder", folder)?.file_name().as_bytes()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files so far.
struct Listing {
    names: Names,
    files: FileVec<ImageFile>,
    places: Places,
    /// Those of the folder that is read.
    of_folder: FileVec<(ImageFile, Place)>,
}

impl Listing {
    /// Adds the visible entries of a class folder, by name. What is no image will not decode, and be said.
    fn add(&mut self, folder: PathBuf, role: Role, class: &str, label: u8) -> Result<(), Error> {
        let (prefix, is_test) = (format!("{}/{class}", role.directory()), role == Role::Test);
        self.of_folder.clear();
        for entry in fs::read_dir(&folder).context("read the folder", &folder)? {
            let entry = entry.context("read the folder", &folder)?;
            let on_disk = entry.file_name();
            if is_hidden(on_disk.as_bytes()) {
                continue;
            }
            let kind = entry.file_type().or_else(|error| Err(error).context("read", &entry.path()))?;
            let is_file = kind.is_file() || (kind.is_symlink() && entry.path().is_file());
            let mut name = |text: &str| self.names.add(&[&prefix, "/", text].map(str::as_bytes));
            let (name, name_on_disk) = if let Some(text) = as_text(&on_disk) {
                let name = name(text)?;
                (name, name.part(prefix.len() + 1, text.len()))
            } else {
                // A name that no line of text can hold is written with escapes; the file itself is found by its own.
                let escaped = name(&on_disk.to_string_lossy().escape_debug().to_string())?;
                (escaped, self.names.add(&[on_disk.as_bytes()])?)
            };
            let place = Place { class_folder: self.places.class_folders.len(), name: name_on_disk, is_file };
            self.of_folder.push((ImageFile { name, label, is_test }, place))?;
        }
        let names = &self.names;
        let key = |(file, place): &(ImageFile, Place)| (names.bytes(file.name), names.bytes(place.name));
        self.of_folder.par_sort_unstable_by(|one, other| key(one).cmp(&key(other)));
        for &(file, place) in self.of_folder.iter() {
            self.files.push(file)?;
            self.places.all.push(place)?;
        }
        self.places.class_folders.push(folder);
        Ok(())
    }
}

/// The name where a line of text can hold it.
fn as_text(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| !name.chars().any(char::is_control))
}
