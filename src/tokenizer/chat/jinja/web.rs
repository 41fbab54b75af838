//! Filters for addresses and markup.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::arguments::{bind, string};
use super::markup::escaped;
use super::value::{items, reserve};
use super::{Outcome, fail, text};

/// `urlencode`: text as a part of a path; a mapping or pairs as a query.
pub(super) fn url_encode(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    let is_text = value.kind() == ValueKind::String;
    if is_text || value.try_iter().is_err() {
        return Ok(Value::from(quoted(state, value, b"/", "%20")?));
    }
    let mut query = Vec::new();
    for item in items(state, value)? {
        let (key, value) = match value.kind() {
            ValueKind::Map => (item.clone(), value.get_item(&item)?),
            _ => match items(state, &item)?.as_slice() {
                [key, value] => (key.clone(), value.clone()),
                _ => return Err(fail("urlencode: pairs are expected")),
            },
        };
        let part = |value| quoted(state, value, b"", "+");
        query.push(format!("{}={}", part(&key)?, part(&value)?));
    }
    Ok(Value::from(query.join("&")))
}

fn quoted(state: &State<'_, '_>, value: &Value, kept: &[u8], space: &str) -> Outcome<String> {
    let text = text::str(state, value)?;
    reserve(state, text.len().saturating_mul(3))?;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push_str(space),
            _ if byte.is_ascii_alphanumeric()
                || b"_.-~".contains(&byte)
                || kept.contains(&byte) =>
            {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

/// `xmlattr`: a mapping as attributes of a tag.
pub(super) fn attributes(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &[Value],
) -> Outcome<Value> {
    let [autospace] = bind(args, ["autospace"])?;
    if value.kind() != ValueKind::Map {
        return Err(fail(format!("xmlattr: a mapping is expected, not {}", value.kind())));
    }
    let mut all = Vec::new();
    for key in items(state, value)? {
        let value = value.get_item(&key)?;
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let name = string(&key)?;
        if name.contains(|char: char| text::is_space(char) || "/>=".contains(char)) {
            return Err(fail(format!("Invalid character in attribute name: {name:?}")));
        }
        let part = |value| text::str(state, &escaped(state, value)?);
        all.push(format!("{}=\"{}\"", part(&key)?, part(&value)?));
    }
    let spaced = autospace.is_none_or(|autospace| autospace.is_true()) && !all.is_empty();
    Ok(Value::from(format!("{}{}", if spaced { " " } else { "" }, all.join(" "))))
}
