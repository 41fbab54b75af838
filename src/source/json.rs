//! JSON files.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::source::file;

/// Reads a JSON file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = file::read(path)?;
    serde_json::from_slice(&text).map_err(|error| Error::malformed(path, error))
}

/// Reads fields that are those of a file, with errors that name the field.
#[cfg(feature = "image")]
pub(crate) fn fields_of<T: DeserializeOwned>(
    fields: &serde_json::Map<String, serde_json::Value>,
    path: &Path,
) -> Result<T> {
    crate::read::read_fields(fields).map_err(|wrong| Error::malformed(path, wrong))
}
