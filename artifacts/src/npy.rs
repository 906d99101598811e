//! `.npy` files in memory: nothing is allocated for what their headers claim.

use ndarray::{Array2, ArrayView, ArrayView1, ArrayView2, ArrayView3, Dimension};
use ndarray_npy::ViewNpyExt;

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

/// The array of a file of `f32` with two axes.
///
/// # Errors
/// Says what else it is.
pub fn matrix(file: &[u8]) -> Result<Array2<f32>, String> {
    // NumPy aligns the values to the file's start, so that must be where an `f32` may be.
    let mut room = vec![0; file.len() + align_of::<f32>()];
    let start = room.as_ptr().align_offset(align_of::<f32>());
    let aligned = &mut room[start..start + file.len()];
    aligned.copy_from_slice(file);
    let view = ArrayView2::<f32>::view_npy(aligned).map_err(|error| error.to_string())?;
    Ok(view.to_owned())
}

fn values<'a, V, D>(file: &'a [u8], expected: &[usize]) -> Result<&'a [u8], String>
where
    V: ViewNpyExt<'a> + Into<ArrayView<'a, u8, D>>,
    D: Dimension,
{
    let view: ArrayView<'a, u8, D> = V::view_npy(file).map_err(|error| error.to_string())?.into();
    if view.shape() != expected {
        return Err(format!("it has shape {:?}; dataset.json says {expected:?}", view.shape()));
    }
    view.to_slice().ok_or_else(|| "it is in Fortran order".to_owned())
}
