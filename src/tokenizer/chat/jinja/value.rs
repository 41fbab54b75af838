//! Dicts, lists and generators as Python has them, and the bounds on their nesting.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{State, Value};
use serde_json::Value as Json;

use super::views::{is_range, shown};
use super::{Outcome, bytes, fail, methods, text};

/// How deep lists and dicts may be nested. The engine recurses into them.
pub(super) const MAX_DEPTH: usize = 200;
/// How much a value may weigh: as much as one rendering can pay for.
const MAX_WEIGHT: u64 = super::FUEL;

/// JSON as Python's `json.loads` gives it to a template.
pub(super) fn from_json(json: &Json, depth: usize) -> Outcome<Value> {
    if depth > MAX_DEPTH {
        return Err(too_large());
    }
    let value = |json: &Json| from_json(json, depth + 1);
    Ok(match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), ..) => Value::from(integer),
            (_, Some(integer), _) => Value::from(integer),
            (.., float) => Value::from(float.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => list(items.iter().map(value).collect::<Outcome<_>>()?)?,
        Json::Object(entries) => {
            let entries = entries.iter().map(|(key, json)| Ok((Value::from(&**key), value(json)?)));
            dict(entries.collect::<Outcome<_>>()?)?
        }
    })
}

/// A list, if it is not too large.
pub(super) fn list(items: Vec<Value>) -> Outcome<Value> {
    let size = Size::around(&items, None)?;
    Ok(Value::from_object(List { items, size }))
}

pub(super) fn dict(entries: Vec<(Value, Value)>) -> Outcome<Value> {
    let size = Size::around(entries.iter().flat_map(|(key, value)| [key, value]), None)?;
    let keys = entries.iter().map(|(key, _)| key.clone()).collect();
    Ok(Value::from_object(Dict { keys, values: entries.into_iter().collect(), size }))
}

/// What Python has as an iterator: it is true, has no length, and can be gone through once.
pub(super) fn generator(items: Vec<Value>) -> Value {
    Value::from_object(Generator(Mutex::new(items.into_iter())))
}

/// Goes through a value as a Python `for` does.
pub(super) fn items(state: &State<'_, '_>, value: &Value) -> Outcome<Vec<Value>> {
    if value.is_none() {
        return Err(fail("'NoneType' object is not iterable"));
    }
    if is_namespace(value) {
        return Err(fail("a namespace is not iterable"));
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        state.consume_fuel(1)?;
        items.push(item?);
    }
    Ok(items)
}

/// Pays for text before it is made.
pub(super) fn reserve(state: &State<'_, '_>, bytes: usize) -> Outcome<()> {
    state.consume_fuel(bytes as u64 / 64)
}

/// Whether the value is one of [`generator`].
pub(super) fn is_generator(value: &Value) -> bool {
    value.downcast_object_ref::<Generator>().is_some()
}

/// A list, dict or tuple that the template wrote, or the right side of a `{% set %}`. Here the
/// engine's containers, lazy slices and repetitions become ours, whose size is known and bounded.
pub(super) fn built(state: &State<'_, '_>, value: Value) -> Outcome<Value> {
    match value.kind() {
        _ if is_generator(&value) || Size::known(&value).is_some() => Ok(value),
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() => {
            Size::of(&value, Some(state), 0)?;
            Ok(value)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = items(state, &value)?;
            Size::around(&items, Some(state))?;
            list(items)
        }
        ValueKind::Map if !is_namespace(&value) => {
            let keys = items(state, &value)?;
            let entries = keys.into_iter().map(|key| {
                let value = value.get_item(&key)?;
                Ok((key, value))
            });
            dict(entries.collect::<Outcome<_>>()?)
        }
        _ => Ok(value),
    }
}

/// The value of an attribute of a namespace: no namespace, which could be the same.
pub(super) fn attribute(state: &State<'_, '_>, value: Value) -> Outcome<Value> {
    match is_namespace(&value) {
        true => Err(in_namespace()),
        false => built(state, value),
    }
}

/// What a `{% for %}` goes through.
pub(super) fn iterated(state: &State<'_, '_>, value: &Value) -> Outcome<Value> {
    match value.downcast_object_ref::<List>() {
        Some(_) => Ok(value.clone()),
        None => Ok(Value::from(items(state, value)?)),
    }
}

/// Pays for going through all of a value: comparing, hashing or sorting it.
pub(super) fn charge(state: &State<'_, '_>, value: &Value) -> Outcome<()> {
    state.consume_fuel(weight(state, value)?)
}

/// How much work it is to go through all of a value.
pub(super) fn weight(state: &State<'_, '_>, value: &Value) -> Outcome<u64> {
    Size::of(value, Some(state), 0).map(|size| size.weight)
}

/// The engine keeps the type to itself.
pub(super) fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn too_large() -> minijinja::Error {
    fail(format!("a list or dict is too large, or is nested more than {MAX_DEPTH} deep"))
}

fn in_namespace() -> minijinja::Error {
    fail("a namespace cannot be put into another value")
}

/// What bounds the work of going through a value in which others may occur many times.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Levels of lists and dicts.
    depth: usize,
    /// Values in it, each as often as it occurs, and 64-byte pieces of text.
    weight: u64,
}

impl Size {
    /// Of a container with these values.
    fn around<'a>(
        values: impl IntoIterator<Item = &'a Value>,
        state: Option<&State<'_, '_>>,
    ) -> Outcome<Self> {
        Self::sum(values.into_iter().map(|value| Self::of(value, state, 1)))
    }

    fn sum(sizes: impl Iterator<Item = Outcome<Self>>) -> Outcome<Self> {
        let mut total = Self { depth: 1, weight: 1 };
        for size in sizes {
            let size = size?;
            total.depth = total.depth.max(size.depth + 1);
            total.weight = total.weight.saturating_add(size.weight);
            if total.depth > MAX_DEPTH || total.weight > MAX_WEIGHT {
                return Err(too_large());
            }
        }
        Ok(total)
    }

    /// Of a value that lies `level` levels deep. Only tuples have to be gone through, and what the
    /// engine has not made a list yet; that is paid for.
    fn of(value: &Value, state: Option<&State<'_, '_>>, level: usize) -> Outcome<Self> {
        if let Some(size) = Self::known(value) {
            return Ok(size);
        }
        if level > MAX_DEPTH {
            return Err(too_large());
        }
        let paid = |item: &Value| {
            state.map_or(Ok(()), |state| state.consume_fuel(1))?;
            Self::of(item, state, level + 1)
        };
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                Self::sum(value.try_iter()?.checked().map(|item| paid(&item?)))
            }
            ValueKind::Map if is_namespace(value) && level > 0 => Err(in_namespace()),
            ValueKind::Map if is_namespace(value) => Ok(Self { depth: 1, weight: 1 }),
            ValueKind::Map => {
                Self::sum(value.try_iter()?.checked().map(|key| paid(&value.get_item(&key?)?)))
            }
            _ => Ok(Self { depth: 0, weight: 1 + value.as_str().map_or(0, str::len) as u64 / 64 }),
        }
    }

    fn known(value: &Value) -> Option<Self> {
        let list = value.downcast_object_ref::<List>().map(|list| list.size);
        let dict = value.downcast_object_ref::<Dict>().map(|dict| dict.size);
        let view = shown(value).and_then(Self::known);
        let range = is_range(value).then(|| value.len()).flatten();
        let range = range.map(|length| Self { depth: 1, weight: 1 + length as u64 });
        let bytes = bytes::of(value);
        let bytes = bytes.map(|bytes| Self { depth: 1, weight: 1 + bytes.len() as u64 / 64 });
        list.or(dict)
            .or(bytes)
            .or(view)
            .or(range)
            .or_else(|| is_generator(value).then_some(Self { depth: 0, weight: 1 }))
    }
}

#[derive(Debug)]
struct Dict {
    keys: Vec<Value>,
    values: HashMap<Value, Value>,
    size: Size,
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.values.get(key).cloned()
    }

    /// `dict.name`, where Python finds the method before the key.
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match methods::of_dict(key) {
            true => {
                let dict = Value::from_dyn_object(Arc::clone(self));
                Some(methods::method(dict, key))
            }
            false => self.values.get(&Value::from(key)).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.keys.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(&Value::from_dyn_object(Arc::clone(self)), f)
    }
}

#[derive(Debug)]
struct List {
    items: Vec<Value>,
    size: Size,
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render(&Value::from_dyn_object(Arc::clone(self)), f)
    }
}

fn render(value: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&text::repr(value).map_err(|_| fmt::Error)?)
}

#[derive(Debug)]
struct Generator(Mutex<std::vec::IntoIter<Value>>);

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    /// A generator has no items by number, nor attributes.
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::UNDEFINED)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let this = Arc::clone(self);
        let next = move || this.0.lock().unwrap_or_else(PoisonError::into_inner).next();
        Enumerator::Iter(Box::new(std::iter::from_fn(next)))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<generator object>")
    }
}
