use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A longer file is cut.
const MOST_BYTES: usize = 1 << 16;

/// Words that parsers look for, and numbers at the edges.
const WORDS: [&[u8]; 16] = [
    b"..",
    b"/",
    b"\0",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80",
    b"18446744073709551615",
    b"-1",
    b"1e999",
    b"null",
    b"{}",
    b"[[[[[[[[",
    b"\"",
    b"99 path=../../x\n",
    b"'shape': (",
    b"ustar",
];

/// Changes bytes at random, the same way for the same seed.
#[derive(Debug)]
pub struct Mutator(ChaCha8Rng);

impl Mutator {
    /// One that the seed decides.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// One of the files of a corpus, changed in a few places; `other` parts come from a second one.
    ///
    /// # Panics
    /// When the corpus is empty.
    pub fn next_input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.0.random_range(0..corpus.len())].clone();
        for _ in 0..self.0.random_range(1..=6) {
            let other = &corpus[self.0.random_range(0..corpus.len())];
            self.change(&mut bytes, other);
        }
        if self.0.random_bool(0.5) {
            mend_checksums(&mut bytes);
        }
        bytes.truncate(MOST_BYTES);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let random = &mut self.0;
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(1..=16_usize)).min(bytes.len());
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random_range(0..=u8::MAX),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let repeated = bytes[at..end].to_vec();
                bytes.splice(at..at, repeated);
            }
            5 => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                let end = (at + word.len() * usize::from(random.random_bool(0.5))).min(bytes.len());
                bytes.splice(at..end, word.iter().copied());
            }
            6 if !other.is_empty() => {
                let from = random.random_range(0..other.len());
                let to = (from + random.random_range(1..=512_usize)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => bytes.extend((0..random.random_range(1..=16)).map(|_| random.random_range(0..=u8::MAX))),
        }
    }
}

/// Gives the headers of a tar archive the checksums that they should have (POSIX.1-2024, pax, "ustar").
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
