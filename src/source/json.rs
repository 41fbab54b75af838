//! JSON files.

use std::fmt::Display;
use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, Result};
use crate::source::file;

/// Reads a JSON file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    read_by(path, |text| serde_json::from_slice(text))
}

/// Reads a JSON file by a parser of the caller's, with errors that say what to do about a file that is none.
pub(crate) fn read_by<T, E: Display>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> std::result::Result<T, E>,
) -> Result<T> {
    let text = file::read(path)?;
    parse(&text).map_err(|error| Error::malformed(path, format!("{error}{}", advice(&text))))
}

/// What to do about a text that could not be read; nothing where it is JSON.
fn advice(text: &[u8]) -> &'static str {
    match text.trim_ascii_start().first() {
        None => ": the file is empty; download it again",
        Some(b'<') => ": this is a web page or XML; download the file itself",
        Some(0xEF | 0xFE | 0xFF) => ": save it as UTF-8 without a byte order mark",
        Some(_) if ends_early(text) => ": the file is truncated; download it again",
        Some(_) => "",
    }
}

fn ends_early(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// Reads fields that are those of a file, with errors that name the field.
#[cfg(feature = "image")]
pub(crate) fn fields_of<T: DeserializeOwned>(
    fields: &serde_json::Map<String, serde_json::Value>,
    path: &Path,
) -> Result<T> {
    crate::read::read_fields(fields).map_err(|wrong| Error::malformed(path, wrong))
}
