//! gzip's members, one behind the other, and the zeros that a tape or a copy in blocks leaves behind them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// The first bytes of a member (RFC 1952).
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What the members hold, one behind the other. As with `gzip`, zeros may follow.
pub struct Members<R> {
    /// None at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    /// Those of a file that begins with one.
    pub fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            let ended = self.member.take().expect("there is a member");
            self.member = next(ended.into_inner())?;
        }
        Ok(0)
    }
}

/// The member behind zeros, or none where nothing else follows.
fn next<R: BufRead>(mut reader: R) -> io::Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = reader.fill_buf()?;
        match (bytes.iter().position(|&byte| byte != 0), bytes.len()) {
            (None, 0) => return Ok(None),
            (None, zeros) => reader.consume(zeros),
            (Some(0), _) if bytes[0] == MAGIC[0] => return Ok(Some(GzDecoder::new(reader))),
            (Some(0), _) => return Err(io::Error::other("something that is no gzip follows")),
            (Some(zeros), _) => reader.consume(zeros),
        }
    }
}
