//! The files of archives, decoded as they come out of the stream: nothing is unpacked.
//!
//! One thread reads and inflates, this one takes the archive apart, and the pool's decode. Between them no more than a few
//! runs of files wait. What comes of it is what `fetch` and the folders that it leaves would give.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use archive::{Contents, Input, Limits, check_different, check_file_name, stem};
use artifacts::{Document as _, Role, Source};
use files::HashingWriter;
use rayon::ThreadPool;
use rayon::prelude::*;
use scratch::{FileVec, Name, Names};
use terminal::Console;

use crate::decode::{Decoder, MOST_BYTES, Record, Scratch};
use crate::error::Error;
use crate::folders::{Folders, ImageFile, check_classes, label_of};
use crate::options::Options;
use crate::read::RUN;

/// Bytes of files that a thread decodes at once; a single file may have more.
const RUN_BYTES: usize = 1 << 20;

/// An archive to read.
#[derive(Debug)]
pub struct Wanted {
    role: Role,
    path: PathBuf,
    file_name: String,
}

/// The archives that `options` ask for: `train`, and perhaps one to test on.
///
/// # Errors
/// When their file names cannot be recorded.
pub fn wanted(train: &Path, options: &Options) -> Result<Vec<Wanted>, Error> {
    let test = options.test_archive.as_deref().map(|path| (Role::Test, path));
    let mut all = Vec::new();
    for (role, path) in [(Role::Train, train)].into_iter().chain(test) {
        let name = path.file_name().and_then(|name| name.to_str());
        all.push(Wanted { role, path: path.to_owned(), file_name: check_file_name(name, path.display())? });
    }
    if let [train, test] = &all[..] {
        check_different(&train.file_name, &test.file_name)?;
    }
    Ok(all)
}

/// The files of the class folders in the archives, and their records.
pub fn read_all(
    wanted: &[Wanted],
    options: &Options,
    scratch: &Scratch,
    pool: &ThreadPool,
    console: &Console,
) -> Result<(Folders, FileVec<Record>), Error> {
    let threads = pool.current_num_threads();
    let (sender, runs) = sync_channel(threads);
    let (runs, decoded) = (Arc::new(Mutex::new(runs)), Mutex::new(Ok(FileVec::new(scratch.folder())?)));
    let (parts, paths) = pool.in_place_scope(|scope| {
        for _ in 0..threads {
            let (runs, decoded) = (Arc::clone(&runs), &decoded);
            scope.spawn(move |_| decode_runs(&runs, decoded, scratch));
        }
        // Theirs alone: should all of them panic, nobody listens, and the feed does not wait.
        drop(runs);
        // The threads are done when the sender, which the feed holds, is gone.
        let paths = Paths { text: Names::new(scratch.folder())?, all: FileVec::new(scratch.folder())? };
        let mut feed = Feed { sender, run: Run::default(), paths, scratch };
        let mut parts = Vec::new();
        for archive in wanted {
            let first = feed.paths.all.len();
            let contents = stream(archive, options.limits, &mut feed, console)?;
            parts.push(Part { wanted: archive, contents, files: first..feed.paths.all.len() });
        }
        feed.send();
        Ok::<_, Error>((parts, feed.paths))
    })?;
    let mut decoded = decoded.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    pool.install(|| {
        decoded.par_sort_unstable_by_key(|&(file, _)| file);
        arrange(&parts, &paths, &decoded, scratch, options)
    })
}

/// Files that one thread decodes.
#[derive(Debug, Default)]
struct Run {
    /// How many files came before.
    first: usize,
    /// The bytes of the files, behind one another.
    contents: Vec<u8>,
    files: Vec<Item>,
}

#[derive(Debug)]
enum Item {
    /// A file whose bytes end there.
    EndsAt(usize),
    /// One that need not be decoded.
    Known(Record),
}

/// Of all files so far, below the folder of the archive.
#[derive(Debug)]
struct Paths {
    text: Names,
    all: FileVec<Name>,
}

/// Gathers files to runs.
#[derive(Debug)]
struct Feed<'a> {
    sender: SyncSender<Run>,
    run: Run,
    paths: Paths,
    scratch: &'a Scratch,
}

impl Feed<'_> {
    fn take(&mut self, file: &mut archive::File<'_>) -> Result<(), Error> {
        let start = self.run.contents.len();
        let bytes = file.read(MOST_BYTES + 1, &mut self.run.contents)? as u64;
        self.run.files.push(if bytes <= MOST_BYTES {
            Item::EndsAt(self.run.contents.len())
        } else {
            let record = digest_of_large(file, &self.run.contents[start..], self.scratch)?;
            self.run.contents.truncate(start);
            Item::Known(record)
        });
        let path = self.paths.text.add(&[file.path().as_bytes()])?;
        self.paths.all.push(path)?;
        if self.run.files.len() >= RUN || self.run.contents.len() >= RUN_BYTES {
            self.send();
        }
        Ok(())
    }

    fn send(&mut self) {
        let next = Run {
            first: self.paths.all.len(),
            contents: Vec::with_capacity(self.run.contents.len()),
            ..Run::default()
        };
        self.sender.send(std::mem::replace(&mut self.run, next)).expect("the threads listen until the sender is gone");
    }
}

/// The record of a file that is too large, of which `start` was read.
fn digest_of_large(file: &mut archive::File<'_>, start: &[u8], scratch: &Scratch) -> Result<Record, Error> {
    let mut digest = HashingWriter::new(std::io::sink());
    let mut bytes = start.len() as u64;
    digest.write_all(start).expect("a sink takes everything");
    let mut piece = Vec::new();
    while file.read(RUN_BYTES as u64, &mut piece)? > 0 {
        digest.write_all(&piece).expect("a sink takes everything");
        bytes += piece.len() as u64;
        piece.clear();
    }
    Ok(scratch.too_large(digest.finish(), bytes))
}

/// Reads an archive to its end.
fn stream(archive: &Wanted, limits: Limits, feed: &mut Feed<'_>, console: &Console) -> Result<Contents, Error> {
    let input = Input::File(archive.path.clone());
    let name = input.name();
    let progress = console.progress_bytes(input.bytes()?).labelled("decoding");
    let contents = archive::read(input, limits, feed.scratch.folder(), &progress, |file| feed.take(file))?;
    contents.warn_of_hidden(&name, console);
    Ok(contents)
}

/// The records with the numbers of their files, in any order; or the first error.
type Decoded = Result<FileVec<(usize, Record)>, Error>;

/// Decodes runs until there are no more.
fn decode_runs(runs: &Mutex<Receiver<Run>>, decoded: &Mutex<Decoded>, scratch: &Scratch) {
    let mut decoder = Decoder::new(scratch);
    loop {
        let next = runs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(run) = next else { return };
        // The rest is taken, so that nobody waits, and left.
        if decoded.lock().unwrap_or_else(PoisonError::into_inner).is_err() {
            continue;
        }
        let (first, records) = (run.first, decode_run(run, &mut decoder));
        let mut decoded = decoded.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(all) = &mut *decoded else { continue };
        let added = records
            .and_then(|records| (first..).zip(records).try_for_each(|record| all.push(record)).map_err(Error::from));
        if let Err(error) = added {
            *decoded = Err(error);
        }
    }
}

fn decode_run(run: Run, decoder: &mut Decoder<'_>) -> Result<Vec<Record>, Error> {
    let mut start = 0;
    for file in run.files {
        match file {
            Item::Known(record) => decoder.add(record)?,
            Item::EndsAt(end) => {
                decoder.decode(&run.contents[start..end])?;
                start = end;
            }
        }
    }
    decoder.finish()
}

/// What was read of an archive.
#[derive(Debug)]
struct Part<'a> {
    wanted: &'a Wanted,
    contents: Contents,
    /// Which of all files are its own.
    files: Range<usize>,
}

/// An entry of a class folder.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The number of its class, in the order in which classes come.
    class: usize,
    is_test: bool,
    /// The first bytes of its name in the class folder, as a number of the same order: most names differ in them.
    start: u64,
    /// Its name in every artifact.
    name: Name,
    /// The file's number; none where it is a folder.
    file: Option<usize>,
}

/// The files of the class folders, in the order that they would have in folders, and their records. What lies outside of
/// a class folder is passed over; a folder within one is an entry that is no file.
fn arrange(
    parts: &[Part<'_>],
    paths: &Paths,
    records: &[(usize, Record)],
    scratch: &Scratch,
    options: &Options,
) -> Result<(Folders, FileVec<Record>), Error> {
    let train = parts[0].wanted;
    let stem = stem(&train.file_name).unwrap_or(&train.file_name);
    let name = options.name.clone().unwrap_or_else(|| stem.to_owned());
    // What `fetch` would have written beside the folders.
    let mut source = Source::new(&name);
    let (mut classes, mut labels) = (Vec::new(), Vec::new());
    let (mut names, mut all) = (Names::new(scratch.folder())?, FileVec::new(scratch.folder())?);
    for Part { wanted, contents, files: numbers } in parts {
        source = source.with_part(wanted.role, &wanted.file_name, contents.digest, contents.bytes, contents.files);
        let first = all.len();
        let root = &contents.class_root;
        let found = add_entries(wanted.role, root, paths, numbers.clone(), labels.len(), &mut names, &mut all)?;
        if wanted.role == Role::Train {
            classes = found.keys().map(|&class| class.to_owned()).collect();
            check_classes(&classes, &wanted.path)?;
        }
        labels.resize(labels.len() + found.len(), 0);
        for (class, number) in found {
            labels[number] = label_of(class, &classes, &train.path, &wanted.path)?;
        }
        let key = |entry: &Entry| (labels[entry.class], entry.start, names.bytes(entry.name));
        all[first..].par_sort_unstable_by(|one, other| key(one).cmp(&key(other)));
    }
    let files = FileVec::from_fn(scratch.folder(), all.len(), |index| {
        let Entry { class, is_test, name, .. } = all[index];
        ImageFile { name, label: labels[class], is_test }
    })?;
    let no_file = scratch.no_file(true);
    let record = |index: usize| all[index].file.map_or(no_file, |file| records[file].1);
    let in_order = FileVec::from_fn(scratch.folder(), all.len(), record)?;
    let digest = source.digest_of_file();
    let mut source_digests = source.provenance.inputs;
    source_digests.insert(Source::FILE_NAME.to_owned(), digest);
    let (has_test_part, place) = (parts.len() > 1, train.path.clone());
    Ok((Folders { name, classes, names, files, has_test_part, source_digests, place }, in_order))
}

/// Adds the entries of the class folders below `root` to `all`, and their names to `names`. Returns the numbers of the classes,
/// from `first` on.
fn add_entries<'a>(
    role: Role,
    root: &str,
    paths: &'a Paths,
    numbers: Range<usize>,
    first: usize,
    names: &mut Names,
    all: &mut FileVec<Entry>,
) -> Result<BTreeMap<&'a str, usize>, Error> {
    let (mut classes, mut folders) = (BTreeMap::new(), BTreeSet::new());
    for number in numbers {
        let path = paths.text.text(paths.all[number]);
        let below = path.strip_prefix(root).map_or(path, |below| below.trim_start_matches('/'));
        let Some((class, below)) = below.split_once('/') else { continue };
        let (of, file) = match below.split_once('/') {
            None => (below, Some(number)),
            Some((folder, _)) if folders.insert((class, folder)) => (folder, None),
            Some(_) => continue,
        };
        let name = names.add(&[role.directory(), "/", class, "/", of].map(str::as_bytes))?;
        let next = first + classes.len();
        let class = *classes.entry(class).or_insert(next);
        let mut start = [0; 8];
        start.iter_mut().zip(of.bytes()).for_each(|(place, byte)| *place = byte);
        let (start, is_test) = (u64::from_be_bytes(start), role == Role::Test);
        all.push(Entry { class, is_test, start, name, file })?;
    }
    Ok(classes)
}
