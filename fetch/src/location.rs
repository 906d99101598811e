//! Where an archive lies: a path or a URL, as a person writes it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::Error;

/// A path or URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of this machine, also from a `file:` URL.
    File(PathBuf),
    /// An `http:` or `https:` URL.
    Url(String),
}

impl Location {
    /// The last part of it, without a URL's query.
    ///
    /// # Errors
    /// When there is none, as in `https://host/`.
    pub fn file_name(&self) -> Result<String, Error> {
        let name = match self {
            Self::File(path) => path.file_name().and_then(|name| name.to_str()),
            Self::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let path = path.split_once("://").map_or("", |(_, rest)| rest);
                path.split_once('/').and_then(|(_, path)| path.rsplit('/').next())
            }
        };
        Ok(archive::check_file_name(name, self)?)
    }

    /// The URL, if it is one, without the user and the password that it may hold.
    #[must_use]
    pub fn public_url(&self) -> Option<String> {
        match self {
            Self::File(_) => None,
            Self::Url(url) => Some(public(url)),
        }
    }

    /// The file `name` in this folder.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::File(folder) => Self::File(folder.join(name)),
            Self::Url(url) => Self::Url(format!("{}/{name}", url.trim_end_matches('/'))),
        }
    }
}

/// A URL without the user and the password that it may hold: what is shown and recorded of it.
pub fn public(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host..])
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => public(url).fmt(f),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        // With a slash before the colon it is a path.
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
            !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        match scheme.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(Self::File(PathBuf::from(text))),
            Some("http" | "https") => Ok(Self::Url(text.to_owned())),
            Some("file") => Ok(Self::File(path_of_file_url(&text["file:".len()..]))),
            // A file whose name has a colon in it.
            Some(_) if Path::new(text).exists() => Ok(Self::File(PathBuf::from(text))),
            Some(scheme) => Err(Error::Scheme { location: public(text), scheme: scheme.to_owned() }),
        }
    }
}

/// The path of `file:` URLs as people write them (RFC 8089): `file:/a`, `file:///a`, `file://localhost/a`, `file:a`.
fn path_of_file_url(rest: &str) -> PathBuf {
    let path = match rest.strip_prefix("//") {
        Some(authority) => authority.strip_prefix("localhost").unwrap_or(authority),
        None => rest,
    };
    PathBuf::from(percent_decoded(path))
}

/// With each `%41` as the byte that it stands for; what decodes to no text stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |place: usize| char::from(*tail.get(place)?).to_digit(16);
        if let (b'%', Some(high), Some(low)) = (*first, digit(0), digit(1)) {
            bytes.push((high << 4 | low) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_file_urls_and_web_urls_are_told_apart() {
        for (text, expected) in [
            ("a/b.tar.gz", "a/b.tar.gz"),
            ("/a/b.tar.gz", "/a/b.tar.gz"),
            ("file:/a/b.tar.gz", "/a/b.tar.gz"),
            ("file:///a/b%20c%2.tar", "/a/b c%2.tar"),
            ("file://localhost/a/b.tar", "/a/b.tar"),
            ("FILE:b.tar", "b.tar"),
            ("./a:b.tar", "./a:b.tar"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap(), Location::File(expected.into()), "{text}");
        }
        let url = "HTTPS://host/a.tgz?x=1";
        assert_eq!(url.parse::<Location>().unwrap(), Location::Url(url.into()));
        assert!("ftp://host/a.tgz".parse::<Location>().unwrap_err().to_string().contains("scheme `ftp`"));
    }

    #[test]
    fn a_url_is_recorded_without_user_and_password() {
        for (text, expected) in [
            ("https://host/a.tgz?x=1", Some("https://host/a.tgz?x=1")),
            ("https://me:secret@host:8/a@b.tgz", Some("https://host:8/a@b.tgz")),
            ("http://me@host", Some("http://host")),
            ("/a/b.tgz", None),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.public_url().as_deref(), expected, "{text}");
            assert_eq!(location.to_string(), expected.unwrap_or(text), "a password is not shown");
        }
    }

    #[test]
    fn the_file_s_name_is_the_last_part_without_the_query() {
        let name = |text: &str| text.parse::<Location>().unwrap().file_name();
        assert_eq!(name("https://host:8/a/b.tar.gz?x=1/2#c").unwrap(), "b.tar.gz");
        assert_eq!(name("a/b.tar").unwrap(), "b.tar");
        for text in ["https://host", "https://host/", "https://host/a/", "https://host/..", "/", ".."] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
