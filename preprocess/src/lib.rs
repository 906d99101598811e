//! Class folders of PNG images, or an archive of them, to `.npy` shards and a `dataset.json`.
//!
//! The same files, arguments and version give the same bytes, whatever the order of the files on disk and the number of
//! threads. What is kept of every image, names and digests as well as pixels, lies in scratch files beside the shards: the
//! memory that preprocessing needs does not grow with the number of images. The names of rejected files, which dataset.json
//! lists, are in memory.

mod archives;
mod decode;
mod duplicates;
mod error;
mod folders;
mod header;
mod options;
mod png;
mod read;
mod shards;
mod split;
mod summary;

use std::path::Path;
use std::time::Instant;

use artifacts::{Dataset, Fonts, Provenance, RemovedCounts, SplitName, Splits, StageTimings};
pub use decode::decode_file;
pub use error::Error;
use files::StagedDirectory;
pub use options::Options;
use terminal::{Console, counted};

use crate::decode::{Decoded, Scratch};
use crate::folders::Folders;
use crate::split::{Assigned, Member, Shares};

/// What there is in an output folder.
const PARTS: [&str; 6] = ["train", "valid", "test", Dataset::FILE_NAME, Dataset::REMOVED_LIST, StageTimings::FILE_NAME];

/// Preprocesses the folder or the archive of `options` to `options.output`.
///
/// # Errors
/// See [`Error`]. What was in the output folder before stays.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let beginning = Instant::now();
    let before = options.input.as_deref().map(StageTimings::read).transpose()?.unwrap_or_default();
    let pool = read::pool(options.threads())?;
    let wanted = options.archive.as_deref().map(|archive| archives::wanted(archive, options)).transpose()?;
    let staged = StagedDirectory::replacing(&options.output, Dataset::FILE_NAME, |name| PARTS.contains(&name))?;
    let scratch = Scratch::create(staged.path())?;
    let (folders, records, shares) = match wanted {
        Some(wanted) => {
            let shares = Shares::of(options, options.test_archive.is_some())?;
            let (folders, records) = archives::read_all(&wanted, options, &scratch, &pool, console)?;
            say_found(&folders, &folders.place, console);
            (folders, records, shares)
        }
        None => {
            let input = options.input.as_deref().expect("the command line takes one of the two");
            let (folders, places) = pool.install(|| folders::survey(input, options, scratch.folder(), console))?;
            let shares = Shares::of(options, folders.has_test_part)?;
            say_found(&folders, input, console);
            let records = read::read_all(&folders, &places, &scratch, &pool, console)?;
            (folders, records, shares)
        }
    };
    let decoded = pool.install(|| Decoded::of(&folders, &records, &scratch))?;
    drop(records);
    decoded.refuse_too_many_rejects(folders.files.len(), options.max_rejects)?;
    let dataset = pool.install(|| write(&folders, &decoded, shares, &scratch, staged.path(), options, console))?;
    scratch.remove()?;
    before.with(env!("CARGO_PKG_NAME"), beginning).write(staged.path())?;
    staged.commit()?;
    summary::show(&dataset, options, console);
    Ok(())
}

fn say_found(folders: &Folders, place: &Path, console: &Console) {
    let files = counted(folders.files.len() as u64, "file");
    console.say(format!("preprocess: {files} in {} classes under `{}`", folders.classes.len(), place.display()));
}

/// Splits the images, removes what must not stay, and writes the data set to `folder`.
fn write(
    folders: &Folders,
    decoded: &Decoded,
    shares: Shares,
    scratch: &Scratch,
    folder: &Path,
    options: &Options,
    console: &Console,
) -> Result<Dataset, Error> {
    let (mut images, groups) = split::assign(folders, &decoded.images, shares, options.seed, scratch.folder())?;
    let (findings, removed) = duplicates::remove(&mut images, scratch.folder())?;
    let removed_list = shards::write_removed_list(folder, &images, &folders.names, &findings)?;
    let (splits, pixels) = shards::write_splits(folder, &images, folders, decoded, scratch, options, console)?;
    check_splits(&splits, folders, removed, console)?;
    let (mean, standard_deviation) = pixels.mean_and_deviation()?;
    let dataset = Dataset {
        provenance: provenance(folders, decoded, options),
        name: folders.name.clone(),
        classes: folders.classes.clone(),
        height: decoded.height,
        width: decoded.width,
        mean,
        standard_deviation,
        splits,
        fonts: count_fonts(&images, &groups),
        removed,
        removed_list,
        converted: decoded.converted.clone(),
        rejected: decoded.rejected.clone(),
    };
    artifacts::write_json(&folder.join(Dataset::FILE_NAME), &dataset)?;
    Ok(dataset)
}

fn provenance(folders: &Folders, decoded: &Decoded, options: &Options) -> Provenance {
    let mut provenance = Provenance::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
        .with_seed(options.seed)
        .with_argument("name", folders.name.as_str())
        .with_argument("valid_fraction", options.valid_fraction)
        .with_argument("shard_size", options.shard_size)
        .with_input("files", decoded.digest_of_files);
    if !folders.has_test_part {
        provenance = provenance.with_argument("test_fraction", options.test_fraction);
    }
    for (name, &digest) in &folders.source_digests {
        provenance = provenance.with_input(name, digest);
    }
    provenance
}

fn count_fonts(images: &[Assigned], groups: &[Member]) -> Fonts {
    let mut fonts = Fonts { fonts: 0, images: 0, shared_with_test: 0 };
    for font in groups.chunk_by(Member::is_with).filter(|group| group[0].has_font) {
        let kept = || font.iter().map(|member| &images[member.image]).filter(|image| image.kept);
        let in_test = kept().filter(|image| image.split == SplitName::Test).count();
        let all = kept().count();
        fonts.fonts += u64::from(all > 0);
        fonts.images += all as u64;
        fonts.shared_with_test += u64::from((1..all).contains(&in_test));
    }
    fonts
}

fn check_splits(splits: &Splits, folders: &Folders, removed: RemovedCounts, console: &Console) -> Result<(), Error> {
    for name in SplitName::ALL {
        let split = splits.of(name);
        if split.images == 0 {
            return Err(Error::EmptySplit { split: name, removed, has_test_part: folders.has_test_part });
        }
        for (class, _) in folders.classes.iter().zip(&split.images_by_class).filter(|&(_, &count)| count == 0) {
            console.warn(format!("class `{class}` has no image in the {name} split"));
        }
    }
    Ok(())
}
