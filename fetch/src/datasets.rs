//! The data sets that are known by name.

use artifacts::Role;

/// A data set with a name.
#[derive(Debug)]
pub struct KnownDataset {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Its archives.
    pub parts: &'static [KnownPart],
}

/// An archive of a [`KnownDataset`].
#[derive(Debug)]
pub struct KnownPart {
    /// What its images are for.
    pub role: Role,
    /// The file's name, at every mirror.
    pub archive: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, as `sha256sum` prints it.
    pub sha256: &'static str,
    /// Where it is to be had.
    pub supply: KnownSupply,
}

/// Where a known archive is to be had.
#[derive(Debug)]
pub enum KnownSupply {
    /// At any of these, best first: URLs to which `/` and the file's name are added.
    Mirrors(&'static [&'static str]),
    /// In this program.
    Embedded(&'static [u8]),
}

/// All of them.
pub static DATASETS: &[KnownDataset] = &[
    KnownDataset {
        name: "sample",
        summary: "glyphs A to J of free fonts in notMNIST's layout; comes with this program",
        parts: &[KnownPart {
            role: Role::Train,
            archive: "notMNIST_sample.tar.gz",
            bytes: include_bytes!("../sample/notMNIST_sample.tar.gz").len() as u64,
            sha256: include_str!("../sample/notMNIST_sample.sha256").trim_ascii(),
            supply: KnownSupply::Embedded(include_bytes!("../sample/notMNIST_sample.tar.gz")),
        }],
    },
    KnownDataset {
        name: "notmnist",
        summary: "notMNIST_large to train on, the hand-cleaned notMNIST_small to test on",
        parts: &[LARGE, KnownPart { role: Role::Test, ..SMALL }],
    },
    KnownDataset { name: "notmnist-small", summary: "notMNIST_small alone", parts: &[SMALL] },
];

const MIRRORS: KnownSupply = KnownSupply::Mirrors(&[
    "https://commondatastorage.googleapis.com/books1000",
    "http://yaroslavvb.com/upload/notMNIST",
]);

const LARGE: KnownPart = KnownPart {
    role: Role::Train,
    archive: "notMNIST_large.tar.gz",
    bytes: 247_336_696,
    sha256: "1e8261b75484b520dc76027f5c22af50fe608e3bb16277caec086eb928f9b61c",
    supply: MIRRORS,
};

const SMALL: KnownPart = KnownPart {
    role: Role::Train,
    archive: "notMNIST_small.tar.gz",
    bytes: 8_458_043,
    sha256: "76b2ef7ccc56452964780569db37b279c9cbe1bf442c3b38be784752683b3cec",
    supply: MIRRORS,
};

/// The data set of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownDataset> {
    DATASETS.iter().find(|dataset| dataset.name == name)
}

#[cfg(test)]
mod tests {
    use files::Digest;

    use super::*;

    #[test]
    fn every_known_digest_is_one_and_every_embedded_archive_has_its_own() {
        for part in DATASETS.iter().flat_map(|dataset| dataset.parts) {
            let digest: Digest = part.sha256.parse().unwrap();
            if let KnownSupply::Embedded(bytes) = part.supply {
                assert_eq!(Digest::of(bytes), digest, "{}", part.archive);
            }
        }
    }
}
