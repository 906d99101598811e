//! `.npy` files: written as NumPy does, and read from memory, where nothing is allocated for what their headers claim.

use std::io;
use std::path::Path;

use files::{Digest, write_file};
use ndarray::{Array, ArrayBase, ArrayView, ArrayView1, ArrayView3, Data, Dimension};
use ndarray_npy::{ViewElement, ViewNpyExt, WritableElement, WriteNpyError, WriteNpyExt as _};

/// As many as NumPy takes (`max_header_size` of `numpy.load`).
const MOST_HEADER_BYTES: usize = 10_000;

/// A header of numbers has two opening brackets. `py_literal`, which reads it, takes twice as long for each that is nested.
const MOST_HEADER_BRACKETS: usize = 8;

/// Writes `array` to `path`; returns the file's digest.
///
/// # Errors
/// When the file cannot be written.
pub fn write<S, D>(path: &Path, array: &ArrayBase<S, D>) -> files::Result<Digest>
where
    S: Data<Elem: WritableElement>,
    D: Dimension,
{
    write_file(path, |writer| {
        array.write_npy(writer).map_err(|error| match error {
            WriteNpyError::Io(error) => error,
            other => io::Error::other(other),
        })
    })
}

/// The pixels of a file of `u8`, `[rows, height, width]`.
///
/// # Errors
/// Says what else it is.
pub fn images(file: &[u8], shape: [usize; 3]) -> Result<&[u8], String> {
    values::<ArrayView3<'_, u8>, _>(file, &shape)
}

/// The labels of a file of `u8`, `[rows]`, each below `classes`.
///
/// # Errors
/// Says what else it is.
pub fn labels(file: &[u8], rows: usize, classes: usize) -> Result<&[u8], String> {
    let labels = values::<ArrayView1<'_, u8>, _>(file, &[rows])?;
    match labels.iter().find(|&&label| usize::from(label) >= classes) {
        Some(label) => Err(format!("it has label {label} of {classes} classes")),
        None => Ok(labels),
    }
}

/// The array of a file of `T` with the axes of `D`.
///
/// # Errors
/// Says what else it is.
pub fn array<T: ViewElement + Clone, D: Dimension>(file: &[u8]) -> Result<Array<T, D>, String> {
    // NumPy aligns the values to the file's start, so that must be where a `T` may be.
    let mut room = Vec::new();
    let file = if file.as_ptr().align_offset(align_of::<T>()) == 0 {
        file
    } else {
        room.resize(file.len() + align_of::<T>(), 0);
        let start = room.as_ptr().align_offset(align_of::<T>());
        let aligned = &mut room[start..start + file.len()];
        aligned.copy_from_slice(file);
        aligned
    };
    Ok(view::<ArrayView<'_, T, D>>(file)?.to_owned())
}

fn values<'a, V, D>(file: &'a [u8], expected: &[usize]) -> Result<&'a [u8], String>
where
    V: ViewNpyExt<'a> + Into<ArrayView<'a, u8, D>>,
    D: Dimension,
{
    let view: ArrayView<'a, u8, D> = view::<V>(file)?.into();
    if view.shape() != expected {
        return Err(format!("it has shape {:?}; dataset.json says {expected:?}", view.shape()));
    }
    view.to_slice().ok_or_else(|| "it is in Fortran order".to_owned())
}

/// A view of the file, once its header is one that can be read in little memory and time.
fn view<'a, V: ViewNpyExt<'a>>(file: &'a [u8]) -> Result<V, String> {
    let header = header(file)?;
    if header.iter().filter(|byte| b"([{".contains(byte)).count() > MOST_HEADER_BRACKETS {
        return Err("its header nests too many brackets".to_owned());
    }
    V::view_npy(file).map_err(|error| error.to_string())
}

/// The text after the magic, the version and its own length: two bytes in version 1, else four (NEP 1).
fn header(file: &[u8]) -> Result<&[u8], String> {
    let (length, rest) = match (file.get(6), file.get(8..)) {
        (Some(1), Some(&[a, b, ref rest @ ..])) => (u16::from_le_bytes([a, b]).into(), rest),
        (Some(_), Some(&[a, b, c, d, ref rest @ ..])) => (u32::from_le_bytes([a, b, c, d]), rest),
        _ => return Err("it ends in its header".to_owned()),
    };
    usize::try_from(length)
        .ok()
        .filter(|&length| length <= MOST_HEADER_BYTES)
        .ok_or_else(|| format!("its header claims {length} bytes; at most {MOST_HEADER_BYTES} are read"))
        .and_then(|length| rest.get(..length).ok_or_else(|| format!("it ends before its header's {length} bytes")))
}
