//! Every file to the pixels of an 8-bit grey image, or to the reason why it is none.
//!
//! Files are decoded in any order and by several threads; the pixels go to a scratch file, and so do digests and places.
//! Which size the images have is known when all were seen: [`Decoded::of`] then takes the images of that size, in the order
//! of their files.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use artifacts::Rejected;
use files::{Digest, HashingWriter, IoContext as _};
use image::codecs::png::PngDecoder;
use image::{DynamicImage, GrayImage, Limits, Luma, LumaA};
use memmap2::Mmap;
use scratch::FileVec;

use crate::error::Error;
use crate::folders::Folders;
use crate::header::{Header, most_common_size};
use crate::png::{ShortWay, transparency_is_damaged};

/// A larger file is rejected: an image of the largest size has no more than 34 MB even uncompressed.
pub const MOST_BYTES: u64 = 1 << 26;

/// Why an entry of a class folder is no image that is a folder.
pub const NO_IMAGE_BUT_A_FOLDER: &str = "it is a folder: images are read in class folders alone";

/// Bytes of pixels that a thread holds before it writes them to the scratch file.
const MOST_HELD: usize = 1 << 20;

/// What became of a file.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// SHA-256 of its bytes, where they can be read.
    pub digest: Option<Digest>,
    /// Its header, where it starts with one.
    header: Option<Header>,
    /// Its image, or why it is none.
    image: Result<Stored, Reason>,
}

/// Which of the reasons in [`Scratch`].
#[derive(Debug, Clone, Copy)]
struct Reason(usize);

#[derive(Debug, Clone, Copy)]
struct Stored {
    /// Where its pixels begin in the scratch file.
    at: u64,
    /// SHA-256 of its pixels.
    pixels: Digest,
}

impl Record {
    /// Of a file that is about to be decoded.
    pub const PENDING: Self = Self { digest: None, header: None, image: Err(Reason(0)) };
}

/// What the decoders share: the file of all pixels, and why files are no image.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    path: PathBuf,
    /// With how many bytes it has.
    file: Mutex<(File, u64)>,
    /// With which of them each is.
    reasons: Mutex<HashMap<String, usize>>,
}

impl Scratch {
    /// An empty one in `folder`.
    pub fn create(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("pixels.scratch");
        let file = File::create(&path).context("create", &path)?;
        Ok(Self { folder: folder.to_owned(), path, file: Mutex::new((file, 0)), reasons: Mutex::default() })
    }

    /// Where it lies, for other files of its kind.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The record of a file that is no image.
    pub fn rejected(&self, digest: Option<Digest>, reason: impl Into<String>) -> Record {
        Record { digest, header: None, image: Err(self.reason(reason.into())) }
    }

    /// The record of an entry of a class folder that is something else than a file.
    pub fn no_file(&self, is_folder: bool) -> Record {
        let reason = if is_folder { NO_IMAGE_BUT_A_FOLDER } else { "it is no regular file" };
        self.rejected(None, reason)
    }

    /// The record of a file of more than [`MOST_BYTES`].
    pub fn too_large(&self, digest: Digest, bytes: u64) -> Record {
        self.rejected(Some(digest), format!("it has {bytes} bytes; at most {MOST_BYTES} are read"))
    }

    fn reason(&self, reason: String) -> Reason {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let next = reasons.len();
        Reason(*reasons.entry(reason).or_insert(next))
    }

    /// Appends `pixels`; returns where they begin.
    fn append(&self, pixels: &[u8]) -> Result<u64, Error> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, bytes) = &mut *guard;
        file.write_all(pixels).context("write", &self.path)?;
        let start = *bytes;
        *bytes += pixels.len() as u64;
        Ok(start)
    }

    /// The pixels of all images.
    pub fn map(&self) -> Result<Option<Mmap>, Error> {
        let file = File::open(&self.path).context("read", &self.path)?;
        if file.metadata().context("read", &self.path)?.len() == 0 {
            return Ok(None);
        }
        // SAFETY: the file is this process's own, in its own staging folder, and nothing writes to it any more.
        Ok(unsafe { Mmap::map(&file) }.map(Some).context("map", &self.path)?)
    }

    /// Deletes the file.
    pub fn remove(self) -> Result<(), Error> {
        Ok(fs::remove_file(&self.path).context("remove", &self.path)?)
    }
}

/// One thread's decoder of a run of files.
#[derive(Debug)]
pub struct Decoder<'a> {
    scratch: &'a Scratch,
    short_way: ShortWay,
    records: Vec<Record>,
    /// How many of the records have their pixels in the scratch file.
    written: usize,
    /// The pixels of the others.
    pixels: Vec<u8>,
}

impl<'a> Decoder<'a> {
    /// One that writes to `scratch`.
    pub fn new(scratch: &'a Scratch) -> Self {
        Self { scratch, short_way: ShortWay::new(), records: Vec::new(), written: 0, pixels: Vec::new() }
    }

    /// What it writes to.
    pub fn scratch(&self) -> &'a Scratch {
        self.scratch
    }

    /// Decodes a file.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let digest = Some(Digest::of(bytes));
        let (header, image) = match Header::read(bytes) {
            Err(reason) => (None, Err(reason)),
            Ok(mut header) => {
                let image = self.decode_pixels(bytes, &mut header);
                (Some(header), image)
            }
        };
        let image = image.map_err(|reason| self.scratch.reason(reason));
        self.add(Record { digest, header, image })
    }

    /// Takes the record of a file that need not be decoded.
    pub fn add(&mut self, record: Record) -> Result<(), Error> {
        self.records.push(record);
        if self.pixels.len() > MOST_HELD { self.write() } else { Ok(()) }
    }

    /// The records of the files so far; the next ones begin another run.
    pub fn finish(&mut self) -> Result<Vec<Record>, Error> {
        self.write()?;
        self.written = 0;
        Ok(std::mem::take(&mut self.records))
    }

    fn decode_pixels(&mut self, bytes: &[u8], header: &mut Header) -> Result<Stored, String> {
        let start = self.pixels.len();
        append_pixels(&mut self.short_way, bytes, header, &mut self.pixels)?;
        Ok(Stored { at: start as u64, pixels: Digest::of(&self.pixels[start..]) })
    }

    fn write(&mut self) -> Result<(), Error> {
        let start = self.scratch.append(&self.pixels)?;
        self.pixels.clear();
        let stored = self.records[self.written..].iter_mut().filter_map(|record| record.image.as_mut().ok());
        stored.for_each(|image| image.at += start);
        self.written = self.records.len();
        Ok(())
    }
}

/// The usable images.
#[derive(Debug)]
pub struct Decoded {
    /// Height of every image in pixels.
    pub height: usize,
    /// Width of every image in pixels.
    pub width: usize,
    /// The usable images, in the order of their files.
    pub images: FileVec<DecodedImage>,
    /// The other files.
    pub rejected: Vec<Rejected>,
    /// How many of these are images, but of another size.
    pub of_another_size: usize,
    /// How many images were converted to 8-bit grey, by colour type.
    pub converted: BTreeMap<String, u64>,
    /// SHA-256 of the list that `sha256sum` would print of the files.
    pub digest_of_files: Digest,
}

/// A usable image.
#[derive(Debug, Clone, Copy)]
pub struct DecodedImage {
    /// The index of its file.
    pub file: usize,
    /// Where its pixels begin in the scratch file.
    pub at: u64,
    /// SHA-256 of its pixels.
    pub pixels: Digest,
}

impl Decoded {
    /// Takes the images of the most common size. `records` are those of the files of `folders`, in their order.
    pub fn of(folders: &Folders, records: &[Record], scratch: &Scratch) -> Result<Self, Error> {
        let size =
            most_common_size(records.iter().filter(|record| record.image.is_ok()).filter_map(|record| record.header));
        let take = || {
            let mut images = FileVec::with_capacity(scratch.folder(), records.len())?;
            let mut rejected = Vec::new();
            let mut of_another_size = 0;
            let mut converted: BTreeMap<String, u64> = BTreeMap::new();
            let known = scratch.reasons.lock().unwrap_or_else(PoisonError::into_inner);
            let mut reasons = vec![""; known.len()];
            known.iter().for_each(|(text, &reason)| reasons[reason] = text);
            for (index, (file, record)) in folders.files.iter().zip(records).enumerate() {
                match (record.image, record.header) {
                    (Ok(image), Some(header)) if header.size == size => {
                        images.push(DecodedImage { file: index, at: image.at, pixels: image.pixels })?;
                        if let Some(colour) = header.other_colour() {
                            *converted.entry(colour).or_default() += 1;
                        }
                    }
                    (image, header) => {
                        of_another_size += usize::from(image.is_ok());
                        let other_size = || header.map(|header| format!("it is {}, not {size}", header.size));
                        let reason = image.err().map(|reason| reasons[reason.0].to_owned()).or_else(other_size);
                        let file = folders.names.text(file.name).to_owned();
                        rejected.push(Rejected { file, reason: reason.unwrap_or_default() });
                    }
                }
            }
            Ok::<_, Error>((images, rejected, of_another_size, converted))
        };
        let (digest_of_files, taken) = rayon::join(|| digest_of_files(folders, records), take);
        let (images, rejected, of_another_size, converted) = taken?;
        if images.is_empty() {
            return Err(Error::NoImage { folder: folders.place.clone(), files: folders.files.len(), rejected });
        }
        let (height, width) = (size.height, size.width);
        Ok(Self { height, width, images, rejected, of_another_size, converted, digest_of_files })
    }

    /// Fails where more than the share `max_rejects` of all files is rejected.
    pub fn refuse_too_many_rejects(&self, files: usize, max_rejects: f64) -> Result<(), Error> {
        if self.rejected.len() as f64 / files as f64 > max_rejects {
            let Self { rejected, of_another_size, .. } = self;
            let (rejected, of_another_size) = (rejected.clone(), *of_another_size);
            return Err(Error::TooManyRejects { files, max_rejects, rejected, of_another_size });
        }
        Ok(())
    }
}

/// SHA-256 of the list that `sha256sum` would print of the files; `records` are theirs, in their order.
fn digest_of_files(folders: &Folders, records: &[Record]) -> Digest {
    let mut list = HashingWriter::new(std::io::sink());
    let mut line = String::new();
    for (file, digest) in folders.files.iter().zip(records).filter_map(|(file, record)| Some((file, record.digest?))) {
        line.clear();
        digest.write_to(&mut line);
        for part in [line.as_bytes(), b"  ", folders.names.bytes(file.name), b"\n"] {
            list.write_all(part).expect("a sink takes everything");
        }
    }
    list.finish()
}

/// Height, width and the pixels of a PNG file, as 8-bit grey.
///
/// # Errors
/// Says why it is none, or none that is taken.
pub fn decode_file(bytes: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let mut header = Header::read(bytes)?;
    let mut pixels = Vec::new();
    append_pixels(&mut ShortWay::new(), bytes, &mut header, &mut pixels)?;
    Ok((header.size.height, header.size.width, pixels))
}

fn append_pixels(
    short_way: &mut ShortWay,
    bytes: &[u8],
    header: &mut Header,
    pixels: &mut Vec<u8>,
) -> Result<(), String> {
    if short_way.decode(bytes, *header, pixels).is_none() {
        let image = decode(bytes)?;
        header.set_has_alpha(image.color().has_alpha());
        pixels.extend(in_grey(image).into_raw());
    }
    Ok(())
}

/// Any PNG file.
fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let broken = |error: image::ImageError| format!("it does not decode: {error}");
    if transparency_is_damaged(bytes) {
        return Err("the checksum of its transparency (tRNS) is wrong".to_owned());
    }
    // A chunk of metadata may claim to inflate to any size.
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits).map_err(broken)?;
    DynamicImage::from_decoder(decoder).map_err(broken)
}

/// In 8-bit grey, on white paper.
fn in_grey(image: DynamicImage) -> GrayImage {
    if image.color().has_alpha() { over_white(&image) } else { image.into_luma8() }
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
