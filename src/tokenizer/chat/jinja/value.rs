//! Dicts, lists and generators as Python has them, and the bounds on their nesting.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{State, Value};
use serde_json::Value as Json;

use super::{Outcome, fail, methods, text};

/// How deep lists and dicts may be nested. The engine recurses into them.
pub(super) const MAX_DEPTH: usize = 200;

/// How many values lists and dicts may hold in all, those inside of those counted.
const MAX_VALUES: usize = 1 << 20;

/// JSON as Python's `json.loads` gives it to a template.
pub(super) fn from_json(json: &Json) -> Outcome<Value> {
    Ok(match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), ..) => Value::from(integer),
            (_, Some(integer), _) => Value::from(integer),
            (.., float) => Value::from(float.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(from_json).collect::<Outcome<_>>()?;
            list(items)?
        }
        Json::Object(entries) => {
            let keys: Vec<Arc<str>> = entries.keys().map(|key| key.as_str().into()).collect();
            let values: Vec<_> = entries.values().map(from_json).collect::<Outcome<_>>()?;
            let extent = Extent::over(&values)?;
            let values = keys.iter().cloned().zip(values).collect();
            Value::from_object(Dict { keys, values, extent })
        }
    })
}

/// A list, if its items are not nested too deeply.
pub(super) fn list(items: Vec<Value>) -> Outcome<Value> {
    let extent = Extent::over(&items)?;
    Ok(Value::from_object(List { items, extent }))
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

/// The right side of a `{% set %}`. Only there can a loop build on what it built before, so here
/// is where nesting is bounded, and where the engine's lazy slices and sums become lists.
pub(super) fn assigned(state: &State<'_, '_>, value: Value) -> Outcome<Value> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable
            if !value.is_tuple()
                && !is_generator(&value)
                && value.downcast_object_ref::<List>().is_none() =>
        {
            let items = items(state, &value)?;
            list(items)
        }
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let extent = Extent::of(&value, 0)?;
            state.consume_fuel(extent.depth as u64)?;
            Ok(value)
        }
        _ => Ok(value),
    }
}

/// What a `{% for %}` goes through.
pub(super) fn iterated(state: &State<'_, '_>, value: &Value) -> Outcome<Value> {
    match value.downcast_object_ref::<List>() {
        Some(_) => Ok(value.clone()),
        None => Ok(Value::from(items(state, value)?)),
    }
}

/// How far a value goes: what printing and comparing it costs.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Levels of lists and dicts.
    depth: usize,
    /// Values in all of them; one that stands in several places counts each time.
    values: usize,
}

impl Extent {
    /// Of a list or dict of these values.
    fn over(values: &[Value]) -> Outcome<Self> {
        match Self::around(values, 1)? {
            Self { depth, .. } if depth > MAX_DEPTH => Err(too_deep()),
            Self { values, .. } if values > MAX_VALUES => {
                Err(fail(format!("a list or dict holds more than {MAX_VALUES} values in all")))
            }
            all => Ok(all),
        }
    }

    /// Of a value that lies `level` levels deep itself.
    fn of(value: &Value, level: usize) -> Outcome<Self> {
        if let Some(list) = value.downcast_object_ref::<List>() {
            return Ok(list.extent);
        }
        if let Some(dict) = value.downcast_object_ref::<Dict>() {
            return Ok(dict.extent);
        }
        if level > MAX_DEPTH {
            return Err(too_deep());
        }
        let values: Vec<_> = match value.kind() {
            ValueKind::Seq | ValueKind::Iterable if !is_generator(value) => {
                value.try_iter()?.checked().collect::<Outcome<_>>()?
            }
            // A namespace can hold itself.
            ValueKind::Map if is_namespace(value) && level == 0 => {
                return Ok(Self { depth: 1, values: 1 });
            }
            ValueKind::Map if is_namespace(value) => {
                return Err(fail("a namespace cannot be put into another value"));
            }
            ValueKind::Map => {
                let entries = value.try_iter()?.checked();
                entries.map(|key| value.get_item(&key?)).collect::<Outcome<_>>()?
            }
            // Long texts count for more.
            _ => {
                let length = value.as_str().map_or(0, str::len);
                return Ok(Self { depth: 0, values: 1 + length / 64 });
            }
        };
        Self::around(&values, level + 1)
    }

    /// Of what holds these values, which lie `level` levels deep.
    fn around(values: &[Value], level: usize) -> Outcome<Self> {
        let mut all = Self { depth: 0, values: 1 };
        for value in values {
            let Self { depth, values } = Self::of(value, level)?;
            all.depth = all.depth.max(depth);
            all.values = all.values.saturating_add(values);
        }
        all.depth += 1;
        Ok(all)
    }
}

/// The engine keeps the type to itself; only maps of text by text print with this name.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

fn too_deep() -> minijinja::Error {
    fail(format!("lists and dicts are nested more than {MAX_DEPTH} deep"))
}

#[derive(Debug)]
struct Dict {
    keys: Vec<Arc<str>>,
    values: HashMap<Arc<str>, Value>,
    extent: Extent,
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.values.get(key.as_str()?).cloned()
    }

    /// `dict.name`, where Python finds the method before the key.
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match methods::of_dict(key) {
            true => {
                let dict = Value::from_dyn_object(Arc::clone(self));
                Some(Value::from_object(Method { of: dict, name: key.to_owned() }))
            }
            false => self.values.get(key).cloned(),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.keys.iter().map(|key| Value::from(Arc::clone(key))).collect())
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
    extent: Extent,
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

/// A method that is not called yet.
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
        write!(f, "<built-in method {} of dict object>", self.name)
    }
}
