//! Images without labels: `--estimate-prior`.

use std::fs;
use std::path::Path;

use artifacts::{ModelDescription, npy};
use files::{Digest, IoContext as _};
use ndarray::Array3;

use crate::error::Error;

/// Images without labels.
#[derive(Debug)]
pub(crate) struct Unlabelled {
    /// The file's name.
    pub name: String,
    /// `[N, H, W]`, at least one.
    pub images: Array3<u8>,
    pub digest: Digest,
}

impl Unlabelled {
    /// Reads a `.npy` of `u8 [N, H, W]`, of the size that the model takes.
    pub(crate) fn read(path: &Path, model: &ModelDescription) -> Result<Self, Error> {
        let bytes = fs::read(path).context("read", path)?;
        let malformed =
            |reason| artifacts::Error::Malformed { path: path.to_owned(), kind: "array of unlabelled images", reason };
        let expected = format!("u8 [N, {}, {}] with N at least 1 was expected", model.height, model.width);
        let images: Array3<u8> = npy::array(&bytes)
            .map_err(|reason| malformed(format!("{expected}, and there is another array: {reason}")))?;
        let (count, height, width) = images.dim();
        if count == 0 || [height, width] != [model.height, model.width] {
            return Err(malformed(format!("it has shape {:?}; {expected}", images.shape())).into());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let images = images.as_standard_layout().into_owned();
        Ok(Self { name, images, digest: Digest::of(&bytes) })
    }
}
