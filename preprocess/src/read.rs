//! Decodes the files of folders, by all threads of a pool.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use artifacts::HashingReader;
use rayon::ThreadPool;
use rayon::prelude::*;
use terminal::Console;

use crate::decode::{Decoder, MOST_BYTES, Record, Scratch};
use crate::error::Error;
use crate::folders::Place;

/// Files that a thread decodes at once.
pub const RUN: usize = 256;

/// A pool of that many threads; 0 is one a processor.
pub fn pool(threads: usize) -> Result<ThreadPool, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|source| Error::Threads { threads, source })
}

/// The records of all files, in their order.
pub fn read_all(
    places: &[Place],
    scratch: &Scratch,
    pool: &ThreadPool,
    console: &Console,
) -> Result<Vec<Record>, Error> {
    let progress = console.progress(places.len() as u64, "files").labelled("decoding");
    let read_run = |(decoder, contents): &mut (Decoder<'_>, Vec<u8>), run: &[Place]| {
        for place in run {
            read(place, contents, decoder)?;
        }
        progress.advance(run.len() as u64);
        decoder.finish()
    };
    let start = || (Decoder::new(scratch), Vec::new());
    let runs: Result<Vec<_>, Error> = pool.install(|| places.par_chunks(RUN).map_init(start, read_run).collect());
    Ok(runs?.into_iter().flatten().collect())
}

/// Decodes a file; `contents` is a buffer for its bytes.
fn read(place: &Place, contents: &mut Vec<u8>, decoder: &mut Decoder<'_>) -> Result<(), Error> {
    if !place.is_file {
        return decoder.add(Record::no_file());
    }
    contents.clear();
    let read = File::open(&place.path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(contents));
    match read {
        Err(error) => decoder.add(Record::rejected(None, format!("it cannot be read: {error}"))),
        Ok(bytes) if bytes as u64 > MOST_BYTES => decoder.add(too_large(&place.path)),
        Ok(_) => decoder.decode(contents),
    }
}

fn too_large(path: &Path) -> Record {
    let digested = File::open(path).and_then(|file| {
        let mut reader = HashingReader::new(file);
        io::copy(&mut reader, &mut io::sink())?;
        Ok(reader.finish())
    });
    match digested {
        Ok((digest, bytes)) => Record::too_large(digest, bytes),
        Err(error) => Record::rejected(None, format!("it cannot be read: {error}")),
    }
}
