//! A set of names, of which there may be millions.

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};

use files::Digest;
use files::Result;
use scratch::FileVec;

/// Half of a name's SHA-256, which tells any names apart. The last bit is set: no key is zero.
type Key = [u8; 16];

/// What a place without a key holds.
const FREE: Key = [0; 16];

/// Places of the first table.
const FIRST: usize = 1 << 12;

/// The keys of names, in a nameless file: a hash table with linear probing (Knuth, The Art of Computer Programming 3, 6.4,
/// algorithm L), at most half full. Where a key belongs is decided by a secret of this process: who makes an archive cannot
/// choose names that all belong to one place.
#[derive(Debug)]
pub struct Keys {
    folder: PathBuf,
    /// A power of two of them.
    table: FileVec<Key>,
    len: usize,
    secret: RandomState,
}

impl Keys {
    /// None yet; their file is in `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            table: FileVec::filled(folder, FIRST, FREE)?,
            len: 0,
            secret: RandomState::new(),
        })
    }

    /// Makes room for one more.
    pub fn reserve(&mut self) -> Result<()> {
        if 2 * (self.len + 1) > self.table.len() {
            let larger = FileVec::filled(&self.folder, 2 * self.table.len(), FREE)?;
            let smaller = std::mem::replace(&mut self.table, larger);
            for &key in smaller.iter().filter(|&&key| key != FREE) {
                let place = self.place_of(key);
                self.table[place] = key;
            }
        }
        Ok(())
    }

    /// Adds `name`, for which [`Keys::reserve`] made room. Whether it is new.
    pub fn insert(&mut self, name: &str) -> bool {
        let key = key(name);
        let place = self.place_of(key);
        let is_new = self.table[place] == FREE;
        self.table[place] = key;
        self.len += usize::from(is_new);
        is_new
    }

    /// Whether `name` is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.table[self.place_of(key(name))] != FREE
    }

    /// Where `key` is, or belongs.
    fn place_of(&self, key: Key) -> usize {
        let (first, last) = (self.secret.hash_one(key) as usize, self.table.len() - 1);
        let mut places = (0..=last).map(|step| first.wrapping_add(step) & last);
        places.find(|&place| [key, FREE].contains(&self.table[place])).expect("half of the table is free")
    }
}

fn key(name: &str) -> Key {
    let mut key: Key = *Digest::of(name.as_bytes()).as_bytes().first_chunk().expect("16 are fewer than 32");
    key[15] |= 1;
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_however_often_the_table_grew() {
        let folder = tempfile::tempdir().unwrap();
        let mut keys = Keys::new(folder.path()).unwrap();
        let mut insert = |name: &str| {
            keys.reserve().unwrap();
            (keys.contains(name), keys.insert(name))
        };
        for number in 0..20_000 {
            assert_eq!(insert(&number.to_string()), (false, true));
        }
        for number in 0..20_000 {
            assert_eq!(insert(&number.to_string()), (true, false));
        }
        assert_eq!(keys.len, 20_000);
    }
}
