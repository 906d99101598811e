//! An archive's bytes, inflated and digested in a thread of their own.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use files::{Digest, HashingReader, IoContext as _};

use crate::error::Error;
use crate::foreign::Foreign;
use crate::gzip::{MAGIC, Members};
use crate::input::Input;

/// Bytes of a piece that goes from one thread to the other, and how many may wait.
const PIECE: usize = 1 << 18;
const WAITING: usize = 16;
/// Bytes of a header in a tar archive.
const HEADER: usize = 512;

/// The tar archive in an [`Input`], inflated where it is compressed.
pub struct Stream {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    position: usize,
    read: BytesRead,
    allowance: Allowance,
    has_ended: bool,
    worker: JoinHandle<(Digest, u64)>,
}

/// How many inflated bytes may be read: a header that claims to be huge is an error before it fills the memory.
#[derive(Debug, Clone, Default)]
pub struct Allowance {
    /// Of all bytes from the start.
    most: Rc<Cell<u64>>,
    given: Rc<Cell<u64>>,
}

impl Allowance {
    /// So many more from here on.
    pub fn extend(&self, bytes: u64) {
        self.most.set(self.given.get().saturating_add(bytes));
    }
}

/// How many bytes of the input were read so far.
#[derive(Debug, Clone, Default)]
pub struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    /// In bytes.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("read", &self.read).finish_non_exhaustive()
    }
}

impl Stream {
    /// Starts to read.
    ///
    /// # Errors
    /// When the file cannot be read, is no archive (a web page, a zip file, a text), or is damaged at its very start.
    pub fn start(input: Input) -> Result<Self, Error> {
        let read = BytesRead::default();
        let counted = Counted { inner: input.open()?, read: read.clone() };
        let mut reader = BufReader::with_capacity(PIECE, HashingReader::new(counted));
        let start = reader.fill_buf().context("read", Path::new(&input.name()))?;
        if let Some(found) = Foreign::of(start) {
            return Err(Error::NotAnArchive { archive: input.name(), found });
        }
        let is_gzip = start.starts_with(&MAGIC);
        let name = input.name();
        let (sender, pieces) = sync_channel(WAITING);
        let worker = thread::spawn(move || {
            if is_gzip {
                send(Members::new(&mut reader), &sender);
            } else {
                send(&mut reader, &sender);
            }
            // What was not needed belongs to the digest all the same.
            let mut rest = reader.into_inner();
            if let Err(error) = io::copy(&mut rest, &mut io::sink()) {
                let _receiver_gone = sender.send(Err(error));
            }
            rest.finish()
        });
        let (allowance, piece) = (Allowance::default(), Vec::new());
        let mut stream = Self { pieces, piece, position: 0, read, allowance, has_ended: false, worker };
        if let Err(source) = stream.fill(HEADER) {
            return Err(Error::Damaged { archive: name, files: 0, source });
        }
        if !starts_a_tar(&stream.piece) {
            let found = if is_gzip { Foreign::NoTarWithin } else { Foreign::Other };
            return Err(Error::NotAnArchive { archive: name, found });
        }
        Ok(stream)
    }

    /// Receives the first piece, and more where it has less than `count` bytes.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.piece.len() < count {
            match self.pieces.recv() {
                Ok(piece) => self.piece.extend(piece?),
                Err(_the_end) => break,
            }
        }
        Ok(())
    }

    /// At most so many of the bytes that follow, which are now read; none at the end.
    fn advance(&mut self, most: u64) -> io::Result<&[u8]> {
        while self.position == self.piece.len() {
            match self.pieces.recv() {
                Ok(piece) => (self.piece, self.position) = (piece?, 0),
                Err(_the_end) => {
                    self.has_ended = true;
                    return Ok(&[]);
                }
            }
        }
        let start = self.position;
        let count = most.min((self.piece.len() - start) as u64);
        let given = self.allowance.given.get() + count;
        self.allowance.given.set(given);
        if given > self.allowance.most.get() {
            return Err(io::Error::other("the headers before an entry, or its end, are too long"));
        }
        self.position += count as usize;
        Ok(&self.piece[start..self.position])
    }

    /// The counter of bytes read, to show progress by.
    #[must_use]
    pub fn bytes_read(&self) -> BytesRead {
        self.read.clone()
    }

    /// How many bytes may be read; none unless it is extended.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        self.allowance.clone()
    }

    /// Whether its end was read.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Reads to the end, where nothing but padding stands; returns the input's digest and size in bytes.
    ///
    /// # Errors
    /// When the rest is damaged, is longer than `most` bytes, or is anything but zeros: a second archive, or what a hole of
    /// zeros has cut off, would be lost without a word.
    ///
    /// # Panics
    /// When the reading thread did.
    pub fn finish(mut self, most: u64) -> io::Result<(Digest, u64)> {
        self.allowance.extend(u64::MAX);
        let mut left = most;
        loop {
            let padding = self.advance(u64::MAX)?;
            if padding.is_empty() {
                break;
            }
            if padding.iter().any(|&byte| byte != 0) {
                return Err(io::Error::other("something follows the end of the archive"));
            }
            left = left
                .checked_sub(padding.len() as u64)
                .ok_or_else(|| io::Error::other(format!("more than {most} bytes follow the end of the archive")))?;
        }
        Ok(self.worker.join().expect("the reading thread does not panic"))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.advance(buffer.len() as u64)?;
        buffer[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

/// Forward alone: what is left of an entry is passed over without a copy of it.
impl Seek for Stream {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(bytes) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut left = u64::try_from(bytes).map_err(|_backwards| io::ErrorKind::Unsupported)?;
        while left > 0 {
            let taken = self.advance(left)?.len() as u64;
            if taken == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends within an entry"));
            }
            left -= taken;
        }
        Ok(self.allowance.given.get())
    }
}

/// Sends all of `reader`, until it fails or nobody listens.
fn send(mut reader: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let result = reader.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        let last = !matches!(result, Ok(PIECE));
        if !piece.is_empty() && sender.send(Ok(piece)).is_err() {
            return;
        }
        if let Err(error) = result {
            let _receiver_gone = sender.send(Err(error));
        }
        if last {
            return;
        }
    }
}

/// Whether these bytes start with a tar archive's header, whose checksum tells it from anything else; or with the block of
/// zeros that ends an archive, here an empty one. Nothing at all is an empty archive too.
fn starts_a_tar(start: &[u8]) -> bool {
    let Some(block) = start.first_chunk::<HEADER>() else { return start.is_empty() };
    // The sum of the header's bytes, with the eight of the sum itself as spaces (POSIX.1-2024, pax, "ustar").
    let own: u32 = block[148..156].iter().map(|&byte| u32::from(byte)).sum();
    let sum = block.iter().map(|&byte| u32::from(byte)).sum::<u32>() - own + 8 * u32::from(b' ');
    block == &[0; HEADER] || tar::Header::from_byte_slice(block).cksum().is_ok_and(|recorded| recorded == sum)
}

struct Counted<R> {
    inner: R,
    read: BytesRead,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
