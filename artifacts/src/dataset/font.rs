//! Which font a glyph was drawn from: its file's name says so.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
/// `/` cannot stand in a file name: where an encoding has one, the URL-safe alphabet (RFC 4648, section 5) is used.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

const EXTENSIONS: [&str; 10] = ["ttf", "otf", "ttc", "otc", "pfb", "pfa", "pfm", "fon", "dfont", "woff"];

/// The font's file name that a glyph's file name encodes, as notMNIST's do: `train/A/Um9tYW5hIEJvbGQucGZi.png` is of
/// `Romana Bold.pfb`. `None` where the name encodes none.
#[must_use]
pub fn font_of(file: &str) -> Option<String> {
    let name = file.rsplit('/').next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let bytes = STANDARD.decode(stem).or_else(|_| URL_SAFE.decode(stem)).ok()?;
    let font = String::from_utf8(bytes).ok()?;
    let (_, extension) = font.rsplit_once('.')?;
    let is_font = EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
    (is_font && !font.chars().any(char::is_control)).then_some(font)
}

/// The name of a glyph's file: base64 of the font's file name with `.png`, as notMNIST has it; [`font_of`] reads it.
#[must_use]
pub fn glyph_name(font: &str) -> String {
    let usual = STANDARD.encode(font);
    let encoded = if usual.contains('/') { URL_SAFE.encode(font) } else { usual };
    format!("{encoded}.png")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notmnist_s_names_tell_their_font() {
        assert_eq!(font_of("Um9tYW5hIEJvbGQucGZi").as_deref(), Some("Romana Bold.pfb"));
        assert_eq!(font_of("Q2hlcnViaW0udHRm").as_deref(), Some("Cherubim.ttf"));
        assert_eq!(font_of("MDEtMDEtMDAudHRm").as_deref(), Some("01-01-00.ttf"));
        assert_eq!(font_of("QS5PVEY=").as_deref(), Some("A.OTF"));
        assert_eq!(font_of("QS5PVEY").as_deref(), Some("A.OTF"));
        assert_eq!(font_of("test/A/QS5PVEY=.png").as_deref(), Some("A.OTF"));
    }

    #[test]
    fn a_glyph_is_named_as_notmnist_s_are() {
        // notMNIST's own, and `printf %s NAME | base64`.
        for (font, name) in [("Romana Bold.pfb", "Um9tYW5hIEJvbGQucGZi.png"), ("Élan?.ttf", "w4lsYW4_LnR0Zg==.png")] {
            assert_eq!(glyph_name(font), name);
            assert_eq!(font_of(name).as_deref(), Some(font));
        }
    }

    #[test]
    fn other_names_tell_none() {
        for stem in ["", "00010-b2cdc1906ce1", "img001-00001", "QUJD", "LnR0Zg", "/////w=="] {
            let expected = (stem == "LnR0Zg").then(|| ".ttf".to_owned());
            assert_eq!(font_of(stem), expected, "{stem}");
        }
    }
}
