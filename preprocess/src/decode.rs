//! Every file to the pixels of an 8-bit grey image, or to the reason why it is none.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Cursor, Write as _};
use std::path::{Path, PathBuf};

use artifacts::{Digest, HashingWriter, IoContext as _, Rejected};
use image::codecs::png::PngDecoder;
use image::{DynamicImage, GrayImage, Luma, LumaA};
use memmap2::Mmap;
use rayon::prelude::*;
use terminal::Console;

use crate::error::Error;
use crate::folders::{Folders, ImageFile};
use crate::header::{Header, Size};

/// Files decoded between two writes to the scratch file.
const CHUNK: usize = 4096;

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
        let file = File::open(&self.scratch).context("read", &self.scratch)?;
        // SAFETY: the file is this process's own, in its own staging folder, and nothing writes to it any more.
        Ok(unsafe { Mmap::map(&file) }.map(Some).context("map", &self.scratch)?)
    }

    /// Deletes the scratch file.
    pub fn remove_scratch(&self) -> Result<(), Error> {
        Ok(fs::remove_file(&self.scratch).context("remove", &self.scratch)?)
    }
}

/// Decodes all files, in parallel; the pixels go to a scratch file in `folder`. An image of another size is rejected.
pub fn decode_all(
    folders: &Folders,
    size: Size,
    folder: &Path,
    threads: Option<u16>,
    console: &Console,
) -> Result<Decoded, Error> {
    let threads = threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|source| Error::Threads { threads, source })?;
    let scratch = folder.join("pixels.scratch");
    let mut writer = BufWriter::new(File::create(&scratch).context("create", &scratch)?);
    let mut list_of_files = HashingWriter::new(std::io::sink());
    let mut decoded = Decoded {
        height: size.height,
        width: size.width,
        images: Vec::new(),
        rejected: Vec::new(),
        converted: BTreeMap::new(),
        digest_of_files: Digest::of(&[]),
        scratch: scratch.clone(),
    };
    let progress = console.progress(folders.files.len() as u64, "files").labelled("decoding");
    for (chunk_index, chunk) in folders.files.chunks(CHUNK).enumerate() {
        let results: Vec<_> = pool.install(|| chunk.par_iter().map(|file| read_image(file, size)).collect());
        for (index, (file, (digest, result))) in chunk.iter().zip(results).enumerate() {
            if let Some(digest) = digest {
                writeln!(list_of_files, "{digest}  {}", file.name).expect("a sink takes everything");
            }
            match result {
                Err(reason) => decoded.rejected.push(Rejected { file: file.name.clone(), reason }),
                Ok(image) => {
                    writer.write_all(&image.pixels).context("write", &scratch)?;
                    let file = chunk_index * CHUNK + index;
                    decoded.images.push(DecodedImage { file, pixels: Digest::of(&image.pixels) });
                    if let Some(colour) = image.converted_from {
                        *decoded.converted.entry(colour).or_default() += 1;
                    }
                }
            }
        }
        progress.advance(chunk.len() as u64);
    }
    writer.flush().context("write", &scratch)?;
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
    pixels: Vec<u8>,
    converted_from: Option<String>,
}

/// The digest of the file's bytes, where they can be read, and the image in them.
fn read_image(file: &ImageFile, size: Size) -> (Option<Digest>, Result<GreyImage, String>) {
    if !file.path.is_file() {
        return (None, Err("it is no regular file".to_owned()));
    }
    match fs::read(&file.path) {
        Ok(bytes) => (Some(Digest::of(&bytes)), decode(&bytes, size)),
        Err(error) => (None, Err(format!("it cannot be read: {error}"))),
    }
}

fn decode(bytes: &[u8], size: Size) -> Result<GreyImage, String> {
    let header = Header::read(bytes)?;
    let broken = |error: image::ImageError| format!("it does not decode: {error}");
    let decoder = PngDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    if header.size != size {
        return Err(format!("it is {}, not {size}", header.size));
    }
    let pixels = if image.color().has_alpha() { over_white(&image) } else { image.into_luma8() };
    Ok(GreyImage { pixels: pixels.into_raw(), converted_from: header.other_colour() })
}

/// The image on white paper: what is transparent there is white.
fn over_white(image: &DynamicImage) -> GrayImage {
    let image = image.to_luma_alpha8();
    GrayImage::from_fn(image.width(), image.height(), |x, y| {
        let LumaA([grey, alpha]) = *image.get_pixel(x, y);
        let (grey, alpha) = (u32::from(grey), u32::from(alpha));
        Luma([u8::try_from((grey * alpha + 255 * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)])
    })
}

fn common_folder(files: &[ImageFile]) -> PathBuf {
    files.first().and_then(|file| file.path.parent()?.parent()).unwrap_or(Path::new(".")).to_owned()
}
