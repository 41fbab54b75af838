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
