//! Text that is marked as safe: markupsafe's `Markup`. What is put into it is escaped, and what its
//! methods return is marked, too.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{State, Value};

use super::arguments::string;
use super::str_format::{self, Fields};
use super::value::{items, list, reserve};
use super::{Outcome, bytes, strings, text};

/// What `markupsafe.escape` makes of a value; what is safe stays what it is.
pub(super) fn escaped(state: &State<'_, '_>, value: &Value) -> Outcome<Value> {
    match value.is_safe() {
        true => Ok(value.clone()),
        false => escape(state, &text::str(state, value)?).map(Value::from_safe_string),
    }
}

pub(super) fn escape(state: &State<'_, '_>, text: &str) -> Outcome<String> {
    reserve(state, text.len().saturating_mul(5))?;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(char),
        }
    }
    Ok(out)
}

/// Text that came of a value, and is marked where that is.
pub(super) fn like(value: &Value, text: impl Into<String>) -> Value {
    match value.is_safe() {
        true => Value::from_safe_string(text.into()),
        false => Value::from(text.into()),
    }
}

/// Calls a method of marked text.
pub(super) fn method(
    state: &State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Outcome<Value> {
    let s = string(value)?;
    let mut args = args.to_vec();
    match (name, args.as_mut_slice()) {
        ("replace" | "center" | "ljust" | "rjust", [_, put_in, ..]) => {
            *put_in = escaped(state, put_in)?;
        }
        ("join", [parts]) => {
            let parts_of = items(state, parts)?;
            let escaped = parts_of.iter().map(|part| escaped(state, part));
            *parts = list(escaped.collect::<Outcome<_>>()?)?;
        }
        ("format", all) => {
            let (positional, named) = match all.split_last() {
                Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
                _ => (&*all, None),
            };
            let fields = Fields { positional, named, escaped: true };
            return str_format::format(state, s, &fields).map(Value::from_safe_string);
        }
        _ => {}
    }
    strings::method(state, s, name, &args).and_then(marked)
}

fn marked(value: Value) -> Outcome<Value> {
    match value.kind() {
        ValueKind::String => Ok(Value::from_safe_string(string(&value)?.to_owned())),
        ValueKind::Seq if bytes::of(&value).is_none() => {
            let parts = value.try_iter()?.map(marked).collect::<Outcome<Vec<_>>>()?;
            match value.is_tuple() {
                true => Ok(Value::from(Tuple::from(parts))),
                false => list(parts),
            }
        }
        _ => Ok(value),
    }
}
