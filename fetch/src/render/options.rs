use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// What `fetch render` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct RenderOptions {
    /// Folders to look for .ttf and .otf files in, at any depth
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    pub fonts: Vec<PathBuf>,

    /// The archive to write: a .tar.gz. The list of fonts is written beside it, as FILE.fonts.tsv
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,

    /// The letters, one class each: single ones and ranges, as in `A-J` or `A-Za-z0-9`
    #[arg(long, value_name = "LETTERS", default_value = "A-J")]
    pub classes: Letters,

    /// Width and height of an image in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 28, value_parser = clap::value_parser!(u16).range(4..=256))]
    pub size: u16,

    /// Most fonts of one family, so that none dominates [default: all]
    #[arg(long, value_name = "FONTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_per_family: Option<u32>,

    /// Keep fonts whose letters look like symbols or another script: unlike the other fonts' or, with fewer than 20 fonts,
    /// unlike the sample's
    #[arg(long)]
    pub keep_symbols: bool,
}

impl RenderOptions {
    /// The archive's leading folder: its name without the extensions.
    pub(super) fn archive_root(&self) -> Result<String, Error> {
        let name = self.output.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match archive::stem(name) {
            Some(stem) if !name.ends_with(".tar") => Ok(stem.to_owned()),
            _ => Err(Error::ArchiveName { path: self.output.clone() }),
        }
    }
}

/// Letters to draw, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub struct Letters(pub(super) Vec<char>);

impl FromStr for Letters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut letters = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(first) = rest.next() {
            let last = if rest.next_if_eq(&'-').is_some() {
                rest.next().ok_or_else(|| format!("`{text}` ends in the middle of a range"))?
            } else {
                first
            };
            if first > last {
                return Err(format!("the range `{first}-{last}` runs backwards"));
            }
            letters.extend(first..=last);
        }
        letters.sort_unstable();
        letters.dedup();
        if let Some(letter) = letters.iter().find(|letter| !letter.is_alphanumeric()) {
            return Err(format!("`{}` is neither a letter nor a digit", letter.escape_default()));
        }
        if !(2..=256).contains(&letters.len()) {
            return Err(format!("{} letters; a classifier needs 2 to 256", letters.len()));
        }
        Ok(Self(letters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_single_ones_and_ranges() {
        assert_eq!("A-J".parse(), Ok(Letters(('A'..='J').collect())));
        assert_eq!("b0-2aB".parse(), Ok(Letters(vec!['0', '1', '2', 'B', 'a', 'b'])));
        for (text, reason) in [
            ("", "0 letters"),
            ("A", "1 letters"),
            ("A-", "ends in the middle of a range"),
            ("J-A", "runs backwards"),
            ("A/", "`/` is neither"),
            ("A-Z.", "`.` is neither"),
        ] {
            let error = text.parse::<Letters>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
