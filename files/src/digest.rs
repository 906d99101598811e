use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, IoContext as _, Result};

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// The order of the bytes, which is that of the digits too.
impl Ord for Digest {
    fn cmp(&self, other: &Self) -> Ordering {
        // The first eight bytes nearly always decide; a number is compared faster than bytes are.
        let first = |digest: &Self| digest.0.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digest {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of what these are behind one another.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        Self(hasher.finalize().into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares this, which is that of the file `path`, with what `recorded_by` says of it.
    ///
    /// # Errors
    /// Names both files where the two differ.
    pub fn check(self, path: &Path, recorded: Self, recorded_by: &Path) -> Result<()> {
        if self == recorded {
            return Ok(());
        }
        let (path, recorded_by) = (path.to_owned(), recorded_by.to_owned());
        Err(Error::Digest { path, found: self, recorded_by, recorded })
    }

    /// Appends the 64 digits.
    pub fn write_to(&self, text: &mut String) {
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        text.push_str(str::from_utf8(&digits).expect("digits are ASCII"));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(64);
        self.write_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_hexadecimal = || format!("`{text}` is not 64 hexadecimal digits");
        // `from_str_radix` alone takes a sign too.
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(not_hexadecimal());
        }
        let mut bytes = [0; 32];
        for (byte, start) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[start..start + 2], 16).map_err(|_| not_hexadecimal())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The digest of a file's bytes.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> Result<Digest> {
    let mut reader = HashingReader::new(File::open(path).context("read", path)?);
    let mut buffer = vec![0; 1 << 16];
    while reader.read(&mut buffer).context("read", path)? > 0 {}
    Ok(reader.finish().0)
}

/// Digests what is read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> HashingReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// The digest of what was read, and how many bytes it was.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.hasher.finalize().into()), self.bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Bytes that are worth a second thread.
const LARGE: usize = 1 << 20;

/// Digests what is written through it. What is large, and written by a thread of a pool, is digested by another one meanwhile;
/// the writing thread then may take any task of the pool, and so must hold no lock that one could wait for.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> HashingWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The digest of what was written.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.hasher.finalize().into())
    }
}

impl<W: Write + Send> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.len() >= LARGE && rayon::current_thread_index().is_some() {
            let (written, ()) = rayon::join(|| self.inner.write_all(buffer), || self.hasher.update(buffer));
            return written.map(|()| buffer.len());
        }
        let count = self.inner.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example, as published in NIST's "SHA-256 examples".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_digest_of_abc_is_the_standard_s() {
        assert_eq!(Digest::of(b"abc").to_string(), ABC);
        let mut reader = HashingReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.finish(), (ABC.parse().unwrap(), 3));
        let mut writer = HashingWriter::new(io::sink());
        writer.write_all(b"abc").unwrap();
        assert_eq!(writer.finish(), ABC.parse().unwrap());
    }

    #[test]
    fn a_large_piece_has_the_same_digest_in_a_pool() {
        let large: Vec<u8> = (0..2 * LARGE + 7).map(|index| (index % 251) as u8).collect();
        let written = || {
            let mut writer = HashingWriter::new(Vec::new());
            [b"a", &large[..], b"b"].iter().for_each(|piece| writer.write_all(piece).unwrap());
            assert!(writer.inner.len() == large.len() + 2 && writer.inner[1..=large.len()] == large);
            writer.finish()
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert_eq!(
            (pool.install(written), written()),
            (Digest::of_parts(&[b"a", &large, b"b"]), pool.install(written))
        );
    }

    #[test]
    fn digests_are_in_the_order_of_their_digits() {
        let mut digests: Vec<_> = (0..=u8::MAX).map(|byte| Digest::of(&[byte])).collect();
        let text = "0".repeat(63);
        digests.extend(["1", "0", "2"].map(|end| format!("{text}{end}").parse::<Digest>().unwrap()));
        let mut texts: Vec<_> = digests.iter().map(ToString::to_string).collect();
        digests.sort_unstable();
        texts.sort_unstable();
        assert_eq!(digests.iter().map(ToString::to_string).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn text_that_is_no_digest_is_refused() {
        for text in ["", "abc", &"g".repeat(64), &"é".repeat(32), &ABC[1..], &"+f".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
