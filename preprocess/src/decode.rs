//! Every file to the pixels of an 8-bit grey image, or to the reason why it is none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor, Write as _};
use std::path::{Path, PathBuf};

use artifacts::{Digest, HashingWriter, Rejected};
use image::codecs::png::PngDecoder;
use image::{ColorType, DynamicImage, ImageDecoder as _, Limits};
use memmap2::Mmap;
use rayon::prelude::*;
use terminal::Console;

use crate::error::{Error, io_error};
use crate::folders::{Folders, ImageFile};

/// Files decoded between two writes to the scratch file.
const CHUNK: usize = 4096;

/// A larger image is refused before it is allocated.
const MOST_PIXELS_A_SIDE: u32 = 2048;

/// What the files hold.
#[derive(Debug)]
pub struct Decoded {
    /// Height of every image in pixels.
    pub height: usize,
    /// Width of every image in pixels.
    pub width: usize,
    /// The usable images, in the order of their files.
    pub images: Vec<DecodedImage>,
    /// The other files.
    pub rejected: Vec<Rejected>,
    /// How many images were converted to 8-bit grey, by colour type.
    pub converted: BTreeMap<String, u64>,
    /// SHA-256 of the list that `sha256sum` would print of the files.
    pub digest_of_files: Digest,
    scratch: PathBuf,
}

/// A usable image. Its pixels are in the scratch file, at its own place among the usable images.
#[derive(Debug)]
pub struct DecodedImage {
    /// The index of its file.
    pub file: usize,
    /// SHA-256 of its pixels.
    pub pixels: Digest,
}

impl Decoded {
    /// The pixels of all images, one image behind the other.
    pub fn pixels(&self) -> Result<Option<Mmap>, Error> {
        if self.images.is_empty() {
            return Ok(None);
        }
        let file = File::open(&self.scratch).map_err(io_error("read", &self.scratch))?;
        // SAFETY: the file is this process's own, in its own staging folder, and nothing writes to it any more.
        unsafe { Mmap::map(&file) }.map(Some).map_err(io_error("map", &self.scratch))
    }

    /// Deletes the scratch file.
    pub fn remove_scratch(&self) -> Result<(), Error> {
        fs::remove_file(&self.scratch).map_err(io_error("remove", &self.scratch))
    }
}

/// Decodes all files, in parallel; the pixels go to a scratch file in `folder`.
pub fn decode_all(folders: &Folders, folder: &Path, threads: Option<u16>, console: &Console) -> Result<Decoded, Error> {
    let threads = threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("the system starts threads");
    let scratch = folder.join("pixels.scratch");
    let mut writer = BufWriter::new(File::create(&scratch).map_err(io_error("create", &scratch))?);
    let mut list_of_files = HashingWriter::new(std::io::sink());
    let mut decoded = Decoded {
        height: 0,
        width: 0,
        images: Vec::new(),
        rejected: Vec::new(),
        converted: BTreeMap::new(),
        digest_of_files: Digest::of(&[]),
        scratch: scratch.clone(),
    };
    let progress = console.progress(folders.files.len() as u64, "files").labelled("decoding");
    for (chunk_index, chunk) in folders.files.chunks(CHUNK).enumerate() {
        let results: Vec<_> = pool.install(|| chunk.par_iter().map(read_image).collect());
        if decoded.images.is_empty() {
            (decoded.height, decoded.width) = most_common_size(&results);
        }
        for (index, (file, (digest, result))) in chunk.iter().zip(results).enumerate() {
            if let Some(digest) = digest {
                writeln!(list_of_files, "{digest}  {}", file.name).expect("a sink takes everything");
            }
            let result = result.and_then(|image| image.of_size(decoded.height, decoded.width));
            match result {
                Err(reason) => decoded.rejected.push(Rejected { file: file.name.clone(), reason }),
                Ok(image) => {
                    writer.write_all(&image.pixels).map_err(io_error("write", &scratch))?;
                    decoded
                        .images
                        .push(DecodedImage { file: chunk_index * CHUNK + index, pixels: Digest::of(&image.pixels) });
                    if let Some(colour) = image.converted_from {
                        *decoded.converted.entry(colour).or_default() += 1;
                    }
                }
            }
        }
        progress.advance(chunk.len() as u64);
    }
    writer.flush().map_err(io_error("write", &scratch))?;
    decoded.digest_of_files = list_of_files.finish();
    if decoded.images.is_empty() {
        let folder = common_folder(&folders.files);
        return Err(Error::NoImage { folder, files: folders.files.len(), rejected: decoded.rejected });
    }
    Ok(decoded)
}

/// Fails where more than the share `max_rejects` of all files is rejected.
pub fn refuse_too_many_rejects(rejected: &[Rejected], files: usize, max_rejects: f64) -> Result<(), Error> {
    if rejected.len() as f64 > max_rejects * files as f64 {
        return Err(Error::TooManyRejects { files, max_rejects, rejected: rejected.to_vec() });
    }
    Ok(())
}

#[derive(Debug)]
struct GreyImage {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
    converted_from: Option<String>,
}

impl GreyImage {
    fn of_size(self, height: usize, width: usize) -> Result<Self, String> {
        if (self.height, self.width) == (height, width) {
            return Ok(self);
        }
        Err(format!("it is {}x{} pixels, not {height}x{width}", self.height, self.width))
    }
}

/// The digest of the file's bytes, where they can be read, and the image in them.
fn read_image(file: &ImageFile) -> (Option<Digest>, Result<GreyImage, String>) {
    if file.path.is_dir() {
        return (None, Err("it is a folder".to_owned()));
    }
    match fs::read(&file.path) {
        Ok(bytes) => (Some(Digest::of(&bytes)), decode(&bytes)),
        Err(error) => (None, Err(format!("it cannot be read: {error}"))),
    }
}

fn decode(bytes: &[u8]) -> Result<GreyImage, String> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !bytes.starts_with(SIGNATURE) {
        return Err("it is no PNG file".to_owned());
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS_A_SIDE);
    limits.max_image_height = Some(MOST_PIXELS_A_SIDE);
    let broken = |error: image::ImageError| format!("it does not decode: {error}");
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(broken)?;
    let original = decoder.original_color_type();
    let is_grey = decoder.color_type() == ColorType::L8 && original == ColorType::L8.into();
    let (width, height) = decoder.dimensions();
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    Ok(GreyImage {
        height: height as usize,
        width: width as usize,
        converted_from: (!is_grey).then(|| format!("{original:?}").to_lowercase()),
        pixels: image.into_luma8().into_raw(),
    })
}

/// The most common size of the decoded images; of several, the smallest.
fn most_common_size(results: &[(Option<Digest>, Result<GreyImage, String>)]) -> (usize, usize) {
    let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for image in results.iter().filter_map(|(_, result)| result.as_ref().ok()) {
        *counts.entry((image.height, image.width)).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    counts.into_iter().find(|&(_, count)| count == most).map_or((0, 0), |(size, _)| size)
}

fn common_folder(files: &[ImageFile]) -> PathBuf {
    files.first().and_then(|file| file.path.parent()?.parent()).unwrap_or(Path::new(".")).to_owned()
}
