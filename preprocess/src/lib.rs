//! Class folders of PNG images, or an archive of them, to `.npy` shards and a `dataset.json`.
//!
//! The same files, arguments and version give the same bytes, whatever the order of the files on disk and the number of
//! threads. Nothing but names and digests is kept in memory: the pixels go to a scratch file beside the shards.

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

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use artifacts::{Dataset, Fonts, Provenance, SplitName, Splits, StageTimings, StagedDirectory};
pub use error::Error;
pub use options::Options;
use terminal::Console;

use crate::decode::{Decoded, Scratch};
use crate::folders::Folders;

/// Preprocesses the folder or the archive of `options` to `options.output`.
///
/// # Errors
/// See [`Error`]. What was in the output folder before stays.
pub fn run(options: &Options, console: &Console) -> Result<(), Error> {
    let beginning = Instant::now();
    let before = options.input.as_deref().map(StageTimings::read).transpose()?.unwrap_or_default();
    let pool = read::pool(options.threads.map_or(0, usize::from))?;
    let wanted = options.archive.as_deref().map(|archive| archives::wanted(archive, options)).transpose()?;
    let staged = StagedDirectory::replacing(&options.output, Dataset::FILE_NAME)?;
    let scratch = Scratch::create(staged.path())?;
    let (folders, records) = match wanted {
        Some(wanted) => {
            let (folders, records) = archives::read_all(&wanted, options, &scratch, &pool, console)?;
            say_found(&folders, &folders.place, console);
            (folders, records)
        }
        None => {
            let input = options.input.as_deref().expect("the command line takes one of the two");
            let (folders, places) = folders::survey(input, options)?;
            say_found(&folders, input, console);
            let records = read::read_all(&places, &scratch, &pool, console)?;
            (folders, records)
        }
    };
    let decoded = Decoded::of(&folders, records)?;
    decoded.refuse_too_many_rejects(folders.files.len(), options.max_rejects)?;
    let dataset = pool.install(|| write(&folders, &decoded, &scratch, staged.path(), options, console))?;
    scratch.remove()?;
    before.with(env!("CARGO_PKG_NAME"), beginning).write(staged.path())?;
    staged.commit()?;
    summary::show(&dataset, options, console);
    Ok(())
}

fn say_found(folders: &Folders, place: &Path, console: &Console) {
    let (files, classes) = (folders.files.len(), folders.classes.len());
    console.say(format!("preprocess: {files} files in {classes} classes under `{}`", place.display()));
}

/// Splits the images, removes what must not stay, and writes the data set to `folder`.
fn write(
    folders: &Folders,
    decoded: &Decoded,
    scratch: &Scratch,
    folder: &Path,
    options: &Options,
    console: &Console,
) -> Result<Dataset, Error> {
    let mut images = split::assign(folders, &decoded.images, options)?;
    let (removed, removed_counts) = duplicates::remove(&mut images);
    let removed_list = shards::write_removed_list(folder, &removed)?;
    let (splits, pixels) = shards::write_splits(folder, &images, folders, decoded, scratch, options, console)?;
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
        fonts: count_fonts(&images),
        removed: removed_counts,
        removed_list,
        converted: decoded.converted.clone(),
        rejected: decoded.rejected.clone(),
    };
    check_splits(&dataset.splits, &dataset.classes, console)?;
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

fn count_fonts(images: &[split::Assigned<'_>]) -> Fonts {
    let mut splits_by_font: BTreeMap<&str, BTreeSet<SplitName>> = BTreeMap::new();
    let mut named = 0;
    for image in images.iter().filter(|image| image.kept) {
        if let Some(font) = image.font.as_deref() {
            splits_by_font.entry(font).or_default().insert(image.split);
            named += 1;
        }
    }
    let shared = splits_by_font.values().filter(|splits| splits.len() > 1 && splits.contains(&SplitName::Test));
    Fonts { fonts: splits_by_font.len() as u64, images: named, shared_with_test: shared.count() as u64 }
}

fn check_splits(splits: &Splits, classes: &[String], console: &Console) -> Result<(), Error> {
    for (name, split) in
        [(SplitName::Train, &splits.train), (SplitName::Valid, &splits.valid), (SplitName::Test, &splits.test)]
    {
        if split.images == 0 {
            return Err(Error::EmptySplit { split: name });
        }
        for (class, _) in classes.iter().zip(&split.images_by_class).filter(|&(_, &count)| count == 0) {
            console.warn(format!("class `{class}` has no image in the {name} split"));
        }
    }
    Ok(())
}
