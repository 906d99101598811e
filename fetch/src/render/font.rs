//! Font files: finding them, reading them, drawing their letters.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use files::Digest;
use ttf_parser::{Face, name_id};
use walkdir::WalkDir;

use super::glyph;
use crate::error::Error;

/// Characters: some fonts carry the whole text of their licence, whose first words name it.
const MOST_OF_A_LICENCE: usize = 100;

/// A font whose letters were drawn.
#[derive(Debug)]
pub struct Font {
    /// What is known of its file.
    pub file: FontFile,
    /// `[size, size]` each, in the order of the classes.
    pub glyphs: Vec<Vec<u8>>,
}

/// A font file.
#[derive(Debug, Clone)]
pub struct FontFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its file name, which becomes the glyphs'.
    pub name: String,
    /// Of its bytes; none where they cannot be read.
    pub digest: Option<Digest>,
    /// The family that it says it belongs to; its file name where it says none.
    pub family: String,
    /// The start of what it says about its licence.
    pub licence: String,
}

/// A font that was left out, and why.
pub type LeftOut = (FontFile, Unfit);

/// Why a font is left out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Refused(String),
    /// Not a font, or a broken one.
    #[error("cannot be read as a font: {0}")]
    Unreadable(String),
    /// Its name cannot be written.
    #[error("its file name is not UTF-8")]
    Name,
    /// A symbol font, or one without a character map.
    #[error("its character map is not Unicode: a symbol font")]
    NotUnicode,
    /// At least one letter is missing.
    #[error("has no `{0}`")]
    Lacks(char),
    /// Boxes, dots or the like in the letters' places.
    #[error("`{0}` and `{1}` look the same")]
    SameLetters(char, char),
    /// The bytes of a font that was taken.
    #[error("the same file as `{0}`")]
    SameFile(String),
    /// The name of a font that was taken.
    #[error("a font of that name was taken")]
    SameName,
    /// The glyphs of a font that was taken.
    #[error("draws the same letters as `{0}`")]
    SameGlyphs(String),
    /// Pictures or another script in the letters' places.
    #[error("only {like} of its {of} letters look like letters: symbols or another script")]
    Symbols {
        /// How many letters are nearer to their own mean than to another's.
        like: usize,
        /// How many there are.
        of: usize,
    },
    /// `--max-per-family`.
    #[error("{0} fonts of its family were taken")]
    Family(usize),
}

/// The font files under `folders` with their digests, sorted by file name and then by digest: where they lie does not
/// matter. Those that cannot be read are left out.
pub fn find(folders: &[PathBuf], left_out: &mut Vec<LeftOut>) -> Result<Vec<(FontFile, Digest)>, Error> {
    let mut files = Vec::new();
    for folder in folders {
        for entry in WalkDir::new(folder) {
            let entry = entry.map_err(|error| unreadable_folder(error, folder))?;
            // Links to files are followed; links to folders are not, since they may run in circles.
            if !has_font_extension(entry.path()) || entry.path().is_dir() {
                continue;
            }
            let mut file = FontFile::at(entry.path());
            match read(&file.path) {
                Ok(bytes) => {
                    let digest = Digest::of(&bytes);
                    file.digest = Some(digest);
                    files.push((file, digest));
                }
                Err(reason) => left_out.push((file, reason)),
            }
        }
    }
    files.sort_by(|(one, _), (other, _)| (&one.name, one.digest).cmp(&(&other.name, other.digest)));
    Ok(files)
}

/// walkdir's error names the path and the cause, and so does ours: the system's own error alone goes into it.
fn unreadable_folder(error: walkdir::Error, folder: &Path) -> Error {
    let path = error.path().unwrap_or(folder).to_owned();
    let source = error.into_io_error().unwrap_or_else(|| io::Error::other("its links run in circles"));
    files::Error::Io { action: "read the folder", path, source }.into()
}

fn has_font_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ["ttf", "otf"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// A regular file's bytes: a pipe would be waited for.
fn read(path: &Path) -> Result<Vec<u8>, Unfit> {
    let refused = |error: io::Error| Unfit::Refused(error.to_string());
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(Unfit::Refused("it is no regular file".to_owned()));
    }
    fs::read(path).map_err(refused)
}

impl FontFile {
    fn at(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path: path.to_owned(), family: name.clone(), name, digest: None, licence: String::new() }
    }
}

/// Draws a font's letters, and fills in what the font says about itself.
pub fn draw(file: &mut FontFile, letters: &[char], size: usize) -> Result<Vec<Vec<u8>>, Unfit> {
    if file.path.file_name().and_then(OsStr::to_str).is_none() {
        return Err(Unfit::Name);
    }
    // Read anew, so that the fonts are not all in memory at once.
    let bytes = read(&file.path)?;
    let face = Face::parse(&bytes, 0).map_err(|error| Unfit::Unreadable(error.to_string()))?;
    if let Some(family) = text(&face, &[name_id::TYPOGRAPHIC_FAMILY, name_id::FAMILY]) {
        file.family = family;
    }
    let licence = text(&face, &[name_id::LICENSE, name_id::LICENSE_URL]).unwrap_or_default();
    file.licence = licence.chars().take(MOST_OF_A_LICENCE).collect();

    let mut subtables = face.tables().cmap.into_iter().flat_map(|cmap| cmap.subtables);
    if !subtables.any(|subtable| subtable.is_unicode()) {
        return Err(Unfit::NotUnicode);
    }
    let glyphs: Vec<_> = letters
        .iter()
        .map(|&letter| glyph::draw(&face, letter, size).ok_or(Unfit::Lacks(letter)))
        .collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    for (glyph, &letter) in glyphs.iter().zip(letters) {
        if !seen.insert(glyph) {
            let twin = glyphs.iter().position(|other| other == glyph).expect("it was seen");
            return Err(Unfit::SameLetters(letters[twin], letter));
        }
    }
    Ok(glyphs)
}

/// The first of the names `ids` that the font gives in English or, failing that, in any language; on one line.
fn text(face: &Face<'_>, ids: &[u16]) -> Option<String> {
    let find = |id: u16, any_language: bool| {
        face.names()
            .into_iter()
            .filter(|name| name.name_id == id && (any_language || name.language().primary_language() == "English"))
            .find_map(|name| name.to_string())
    };
    let found = ids.iter().find_map(|&id| find(id, false).or_else(|| find(id, true)))?;
    let words: Vec<_> = found.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}
