//! Which files there are, and which class each one is in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use artifacts::{Dataset, Digest, IoContext as _, Role, Source};

use crate::error::Error;
use crate::options::Options;

/// The files to preprocess, in the order of their names.
#[derive(Debug)]
pub struct Folders {
    /// The data set's name.
    pub name: String,
    /// The classes of the training part, sorted.
    pub classes: Vec<String>,
    /// All files, sorted by part, class and name.
    pub files: Vec<ImageFile>,
    /// Whether testing has images of its own.
    pub has_test_part: bool,
    /// The digests of source.json and of the archives that it names.
    pub source_digests: BTreeMap<String, Digest>,
}

/// A file in a class folder.
#[derive(Debug)]
pub struct ImageFile {
    /// Where it is.
    pub path: PathBuf,
    /// `PART/CLASS/NAME` with forward slashes, which is its name in every artifact.
    pub name: String,
    /// The index of its class.
    pub label: u8,
    /// Whether it is of the test part.
    pub is_test: bool,
}

impl ImageFile {
    /// The file name without folders and extension.
    pub fn stem(&self) -> &str {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }
}

/// Lists the files of the class folders. Hidden files and folders are passed over.
pub fn survey(options: &Options) -> Result<Folders, Error> {
    let mut source_digests = BTreeMap::new();
    let mut name =
        options.input.canonicalize().unwrap_or_default().file_name().map(|name| name.to_string_lossy().into_owned());
    let mut train = (options.input.clone(), "");
    let mut test = options.test_input.clone().map(|folder| (folder, ""));
    if options.input.join(Source::FILE_NAME).exists() {
        let (source, digest) = artifacts::read_json::<Source>(&options.input.join(Source::FILE_NAME))?;
        source_digests = source.provenance.inputs;
        source_digests.insert(Source::FILE_NAME.to_owned(), digest);
        name = Some(source.name);
        for part in source.parts {
            let folder = options.input.join(&part.directory);
            match part.role {
                Role::Train => train = (folder, Role::Train.directory()),
                Role::Test if test.is_none() => test = Some((folder, Role::Test.directory())),
                Role::Test => {}
            }
        }
    }
    if test.is_some() {
        train.1 = Role::Train.directory();
    }

    let train_classes = class_folders(&train.0)?;
    let classes: Vec<String> = train_classes.keys().cloned().collect();
    if classes.len() < 2 || classes.len() > Dataset::MOST_CLASSES {
        return Err(Error::Classes { folder: train.0, found: classes.len() });
    }
    let mut files = Vec::new();
    for (label, (class, folder)) in (0..=u8::MAX).zip(&train_classes) {
        list(folder, &prefixed(train.1, class), label, false, &mut files)?;
    }
    if let Some((test, _)) = &test {
        for (class, folder) in class_folders(test)? {
            let Ok(label) = classes.binary_search(&class) else {
                return Err(Error::TestClass { test: test.clone(), train: train.0, class });
            };
            let label = u8::try_from(label).expect("there are at most 256 classes");
            list(&folder, &prefixed(Role::Test.directory(), &class), label, true, &mut files)?;
        }
    }
    let name = options.name.clone().or(name).unwrap_or_else(|| "unnamed".to_owned());
    Ok(Folders { name, classes, files, has_test_part: test.is_some(), source_digests })
}

fn prefixed(part: &str, class: &str) -> String {
    if part.is_empty() { class.to_owned() } else { format!("{part}/{class}") }
}

/// The visible folders in `folder`, by name.
fn class_folders(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut folders = BTreeMap::new();
    for entry in fs::read_dir(folder).context("read the folder", folder)? {
        let path = entry.context("read the folder", folder)?.path();
        if !path.is_dir() {
            continue;
        }
        match text_name(&path) {
            Some(name) if name.starts_with('.') => {}
            Some(name) => drop(folders.insert(name, path)),
            None => return Err(Error::ClassName { path }),
        }
    }
    Ok(folders)
}

/// Appends the visible entries of a class folder, by name. What is no image will not decode, and be said.
fn list(folder: &Path, prefix: &str, label: u8, is_test: bool, files: &mut Vec<ImageFile>) -> Result<(), Error> {
    let mut of_class = Vec::new();
    for entry in fs::read_dir(folder).context("read the folder", folder)? {
        let path = entry.context("read the folder", folder)?.path();
        // A name that no line of text can hold is written with escapes; the file itself is found by its path.
        let name = text_name(&path)
            .unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().escape_debug().to_string());
        if !name.starts_with('.') {
            of_class.push(ImageFile { name: format!("{prefix}/{name}"), path, label, is_test });
        }
    }
    of_class.sort_by(|one, other| (&one.name, &one.path).cmp(&(&other.name, &other.path)));
    files.append(&mut of_class);
    Ok(())
}

fn text_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    (!name.chars().any(char::is_control)).then(|| name.to_owned())
}
