use files::Digest;
use serde::{Deserialize, Serialize};

use super::directory::RunDirectory;
use crate::document::Document;
use crate::provenance::Provenance;

/// `export.json`: the account of an export. It is written after the model that it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExportRecord {
    /// How the model was exported; the checkpoint stands among the inputs.
    pub provenance: Provenance,
    /// SHA-256 of `model.onnx`.
    pub model: Digest,
}

impl Document for ExportRecord {
    const KIND: &'static str = RunDirectory::EXPORT_RECORD;
    const SCHEMA_VERSION: u32 = 1;
}
