//! An archive of letters, by name, path or URL, to class folders on disk with a `source.json`; or out of fonts.
//!
//! [`run`] is the recipe. Nothing takes its final place before it is complete and its digest is right, so a run that is
//! killed leaves the old data set or none; what it had downloaded is gone on with.
//!
//! A data set that is there already, with as many files, is left alone if it is what is asked for: known archives by their
//! digest, local ones by their bytes, and those of a URL by the URL, which `origin.json` beside `source.json` records.

mod datasets;
mod done;
mod download;
mod error;
mod location;
mod options;
mod origin;
mod partial;
mod render;
mod request;
mod store;
mod transfer;
mod unpack;

use std::time::Instant;

use archive::{Contents, Input};
use artifacts::{Source, StageTimings};
pub use error::Error;
use files::StagedDirectory;
pub use options::FetchOptions;
pub use render::{RenderOptions, render};
use terminal::{Align, Console, Table};

use crate::datasets::DATASETS;
use crate::origin::Origins;
use crate::request::{Request, WantedArchive};
use crate::store::Store;
use crate::unpack::unpack;

/// What there is in an output folder.
const PARTS: [&str; 5] = ["train", "test", Source::FILE_NAME, Origins::FILE_NAME, StageTimings::FILE_NAME];

/// Fetches what `options` ask for.
///
/// # Errors
/// See [`Error`]. What was in the output folder before stays.
pub fn run(options: &FetchOptions, console: &Console) -> Result<(), Error> {
    let beginning = Instant::now();
    let request = Request::of(options)?;
    if !options.force
        && let Some(source) = done::find(&request, console)?
    {
        console.say(format!("`{}` is already in `{}`", source.name, request.output.display()));
        return Ok(());
    }
    let staged = StagedDirectory::replacing(&request.output, Source::FILE_NAME, |name| PARTS.contains(&name))?;
    let mut store = Store::new(&request.archives);
    let mut archives = Vec::new();
    for wanted in &request.parts {
        archives.push((wanted, store.obtain(wanted, options, console)?));
    }

    let mut source = Source::new(&request.name);
    if let Some(dataset) = options.dataset.as_deref() {
        source.provenance = source.provenance.with_argument("dataset", dataset);
    }
    for (wanted, archive) in archives {
        let contents = match unpack_part(wanted, archive, &staged, options, console) {
            Err(error) if error.is_of_the_archive() => {
                store.distrust(wanted)?;
                return Err(error);
            }
            contents => contents?,
        };
        source = source.with_part(wanted.role, &wanted.file_name, contents.digest, contents.bytes, contents.files);
    }
    artifacts::write_json(&staged.path().join(Source::FILE_NAME), &source)?;
    Origins::wanted(&request).write(staged.path())?;
    StageTimings::default().with(env!("CARGO_PKG_NAME"), beginning).write(staged.path())?;
    staged.commit()?;
    store.finish(options.keep_archive, console)?;
    show(&source, &request, console);
    Ok(())
}

/// Unpacks one archive into the staging folder. The digest of what was read decides.
fn unpack_part(
    wanted: &WantedArchive,
    archive: Input,
    staged: &StagedDirectory,
    options: &FetchOptions,
    console: &Console,
) -> Result<Contents, Error> {
    let name = archive.name();
    let progress = console.progress_bytes(archive.bytes()?).labelled("unpack");
    let contents = unpack(archive, &staged.path().join(wanted.role.directory()), options.limits, &progress)?;
    if let Some(expected) = wanted.digest
        && expected != contents.digest
    {
        return Err(Error::Digest { archive: name, expected, found: contents.digest });
    }
    contents.warn_of_hidden(&name, console);
    Ok(contents)
}

fn show(source: &Source, request: &Request, console: &Console) {
    let mut table = Table::new(&[
        ("part", Align::Left),
        ("archive", Align::Left),
        ("bytes", Align::Right),
        ("files", Align::Right),
    ]);
    for part in &source.parts {
        table.row([part.directory.clone(), part.archive.clone(), part.bytes.to_string(), part.files.to_string()]);
    }
    console.table(&table);
    console.say(format!("wrote `{}` to `{}`", source.name, request.output.display()));
}

/// Lists the known data sets on stdout: a line a part, of name, role, archive, bytes, SHA-256 and mirrors, with tabs
/// between them.
pub fn list(console: &Console) {
    for dataset in DATASETS {
        console.say(format!("{}: {}", dataset.name, dataset.summary));
    }
    for dataset in DATASETS {
        for part in dataset.parts {
            let mirrors = match part.supply {
                datasets::KnownSupply::Mirrors(mirrors) => mirrors.join(" "),
                datasets::KnownSupply::Embedded(_) => "embedded".to_owned(),
            };
            let (name, role, archive) = (dataset.name, part.role.directory(), part.archive);
            console.data(format!("{name}\t{role}\t{archive}\t{}\t{}\t{mirrors}", part.bytes, part.sha256));
        }
    }
}
