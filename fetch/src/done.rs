//! Whether the data set is there already.

use artifacts::{Part, Source, read_json};
use files::{IoContext as _, sha256_file};
use terminal::{Console, counted};

use crate::error::Error;
use crate::location::Location;
use crate::origin::Origins;
use crate::request::{Request, WantedArchive};

/// What is there, if it is what `request` asks for, and no file of it is gone. A local archive is digested and compared, so a
/// changed one is unpacked anew; of a URL whose archive's digest is not known, where the recorded archive came from is
/// compared.
pub fn find(request: &Request, console: &Console) -> Result<Option<Source>, Error> {
    let path = request.output.join(Source::FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let source = match read_json::<Source>(&path) {
        Ok((source, _)) => source,
        Err(error) => {
            console.warn(format!("{error}; fetching anew"));
            return Ok(None);
        }
    };
    if source.name != request.name || source.parts.len() != request.parts.len() {
        return Ok(None);
    }
    let origins = Origins::read(&request.output, console);
    for (part, wanted) in source.parts.iter().zip(&request.parts) {
        let folder = request.output.join(&part.directory);
        if !folder.is_dir() || !is_same(part, &source, &origins, wanted)? {
            return Ok(None);
        }
        let found = archive::count_files(&folder).context("read the folder", &folder)?;
        if found < part.files {
            let (folder, archive) = (folder.display(), &part.archive);
            let found = counted(found, "file");
            console.warn(format!("`{folder}` has {found} where `{archive}` had {}: unpacking anew", part.files));
            return Ok(None);
        }
    }
    Ok(Some(source))
}

fn is_same(part: &Part, source: &Source, origins: &Origins, wanted: &WantedArchive) -> Result<bool, Error> {
    let Some(&recorded) = source.provenance.inputs.get(&part.archive) else { return Ok(false) };
    let as_expected = part.role == wanted.role
        && part.archive == wanted.file_name
        && wanted.bytes.is_none_or(|bytes| bytes == part.bytes)
        && wanted.digest.is_none_or(|digest| digest == recorded);
    match &wanted.own {
        Some(own) if as_expected && wanted.digest.is_none() => match own {
            Location::File(archive) => Ok(archive.is_file() && sha256_file(archive)? == recorded),
            Location::Url(_) => Ok(origins.urls.get(&part.archive) == wanted.url().as_ref()),
        },
        _ => Ok(as_expected),
    }
}
