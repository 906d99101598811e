//! Decodes the files of folders, by all threads of a pool.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use files::HashingReader;
use rayon::ThreadPool;
use rayon::prelude::*;
use scratch::FileVec;
use terminal::Console;

use crate::decode::{Decoder, MOST_BYTES, Record, Scratch};
use crate::error::Error;
use crate::folders::{Folders, Places};

/// Files that a thread decodes at once.
pub const RUN: usize = 256;

/// A pool of that many threads.
pub fn pool(threads: usize) -> Result<ThreadPool, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Error::Threads { threads, source })
}

/// The records of all files, in their order.
pub fn read_all(
    folders: &Folders,
    places: &Places,
    scratch: &Scratch,
    pool: &ThreadPool,
    console: &Console,
) -> Result<FileVec<Record>, Error> {
    let progress = console.progress(places.all.len() as u64, "files").labelled("decoding");
    let mut records = FileVec::filled(scratch.folder(), places.all.len(), Record::PENDING)?;
    let runs = places.all.par_chunks(RUN).zip(records.par_chunks_mut(RUN));
    let start = || (Decoder::new(scratch), PathBuf::new(), Vec::new());
    pool.install(|| {
        runs.try_for_each_init(start, |(decoder, path, contents), (run, records)| {
            for &place in run {
                places.put_path(place, folders, path);
                read(path, place.is_file, contents, decoder)?;
            }
            progress.advance(run.len() as u64);
            records.copy_from_slice(&decoder.finish()?);
            Ok::<_, Error>(())
        })
    })?;
    Ok(records)
}

/// Decodes a file; `contents` is a buffer for its bytes.
fn read(path: &Path, is_file: bool, contents: &mut Vec<u8>, decoder: &mut Decoder<'_>) -> Result<(), Error> {
    let scratch = decoder.scratch();
    if !is_file {
        return decoder.add(scratch.no_file(path.is_dir()));
    }
    contents.clear();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(contents));
    match read {
        Err(error) => decoder.add(scratch.rejected(None, format!("it cannot be read: {error}"))),
        Ok(bytes) if bytes as u64 > MOST_BYTES => decoder.add(too_large(path, scratch)),
        Ok(_) => decoder.decode(contents),
    }
}

fn too_large(path: &Path, scratch: &Scratch) -> Record {
    let digested = File::open(path).and_then(|file| {
        let mut reader = HashingReader::new(file);
        io::copy(&mut reader, &mut io::sink())?;
        Ok(reader.finish())
    });
    match digested {
        Ok((digest, bytes)) => scratch.too_large(digest, bytes),
        Err(error) => scratch.rejected(None, format!("it cannot be read: {error}")),
    }
}
