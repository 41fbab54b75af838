//! Whether two configs say the same.

use serde::Serialize;
use serde_json::Value;

/// The first difference, if there is one: the field and its values. GGUF files hold f32, so numbers
/// may differ as far as these do.
pub(super) fn same<T: Serialize>(expected: &T, found: &T) -> Result<(), String> {
    let json = |config: &T| serde_json::to_value(config).map_err(|error| error.to_string());
    compare("", &json(expected)?, &json(found)?)
}

fn compare(path: &str, expected: &Value, found: &Value) -> Result<(), String> {
    match (expected, found) {
        (Value::Object(fields), Value::Object(others)) if fields.len() == others.len() => {
            fields.iter().try_for_each(|(name, value)| {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare(&path, value, others.get(name).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(values), Value::Array(others)) if values.len() == others.len() => values
            .iter()
            .zip(others)
            .enumerate()
            .try_for_each(|(i, (value, other))| compare(&format!("{path}[{i}]"), value, other)),
        (Value::Number(value), Value::Number(other)) if near(value.as_f64(), other.as_f64()) => {
            Ok(())
        }
        _ if expected == found => Ok(()),
        _ => Err(format!("`{path}` is {expected}")),
    }
}

fn near(expected: Option<f64>, found: Option<f64>) -> bool {
    let (Some(expected), Some(found)) = (expected, found) else { return false };
    (expected - found).abs() <= 1e-6 * expected.abs()
}
