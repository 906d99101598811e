use std::fs;
use std::io;
use std::path::Path;

use files::{Digest, HashingWriter, IoContext as _, write_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A JSON artifact with a kind and a schema version.
pub trait Document: Serialize + DeserializeOwned {
    /// What the file is, as its `kind` field says: also its usual file name.
    const KIND: &'static str;
    /// The form of the file; raised when a reader of the old form would be misled.
    const SCHEMA_VERSION: u32;

    /// Says what contradicts itself in it, or cannot be.
    ///
    /// # Errors
    /// Where there is such a thing.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The digest of the file that [`write_json`] would write.
    fn digest_of_file(&self) -> Digest {
        let mut writer = HashingWriter::new(io::sink());
        write_document(&mut writer, self).expect("a sink takes everything, and a document is JSON");
        writer.finish()
    }
}

/// The document's first two fields, then its own.
#[derive(Serialize)]
struct Envelope<'a, T> {
    kind: &'static str,
    schema_version: u32,
    #[serde(flatten)]
    document: &'a T,
}

#[derive(Deserialize)]
struct Header {
    kind: String,
    schema_version: u64,
}

/// Writes a document, indented and with a final line feed; returns the digest of the file.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json<T: Document>(path: &Path, document: &T) -> files::Result<Digest> {
    write_file(path, |writer| write_document(writer, document))
}

fn write_document<T: Document>(mut writer: impl io::Write, document: &T) -> io::Result<()> {
    let envelope = Envelope { kind: T::KIND, schema_version: T::SCHEMA_VERSION, document };
    serde_json::to_writer_pretty(&mut writer, &envelope).map_err(io::Error::from)?;
    writer.write_all(b"\n")
}

/// The values of a file of JSON lines, `kind` by name, whose text is `text`.
pub(crate) fn parse_lines<T: DeserializeOwned>(path: &Path, kind: &'static str, text: &str) -> Result<Vec<T>> {
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| {
                let reason = format!("line {}: {error}", index + 1);
                Error::Malformed { path: path.to_owned(), kind, reason }
            })
        })
        .collect()
}

/// Reads a document, and the digest of its file.
///
/// # Errors
/// When the file cannot be read, is not JSON, is of another kind or schema version, lacks a field, or contradicts itself.
pub fn read_json<T: Document>(path: &Path) -> Result<(T, Digest)> {
    let bytes = fs::read(path).context("read", path)?;
    Ok((parse_json(&bytes, path)?, Digest::of(&bytes)))
}

/// The document in `bytes`, which are those of the file `path`.
///
/// # Errors
/// As [`read_json`].
pub(crate) fn parse_json<T: Document>(bytes: &[u8], path: &Path) -> Result<T> {
    let malformed = |reason: String| Error::Malformed { path: path.to_owned(), kind: T::KIND, reason };
    let header: Header = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    if header.kind != T::KIND {
        return Err(Error::Kind { path: path.to_owned(), found: header.kind, expected: T::KIND });
    }
    if header.schema_version != u64::from(T::SCHEMA_VERSION) {
        let (found, expected) = (header.schema_version, T::SCHEMA_VERSION);
        return Err(Error::SchemaVersion { path: path.to_owned(), found, expected });
    }
    let document: T = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    document.check().map_err(malformed)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Example {
        value: f64,
    }

    impl Document for Example {
        const KIND: &'static str = "example.json";
        const SCHEMA_VERSION: u32 = 3;
    }

    #[test]
    fn a_document_comes_back_as_it_was_with_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.json");
        let written = write_json(&path, &Example { value: 0.1 + 0.2 }).unwrap();
        assert_eq!(Example { value: 0.1 + 0.2 }.digest_of_file(), written);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\n  \"kind\": \"example.json\",\n  \"schema_version\": 3,\n  \"value\": 0.30000000000000004\n}\n"
        );
        assert_eq!(read_json::<Example>(&path).unwrap(), (Example { value: 0.1 + 0.2 }, written));
    }

    #[test]
    fn each_way_of_being_wrong_has_a_message_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.json");
        let cases = [
            ("{", "EOF while parsing"),
            (r#"{"kind": "dataset.json", "schema_version": 3, "value": 1}"#, "is a dataset.json, not a example.json"),
            (r#"{"kind": "example.json", "schema_version": 4, "value": 1}"#, "has schema version 4, but this build"),
            (r#"{"kind": "example.json", "schema_version": 3}"#, "missing field `value`"),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let message = read_json::<Example>(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let missing = read_json::<Example>(&folder.path().join("absent")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read"), "{missing}");
    }
}
