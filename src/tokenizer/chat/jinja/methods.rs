//! Methods of Python's `dict` and `list`; those of `str` are in [`strings`].

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{bind, given, integer, required, string};
use super::value::{items, list, reserve};
use super::{Outcome, fail, strings, tag};

/// Calls a method. Those that change a list or dict raise, as in transformers' sandbox.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Outcome<Value> {
    match value.kind() {
        _ if name == tag::SLICE => sliced(state, value, args),
        ValueKind::String => strings::method(state, string(value)?, name, args),
        ValueKind::Map if of_dict(name) => dict(state, value, name, args),
        ValueKind::Seq | ValueKind::Iterable => sequence(state, value, name, args),
        ValueKind::Undefined => Err(fail(format!("undefined has no method {name:?}"))),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// `value[start:stop:step]`.
fn sliced(state: &State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [start, stop, step] = bind(args, ["start", "stop", "step"])?;
    let step = given(step).map_or(Ok(1), |step| integer(&step))?;
    if step == 0 {
        return Err(fail("slice step cannot be zero"));
    }
    if let (Some(text), 1) = (value.as_str(), step) {
        let part = strings::window(text, start, stop)?;
        return Ok(Value::from(part.map_or("", |(_, part)| part)));
    }
    let of_chars = value.as_str().map(|text| text.chars().map(Value::from).collect::<Vec<_>>());
    let items = match of_chars {
        Some(chars) => {
            reserve(state, chars.len())?;
            chars
        }
        None if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
            && value.len().is_some() =>
        {
            items(state, value)?
        }
        None => return Err(fail(format!("{} cannot be sliced", value.kind()))),
    };
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    // CPython's `PySlice_AdjustIndices`.
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let bound = |index: Option<Value>, default: i64| -> Outcome<i64> {
        let Some(index) = given(index) else { return Ok(default) };
        let index = integer(&index)?;
        let index = if index < 0 { index.saturating_add(length) } else { index };
        Ok(index.clamp(low, high))
    };
    let (first, end) = if step < 0 { (high, low) } else { (low, high) };
    let (mut index, stop) = (bound(start, first)?, bound(stop, end)?);
    let mut kept = Vec::new();
    while if step < 0 { index > stop } else { index < stop } {
        kept.extend(usize::try_from(index).ok().and_then(|index| items.get(index)).cloned());
        index = index.saturating_add(step);
    }
    match value.kind() {
        ValueKind::String => {
            Ok(Value::from(kept.iter().filter_map(Value::as_str).collect::<String>()))
        }
        _ if value.is_tuple() => Ok(Value::from(Tuple::from(kept))),
        _ => list(kept),
    }
}

/// Whether dicts have a method of the name.
pub(super) fn of_dict(name: &str) -> bool {
    matches!(name, "copy" | "get" | "items" | "keys" | "values") || CHANGE_DICTS.contains(&name)
}

fn dict(state: &State<'_, '_>, dict: &Value, name: &str, args: &[Value]) -> Outcome<Value> {
    if name == "get" {
        let [key, default] = bind(args, ["key", "default"])?;
        let key = required(key, "key")?;
        let found = dict.try_iter()?.any(|known| known == key);
        return match found {
            true => dict.get_item(&key),
            false => Ok(default.unwrap_or_else(|| Value::from(()))),
        };
    }
    let [] = bind(args, [])?;
    let keys = items(state, dict)?;
    match name {
        "keys" => list(keys),
        "values" => list(keys.iter().map(|key| dict.get_item(key)).collect::<Outcome<_>>()?),
        "items" => list(pairs(dict, keys)?),
        "copy" => Ok(dict.clone()),
        _ => Err(unsafe_call("dict", name)),
    }
}

/// Keys and values as tuples.
pub(super) fn pairs(dict: &Value, keys: Vec<Value>) -> Outcome<Vec<Value>> {
    keys.into_iter()
        .map(|key| {
            let value = dict.get_item(&key)?;
            Ok(Value::from(Tuple::from([key, value])))
        })
        .collect()
}

fn sequence(state: &State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Outcome<Value> {
    match name {
        "count" | "index" => {
            let [wanted] = bind(args, ["value"])?;
            let wanted = required(wanted, "value")?;
            let mut places = items(state, value)?.into_iter().enumerate();
            if name == "count" {
                return Ok(Value::from(places.filter(|(_, item)| *item == wanted).count()));
            }
            let place = places.find(|(_, item)| *item == wanted);
            place.map(|(index, _)| Value::from(index)).ok_or_else(|| fail("is not in the list"))
        }
        "copy" if !value.is_tuple() => Ok(value.clone()),
        _ if CHANGE_LISTS.contains(&name) => Err(unsafe_call("list", name)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn unsafe_call(kind: &str, name: &str) -> Error {
    fail(format!("{kind}.{name} is not allowed: a template cannot change what it is given"))
}

const CHANGE_DICTS: [&str; 6] = ["clear", "pop", "popitem", "setdefault", "update", "fromkeys"];
const CHANGE_LISTS: [&str; 8] =
    ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
