//! JSON files.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::file;

/// Reads a JSON file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = file::read(path)?;
    serde_json::from_slice(&text).map_err(|error| Error::malformed(path, error))
}

/// Reads the fields of the object in a JSON file, with errors that name the field.
pub(crate) fn read_fields<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let fields: Map<String, Value> = read(path)?;
    crate::read::read_fields(&fields).map_err(|wrong| Error::malformed(path, wrong))
}
