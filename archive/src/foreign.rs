/// What a file is that should have been an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// A download that never began, perhaps.
    #[error("it is empty")]
    Empty,
    /// What a server sends instead of a file: a page to log in at, or an error.
    #[error("it is a web page")]
    WebPage,
    /// What a repository holds instead of a large file.
    #[error("it is a pointer of Git LFS")]
    LfsPointer,
    /// A PNG.
    #[error("it is an image")]
    Image,
    /// A packer of files that is not read here.
    #[error("it is a {0} file")]
    Packed(&'static str),
    /// A compression that is not read here.
    #[error("it is compressed with {0}")]
    Compressed(&'static str),
    /// gzip of something else.
    #[error("what is compressed in it is no tar archive")]
    NoTarWithin,
    /// Anything else.
    #[error("it is neither compressed with gzip nor a tar archive")]
    Other,
}

impl Foreign {
    /// What the start of a file tells it to be, where that is no archive of ours.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        Some(match start {
            [] => Self::Empty,
            [b'P', b'K', 3, 4, ..] => Self::Packed("zip"),
            [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Self::Packed("7z"),
            [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => Self::Packed("rar"),
            [b'B', b'Z', b'h', ..] => Self::Compressed("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Compressed("xz"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Compressed("zstd"),
            [0x89, b'P', b'N', b'G', ..] => Self::Image,
            _ if start.starts_with(b"version https://git-lfs") => Self::LfsPointer,
            _ if start.trim_ascii_start().starts_with(b"<") => Self::WebPage,
            _ => return None,
        })
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::WebPage => "the site may want a login: download the archive in a browser",
            Self::LfsPointer => "`git lfs pull` puts the file itself in its place",
            Self::Image => "images in class folders need no archive: `preprocess --input FOLDER`",
            Self::Packed(_) | Self::Compressed(_) => {
                "unpack it; then `preprocess --input FOLDER` reads its class folders, and `tar czf NAME.tar.gz FOLDER` makes \
                 an archive of them"
            }
            Self::Empty | Self::NoTarWithin | Self::Other => return None,
        })
    }
}
