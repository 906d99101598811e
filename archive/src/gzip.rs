//! What was compressed with gzip (RFC 1952): one member or several behind one another.

use std::io::{self, BufRead, Read};

use zlib_rs::{Inflate, InflateError, InflateFlush, Status};

/// A window of 32 KiB, with gzip's header and trailer, whose checksum and length are verified.
const GZIP: u8 = 16 + 15;

/// Inflates what it reads.
pub struct GzipReader<R> {
    inner: R,
    inflate: Inflate,
    /// Whether the last member is complete.
    at_end: bool,
}

impl<R: BufRead> GzipReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, inflate: Inflate::new(true, GZIP), at_end: false }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            let input = self.inner.fill_buf()?;
            if self.at_end {
                if input.is_empty() {
                    return Ok(0);
                }
                self.inflate = Inflate::new(true, GZIP);
                self.at_end = false;
            }
            let is_cut = input.is_empty();
            let (read_before, written_before) = (self.inflate.total_in(), self.inflate.total_out());
            let result = self.inflate.decompress(input, buffer, InflateFlush::NoFlush);
            let read = self.inflate.total_in() - read_before;
            let written = (self.inflate.total_out() - written_before) as usize;
            let status = result.map_err(|error| invalid(&self.inflate, error))?;
            self.inner.consume(read as usize);
            self.at_end = matches!(status, Status::StreamEnd);
            if written > 0 {
                return Ok(written);
            }
            if is_cut && !self.at_end {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the compressed data end early"));
            }
        }
        Ok(0)
    }
}

fn invalid(inflate: &Inflate, error: InflateError) -> io::Error {
    let reason = inflate.error_message().unwrap_or_else(|| error.as_str());
    io::Error::new(io::ErrorKind::InvalidData, format!("the compressed data are not valid: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf one | gzip -n` and `printf two | gzip -n`.
    const ONE: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcf\x4b\x05\0\xf1\x86\x6c\x7a\x03\0\0\0";
    const TWO: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x2b\x29\xcf\x07\0\x66\x8a\xca\x11\x03\0\0\0";

    fn inflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut inflated = Vec::new();
        GzipReader::new(bytes).read_to_end(&mut inflated)?;
        Ok(inflated)
    }

    #[test]
    fn members_behind_one_another_are_one_stream() {
        assert_eq!(inflate(ONE).unwrap(), b"one");
        assert_eq!(inflate(&[ONE, TWO, ONE].concat()).unwrap(), b"onetwoone");
    }

    #[test]
    fn no_cut_and_no_changed_byte_of_the_data_goes_unnoticed() {
        for end in 0..ONE.len() {
            assert!(inflate(&ONE[..end]).is_err(), "cut at {end}");
            assert!(inflate(&[TWO, &ONE[..end]].concat()).is_err() || end == 0, "second member cut at {end}");
        }
        for at in (0..3).chain(10..ONE.len()) {
            let mut bytes = ONE.to_vec();
            bytes[at] ^= 1;
            assert!(inflate(&bytes).is_err(), "changed at {at}");
        }
        assert!(inflate(&[ONE, b"more"].concat()).is_err());
    }
}
