//! What the arguments ask for: a name, and one archive a part.

use std::path::{Path, PathBuf};

use artifacts::Role;
use files::Digest;

use crate::datasets::{self, KnownPart, KnownSupply};
use crate::error::Error;
use crate::location::Location;
use crate::options::FetchOptions;

/// What to fetch, and where to.
#[derive(Debug)]
pub struct Request {
    /// The data set's name.
    pub name: String,
    /// Its archives.
    pub parts: Vec<WantedArchive>,
    /// The folder to write.
    pub output: PathBuf,
    /// The folder for downloads and kept archives.
    pub archives: PathBuf,
}

/// An archive, and what is known of it.
#[derive(Debug)]
pub struct WantedArchive {
    /// What its images are for.
    pub role: Role,
    /// Its file name.
    pub file_name: String,
    /// Its size in bytes, where it is known.
    pub bytes: Option<u64>,
    /// Its digest, where it is known.
    pub digest: Option<Digest>,
    /// Where it is to be had.
    pub supply: Supply,
    /// Where the person who asks for it says that it is; none for an archive of a known data set.
    pub own: Option<Location>,
}

/// Where an archive is to be had.
#[derive(Debug)]
pub enum Supply {
    /// From any of these, the first one first.
    Mirrors(Vec<Location>),
    /// From this program.
    Embedded(&'static [u8]),
}

impl Request {
    /// What `options` ask for.
    pub fn of(options: &FetchOptions) -> Result<Self, Error> {
        let mirrors = options.mirror.iter().map(|text| text.parse()).collect::<Result<Vec<Location>, _>>()?;
        let mut name = String::new();
        let mut parts = Vec::new();
        if let Some(dataset) = options.dataset.as_deref() {
            dataset.clone_into(&mut name);
            let known = datasets::find(dataset).expect("the command line takes known names alone");
            parts.extend(known.parts.iter().map(|part| WantedArchive::known(part, &mirrors)));
        }
        let own =
            [(Role::Train, &options.archive, options.sha256), (Role::Test, &options.test_archive, options.test_sha256)];
        for (role, archive, digest) in own {
            if let Some(text) = archive {
                parts.push(WantedArchive::own(role, text, digest, &mirrors)?);
            }
        }
        if let [train, test] = &parts[..] {
            archive::check_different(&train.file_name, &test.file_name)?;
        }
        if options.archive.is_some() {
            let file_name = &parts[0].file_name;
            name = options.name.clone().unwrap_or_else(|| archive::stem(file_name).unwrap_or(file_name).to_owned());
        }
        let output = options.output.clone().unwrap_or_else(|| Path::new("data").join(&name).join("raw"));
        let archives = options.archives.clone().unwrap_or_else(|| output.with_file_name("archives"));
        // Before anything is downloaded: what lies in the output goes when that is replaced.
        if parts.iter().any(|part| part.may_be_stored(options.keep_archive))
            && let (Ok(inner), Ok(outer)) = (files::resolved(&archives), files::resolved(&output))
            && inner.starts_with(outer)
        {
            return Err(Error::ArchivesInOutput { archives, output });
        }
        Ok(Self { name, parts, output, archives })
    }
}

impl WantedArchive {
    /// Whether `url` is one of the places where it is to be had.
    pub fn is_at(&self, url: &str) -> bool {
        matches!(&self.supply, Supply::Mirrors(locations) if locations.iter().any(|location| location.to_string() == url))
    }

    /// The URL that a person gave for it.
    pub fn url(&self) -> Option<String> {
        self.own.as_ref().and_then(Location::public_url)
    }

    /// Whether it may come into the folder for archives.
    fn may_be_stored(&self, is_kept: bool) -> bool {
        match &self.supply {
            Supply::Embedded(_) => is_kept,
            Supply::Mirrors(_) => self.lone_file().is_none(),
        }
    }

    /// The file that it is, where it is to be had from nowhere else.
    pub fn lone_file(&self) -> Option<&Path> {
        match &self.supply {
            Supply::Mirrors(locations) if let [Location::File(path)] = &locations[..] => Some(path),
            _ => None,
        }
    }

    fn known(part: &KnownPart, mirrors: &[Location]) -> Self {
        let supply = match part.supply {
            KnownSupply::Embedded(bytes) => Supply::Embedded(bytes),
            KnownSupply::Mirrors(known) => {
                let known = known.iter().map(|&url| Location::Url(url.to_owned()));
                Supply::Mirrors(mirrors.iter().cloned().chain(known).map(|folder| folder.join(part.archive)).collect())
            }
        };
        let digest = part.sha256.parse().expect("a test parses all known digests");
        let file_name = part.archive.to_owned();
        Self { role: part.role, file_name, bytes: Some(part.bytes), digest: Some(digest), supply, own: None }
    }

    fn own(role: Role, text: &str, digest: Option<Digest>, mirrors: &[Location]) -> Result<Self, Error> {
        let location: Location = text.parse()?;
        let file_name = location.file_name()?;
        let locations = mirrors.iter().map(|folder| folder.join(&file_name)).chain([location.clone()]).collect();
        let supply = Supply::Mirrors(locations);
        Ok(Self { role, file_name, bytes: None, digest, supply, own: Some(location) })
    }
}
