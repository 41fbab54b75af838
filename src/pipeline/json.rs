//! Options out of JSON, by their Hugging Face names.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Takes the option out of the map; `None` where it is missing or null.
pub(super) fn take<T: DeserializeOwned>(
    options: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>> {
    match options.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            serde_json::from_value(value).map(Some).map_err(|error| Error::option(name, error))
        }
    }
}
