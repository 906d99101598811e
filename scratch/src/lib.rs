//! Vectors that lie in files: what a stage keeps of every image, of which there may be more than fit in memory.

use std::fs::File;
use std::io::{self, Write as _};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use files::IoContext as _;
use files::Result;
use memmap2::MmapMut;
use rayon::prelude::*;

/// Bytes of the first values' room, and of what is written at once.
const PIECE: usize = 1 << 16;

/// A vector of plain values in a nameless file, mapped into memory: the system writes its pages out where memory is short,
/// and reads them again. The file is gone with the vector, or with the process. Values own what they are: one that borrows
/// from such a vector would not survive that it is mapped anew as it grows.
#[derive(Debug)]
pub struct FileVec<T: Copy + 'static> {
    /// Where the file lies, as messages call it.
    folder: PathBuf,
    file: File,
    /// All of the file; nothing while it is empty.
    map: Option<MmapMut>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Copy + 'static> FileVec<T> {
    /// An empty one, whose file is in `folder`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(folder: &Path) -> Result<Self> {
        // Values lie behind one another from the start of a page on.
        const { assert!(size_of::<T>() > 0 && align_of::<T>() <= 4096) };
        let file = tempfile::tempfile_in(folder).context("create a file in", folder)?;
        Ok(Self { folder: folder.to_owned(), file, map: None, len: 0, values: PhantomData })
    }

    /// An empty one that grows to `len` values where it is.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn with_capacity(folder: &Path, len: usize) -> Result<Self> {
        let mut all = Self::new(folder)?;
        all.reserve(len)?;
        Ok(all)
    }

    /// What `value` gives for each index below `len`, computed by all threads of the pool.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn from_fn(folder: &Path, len: usize, value: impl Fn(usize) -> T + Sync) -> Result<Self>
    where
        T: Send,
    {
        let mut all = Self::with_capacity(folder, len)?;
        all.room(len).par_iter_mut().enumerate().for_each(|(index, place)| {
            place.write(value(index));
        });
        all.len = len;
        Ok(all)
    }

    /// `value`, `len` times.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn filled(folder: &Path, len: usize, value: T) -> Result<Self> {
        let mut all = Self::with_capacity(folder, len)?;
        all.room(len).fill(MaybeUninit::new(value));
        all.len = len;
        Ok(all)
    }

    /// Appends `value`.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn push(&mut self, value: T) -> Result<()> {
        self.extend(&[value])
    }

    /// Appends `values`.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn extend(&mut self, values: &[T]) -> Result<()> {
        self.reserve(values.len())?;
        self.room(values.len()).write_copy_of_slice(values);
        self.len += values.len();
        Ok(())
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for as many values more.
    fn reserve(&mut self, values: usize) -> Result<()> {
        let has = self.map.as_ref().map_or(0, |map| map.len());
        let needed = (self.len + values) * size_of::<T>();
        if needed <= has {
            return Ok(());
        }
        let bytes = needed.max(2 * has).next_multiple_of(PIECE);
        self.map = None;
        self.append_zeros(bytes - has).context("write a file in", &self.folder)?;
        // SAFETY: the file has no name, so no other process finds it, and this vector is all that reads or writes it.
        self.map = Some(unsafe { MmapMut::map_mut(&self.file) }.context("map a file in", &self.folder)?);
        Ok(())
    }

    /// The places of the next `values` values, for which there is room.
    fn room(&mut self, values: usize) -> &mut [MaybeUninit<T>] {
        let Some(map) = &mut self.map else { return &mut [] };
        let places = map.len() / size_of::<T>();
        // SAFETY: a map begins at a page, where any `T` may be, and nothing is said of what lies there.
        let all = unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), places) };
        &mut all[self.len..self.len + values]
    }

    /// Written, so that a disk that is full is an error here. A page that finds no room later would end the process, as it may
    /// on a file system that puts what is written anew elsewhere.
    fn append_zeros(&mut self, bytes: usize) -> io::Result<()> {
        (0..bytes.div_ceil(PIECE)).try_for_each(|_| self.file.write_all(&[0; PIECE]))
    }
}

impl<T: Copy + 'static> Deref for FileVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were written to the map; it begins at a page, where any `T` may be.
        self.map.as_ref().map_or(&[], |map| unsafe { std::slice::from_raw_parts(map.as_ptr().cast(), self.len) })
    }
}

impl<T: Copy + 'static> DerefMut for FileVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the map is borrowed for writing.
        self.map
            .as_mut()
            .map_or(&mut [], |map| unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), self.len) })
    }
}

/// Names behind one another.
#[derive(Debug)]
pub struct Names(FileVec<u8>);

/// A name among [`Names`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Name {
    at: u64,
    bytes: u32,
}

impl Name {
    /// `bytes` bytes of it, from the `from`th on.
    #[must_use]
    pub fn part(self, from: usize, bytes: usize) -> Self {
        Self { at: self.at + from as u64, bytes: bytes as u32 }
    }
}

impl Names {
    /// No names yet; their file is in `folder`.
    ///
    /// # Errors
    /// When no file can be made there.
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self(FileVec::new(folder)?))
    }

    /// Adds one that is made of `parts`.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written.
    pub fn add(&mut self, parts: &[&[u8]]) -> Result<Name> {
        let at = self.0.len() as u64;
        parts.iter().try_for_each(|part| self.0.extend(part))?;
        Ok(Name { at, bytes: (self.0.len() as u64 - at) as u32 })
    }

    /// The name's bytes, whose order is the names'.
    #[must_use]
    pub fn bytes(&self, name: Name) -> &[u8] {
        &self.0[name.at as usize..][..name.bytes as usize]
    }

    /// One that was added as text.
    ///
    /// # Panics
    /// Where it was not.
    #[must_use]
    pub fn text(&self, name: Name) -> &str {
        str::from_utf8(self.bytes(name)).expect("the name was added as text")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pushed_is_there_however_often_the_file_grew() {
        let folder = tempfile::tempdir().unwrap();
        let mut values = FileVec::new(folder.path()).unwrap();
        assert!(values.is_empty() && values.iter_mut().next().is_none());
        values.extend(&[]).unwrap();
        for value in 0..100_000_u64 {
            values.push((value, value as u8)).unwrap();
        }
        values.extend(&[(7, 1), (8, 2)]).unwrap();
        values[0].1 = 9;
        assert_eq!(
            (values.len(), values[0], values[70_000], values[100_001]),
            (100_002, (0, 9), (70_000, 112), (8, 2))
        );
        values.sort_unstable_by_key(|&(value, _)| std::cmp::Reverse(value));
        assert_eq!((values[0], values[100_001]), ((99_999, 159), (0, 9)));
        assert_eq!(FileVec::filled(folder.path(), 3, 'x').unwrap()[..], ['x', 'x', 'x']);
        let squares = FileVec::from_fn(folder.path(), 10_000, |index| index * index).unwrap();
        assert!(squares.len() == 10_000 && squares.iter().enumerate().all(|(index, &square)| square == index * index));
        assert!(FileVec::from_fn(folder.path(), 0, |index| index).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the files have no names");
    }

    #[test]
    fn names_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut names = Names::new(folder.path()).unwrap();
        let one = names.add(&[b"A", b"/", "é.png".as_bytes()]).unwrap();
        let none = names.add(&[]).unwrap();
        assert_eq!((names.text(one), names.text(one.part(2, 6)), names.text(none)), ("A/é.png", "é.png", ""));
    }
}
