//! What was taken and what was left out: the list beside the archive, and the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use files::{Digest, write_file};
use terminal::{Align, Console, Table};

use super::font::{Font, LeftOut, Unfit};
use super::options::RenderOptions;
use crate::error::Error;

/// Writes `ARCHIVE.fonts.tsv`; returns its path.
pub fn write(archive: &Path, fonts: &[Font], left_out: &[LeftOut]) -> Result<PathBuf, Error> {
    let mut name = OsString::from(archive);
    name.push(".fonts.tsv");
    let path = PathBuf::from(name);
    let taken = fonts.iter().map(|font| (&font.file, "taken".to_owned()));
    let mut rows: Vec<_> =
        taken.chain(left_out.iter().map(|(file, reason)| (file, format!("left out: {reason}")))).collect();
    rows.sort_by(|(one, _), (other, _)| (&one.name, one.digest).cmp(&(&other.name, other.digest)));
    write_file(&path, |writer| {
        writeln!(writer, "font\tsha256\tverdict\tfamily\tlicence as the font states it")?;
        rows.iter().try_for_each(|(file, verdict)| {
            let [name, family] = [&file.name, &file.family].map(|text| text.replace(char::is_control, " "));
            let digest = file.digest.map_or_else(|| "-".to_owned(), |digest| digest.to_string());
            writeln!(writer, "{name}\t{digest}\t{verdict}\t{family}\t{}", file.licence)
        })
    })?;
    Ok(path)
}

/// The summary on the console.
pub fn show(
    options: &RenderOptions,
    fonts: &[Font],
    left_out: &[LeftOut],
    digest: Digest,
    list: &Path,
    console: &Console,
) {
    let families: BTreeSet<_> = fonts.iter().map(|font| &font.file.family).collect();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, reason) in left_out {
        *reasons.entry(heading(reason)).or_default() += 1;
    }
    let mut table = Table::new(&[("fonts", Align::Left), ("files", Align::Right)]);
    table.row(["taken".to_owned(), fonts.len().to_string()]);
    for (reason, count) in reasons {
        table.row([format!("left out: {reason}"), count.to_string()]);
    }
    console.table(&table);
    console.say(format!(
        "wrote {} glyphs of {} fonts ({} families) to `{}`, SHA-256 {digest}; which fonts and why: `{}`",
        fonts.len() * options.classes.0.len(),
        fonts.len(),
        families.len(),
        options.output.display(),
        list.display()
    ));
}

fn heading(reason: &Unfit) -> &'static str {
    match reason {
        Unfit::Refused(_) => "not readable",
        Unfit::Unreadable(_) => "not readable as a font",
        Unfit::Name | Unfit::SameName => "file name not UTF-8, or taken",
        Unfit::NotUnicode | Unfit::Symbols { .. } => "symbols or another script",
        Unfit::Lacks(_) => "a letter missing",
        Unfit::SameLetters(..) => "letters that look the same",
        Unfit::SameFile(_) => "the same file twice",
        Unfit::SameGlyphs(_) => "the same glyphs as another",
        Unfit::Family(_) => "enough of the family",
    }
}
