//! Methods of Python's `dict` and `list`; those of `str` are in [`strings`].

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{bind, given, integer, required, string};
use super::value::{items, list, reserve};
use super::views::{is_view, range, shown, view};
use super::{Outcome, bytes, fail, markup, numbers, strings, tag};

/// Calls a method. Those that change a list or dict raise, as in transformers' sandbox.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Outcome<Value> {
    match value.kind() {
        _ if name == tag::SLICE => sliced(state, value, args),
        _ if name == tag::MEMBER => {
            let [name] = bind(args, ["name"])?;
            member(value, string(&required(name, "name")?)?)
        }
        _ if shown(value).is_some() => Err(Error::from(ErrorKind::UnknownMethod)),
        ValueKind::String if value.is_safe() => markup::method(state, value, name, args),
        ValueKind::String => strings::method(state, string(value)?, name, args),
        ValueKind::Map if of_dict(name) => dict(state, value, name, args),
        ValueKind::Seq | ValueKind::Iterable => match bytes::of(value) {
            Some(bytes) => bytes::method(bytes, name, args),
            None => sequence(state, value, name, args),
        },
        ValueKind::Number | ValueKind::Bool => numbers::method(value, name, args),
        ValueKind::Undefined => Err(fail(format!("undefined has no method {name:?}"))),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// `value.name` without a call: an attribute, an item, or a method that is not called yet.
pub(super) fn member(value: &Value, name: &str) -> Outcome<Value> {
    let found = value.get_attr(name)?;
    if !found.is_undefined() {
        return Ok(found);
    }
    let is_method = match value.kind() {
        ValueKind::String => strings::METHODS.contains(&name),
        ValueKind::Number | ValueKind::Bool => match numbers::attribute(value, name) {
            Some(found) => return Ok(found),
            None => numbers::has_method(value, name),
        },
        ValueKind::Seq if bytes::of(value).is_some() => matches!(name, "decode" | "hex"),
        ValueKind::Seq => {
            let is_list = !value.is_tuple() && !is_view(value);
            matches!(name, "count" | "index")
                || is_list && (name == "copy" || CHANGE_LISTS.contains(&name))
        }
        _ => false,
    };
    Ok(if is_method { method(value.clone(), name) } else { Value::UNDEFINED })
}

/// A method that is not called yet.
pub(super) fn method(of: Value, name: &str) -> Value {
    Value::from_object(Method { of, name: name.to_owned() })
}

#[derive(Debug)]
struct Method {
    of: Value,
    name: String,
}

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Outcome<Value> {
        self.of.call_method(state, &self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {}>", self.name)
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
        return Ok(markup::like(value, part.map_or("", |(_, part)| part)));
    }
    if let Some(range) = range(value) {
        let (first, stop) = bounds(start, stop, step, value.len().unwrap_or(0))?;
        return range.part(first, stop, step);
    }
    let of_chars = value.as_str().map(|text| text.chars().map(Value::from).collect::<Vec<_>>());
    let items = match of_chars {
        Some(chars) => {
            reserve(state, chars.len())?;
            chars
        }
        None if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
            && value.len().is_some()
            && shown(value).is_none() =>
        {
            items(state, value)?
        }
        None => return Err(fail(format!("{} cannot be sliced", value.kind()))),
    };
    let (mut index, stop) = bounds(start, stop, step, items.len())?;
    let mut kept = Vec::new();
    while if step < 0 { index > stop } else { index < stop } {
        kept.extend(usize::try_from(index).ok().and_then(|index| items.get(index)).cloned());
        index = index.saturating_add(step);
    }
    match value.kind() {
        ValueKind::String => {
            let kept: String = kept.iter().filter_map(Value::as_str).collect();
            Ok(markup::like(value, kept))
        }
        _ if value.is_tuple() => Ok(Value::from(Tuple::from(kept))),
        _ if bytes::of(value).is_some() => {
            let bytes = kept.into_iter().map(u8::try_from).collect::<Outcome<_>>()?;
            Ok(bytes::value(bytes))
        }
        _ => list(kept),
    }
}

/// Where a slice of so many items begins and before which it ends: CPython's `PySlice_AdjustIndices`.
fn bounds(
    start: Option<Value>,
    stop: Option<Value>,
    step: i64,
    length: usize,
) -> Outcome<(i64, i64)> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if step < 0 { (-1, length - 1) } else { (0, length) };
    let bound = |index: Option<Value>, default: i64| -> Outcome<i64> {
        let Some(index) = given(index) else { return Ok(default) };
        let index = integer(&index)?;
        let index = if index < 0 { index.saturating_add(length) } else { index };
        Ok(index.clamp(low, high))
    };
    let (first, end) = if step < 0 { (high, low) } else { (low, high) };
    Ok((bound(start, first)?, bound(stop, end)?))
}

/// Whether dicts have a method of the name.
pub(super) fn of_dict(name: &str) -> bool {
    matches!(name, "copy" | "fromkeys" | "get" | "items" | "keys" | "values")
        || CHANGE_DICTS.contains(&name)
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
    if name == "fromkeys" {
        let [keys, value] = bind(args, ["iterable", "value"])?;
        let value = value.unwrap_or_else(|| Value::from(()));
        let keys = items(state, &required(keys, "iterable")?)?;
        let pairs = keys.into_iter().map(|key| Value::from(Tuple::from([key, value.clone()])));
        return make_dict(state, &[list(pairs.collect())?]);
    }
    let [] = bind(args, [])?;
    let keys = items(state, dict)?;
    match name {
        "keys" => view("dict_keys", keys),
        "values" => {
            let values = keys.iter().map(|key| dict.get_item(key)).collect::<Outcome<_>>()?;
            view("dict_values", values)
        }
        "items" => view("dict_items", pairs(dict, keys)?),
        "copy" => Ok(dict.clone()),
        _ => Err(unsafe_call("dict", name)),
    }
}

/// `dict(mapping or pairs, **entries)`.
pub(super) fn make_dict(state: &State<'_, '_>, args: &[Value]) -> Outcome<Value> {
    let mut entries = Vec::new();
    for source in args {
        let items = items(state, source)?;
        let pair = |item: Value| match source.kind() {
            ValueKind::Map => Ok((item.clone(), source.get_item(&item)?)),
            _ => match super::value::items(state, &item)?.as_slice() {
                [key, value] => Ok((key.clone(), value.clone())),
                _ => Err(fail("dict: pairs are expected")),
            },
        };
        for (key, value) in items.into_iter().map(pair).collect::<Outcome<Vec<_>>>()? {
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => entries.push((key, value)),
            }
        }
    }
    super::value::dict(entries)
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
        "count" => {
            let [wanted] = bind(args, ["value"])?;
            let wanted = required(wanted, "value")?;
            let found = items(state, value)?.into_iter().filter(|item| *item == wanted);
            Ok(Value::from(found.count()))
        }
        "index" => {
            let [wanted, start, stop] = bind(args, ["value", "start", "stop"])?;
            let wanted = required(wanted, "value")?;
            let items = items(state, value)?;
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let bound = |index: Option<Value>, default: i64| -> Outcome<i64> {
                let index = index.map_or(Ok(default), |index| integer(&index))?;
                Ok(if index < 0 { index.saturating_add(length).max(0) } else { index })
            };
            let within = bound(start, 0)?..bound(stop, length)?;
            let place =
                (0..).zip(&items).find(|(place, item)| within.contains(place) && **item == wanted);
            place.map(|(place, _)| Value::from(place)).ok_or_else(|| fail("is not in the list"))
        }
        "copy" if !value.is_tuple() && !is_view(value) => {
            let [] = bind(args, [])?;
            Ok(value.clone())
        }
        _ if CHANGE_LISTS.contains(&name) => Err(unsafe_call("list", name)),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn unsafe_call(kind: &str, name: &str) -> Error {
    fail(format!("{kind}.{name} is not allowed: a template cannot change what it is given"))
}

const CHANGE_DICTS: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const CHANGE_LISTS: [&str; 8] =
    ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
