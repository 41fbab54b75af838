//! Options and items out of JSON, by their Hugging Face names.

use serde::Serialize;
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

/// Reads options whose fields all have defaults. Each is first read alone, so that an error names
/// the option it is about.
pub(super) fn options<T: DeserializeOwned>(options: Map<String, Value>) -> Result<T> {
    for (name, value) in &options {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(alone))
            .map_err(|error| Error::option(name, error))?;
    }
    serde_json::from_value(Value::Object(options)).map_err(|error| Error::option("options", error))
}

/// Takes the named options out, for options that Python passes on.
pub(super) fn split(options: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    names.iter().filter_map(|&name| Some((name.to_owned(), options.remove(name)?))).collect()
}

/// One item, or each of a list of them.
pub(super) fn item<T: DeserializeOwned>(value: &Value, expected: &str) -> Result<T> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::input(format!("expected {expected}: {error}")))
}

/// A text gives one output, a list of texts a list of them.
pub(super) fn texts<T: Serialize>(
    input: &Value,
    run_batch: impl FnOnce(Vec<String>) -> Result<Vec<T>>,
) -> Result<Value> {
    match input {
        Value::String(text) => output(run_batch(vec![text.clone()])?.pop()),
        _ => output(run_batch(item(input, "a text or a list of texts")?)?),
    }
}

/// A result as JSON.
pub(super) fn output<T: Serialize>(output: T) -> Result<Value> {
    serde_json::to_value(output).map_err(Error::input)
}
