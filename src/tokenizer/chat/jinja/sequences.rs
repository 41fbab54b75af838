//! Jinja's filters of lists and dicts where minijinja's do not do as Python does.

use minijinja::value::ValueKind;
use minijinja::{Environment, State, Value};

use super::arguments::{bind, flag, required, string};
use super::filters::add_all;
use super::value::{generator, is_generator, items, list, reserve};
use super::{Outcome, fail, methods, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    add_all(
        environment,
        [
            ("count", length),
            ("dictsort", dictsort),
            ("first", first),
            ("items", pairs),
            ("join", join),
            ("last", last),
            ("length", length),
            ("list", |state, value, _| list(items(state, value)?)),
            ("map", map),
            ("reject", |state, value, args| select(state, value, args, Of::Item, false)),
            ("rejectattr", |state, value, args| select(state, value, args, Of::Attribute, false)),
            ("reverse", reverse),
            ("select", |state, value, args| select(state, value, args, Of::Item, true)),
            ("selectattr", |state, value, args| select(state, value, args, Of::Attribute, true)),
        ],
    );
}

/// Sorts as Python does: values of different kinds cannot be.
pub(super) fn sort_values(values: &mut [Value]) -> Outcome<()> {
    let mut comparable = true;
    values.sort_by(|a, b| {
        comparable &= a.kind() == b.kind();
        a.cmp(b)
    });
    match comparable {
        true => Ok(()),
        false => Err(fail("values of different kinds cannot be sorted")),
    }
}

fn length(_: &mut State<'_, '_>, value: &Value, _: &[Value]) -> Outcome<Value> {
    match value.len() {
        Some(length) => Ok(Value::from(length)),
        None if value.is_undefined() => Ok(Value::from(0)),
        None => Err(fail(format!("{} has no length", value.kind()))),
    }
}

fn first(_: &mut State<'_, '_>, value: &Value, _: &[Value]) -> Outcome<Value> {
    if value.is_none() {
        return Err(fail("'NoneType' object is not iterable"));
    }
    Ok(value.try_iter()?.checked().next().transpose()?.unwrap_or(Value::UNDEFINED))
}

fn last(state: &mut State<'_, '_>, value: &Value, _: &[Value]) -> Outcome<Value> {
    if is_generator(value) {
        return Err(fail("a generator cannot be reversed: use `list` before `last`"));
    }
    Ok(items(state, value)?.pop().unwrap_or(Value::UNDEFINED))
}

fn reverse(state: &mut State<'_, '_>, value: &Value, _: &[Value]) -> Outcome<Value> {
    if let Some(text) = value.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items(state, value)?;
    items.reverse();
    Ok(generator(items))
}

fn pairs(state: &mut State<'_, '_>, value: &Value, _: &[Value]) -> Outcome<Value> {
    match value.kind() {
        ValueKind::Undefined => Ok(generator(Vec::new())),
        ValueKind::Map => Ok(generator(methods::pairs(value, items(state, value)?)?)),
        _ => Err(fail("Can only get item pairs from a mapping.")),
    }
}

fn dictsort(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [case_sensitive, by, reverse] = bind(args, ["case_sensitive", "by", "reverse"])?;
    let place = match by.as_ref().map(string).transpose()? {
        None | Some("key") => 0,
        Some("value") => 1,
        Some(_) => return Err(fail("You can only sort by either \"key\" or \"value\"")),
    };
    if value.kind() != ValueKind::Map {
        return Err(fail("dictsort: a mapping is expected"));
    }
    let mut sorted = Vec::new();
    for pair in methods::pairs(value, items(state, value)?)? {
        let key = pair.get_item_by_index(place)?;
        let folded = key.as_str().filter(|_| !flag(case_sensitive.as_ref()));
        let key = folded.map(|text| Value::from(text.to_lowercase())).unwrap_or(key);
        sorted.push((key, pair));
    }
    let mut comparable = true;
    sorted.sort_by(|(a, _), (b, _)| {
        comparable &= a.kind() == b.kind();
        if flag(reverse.as_ref()) { b.cmp(a) } else { a.cmp(b) }
    });
    match comparable {
        true => list(sorted.into_iter().map(|(_, pair)| pair).collect()),
        false => Err(fail("values of different kinds cannot be sorted")),
    }
}

fn join(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [between, path] = bind(args, ["d", "attribute"])?;
    let between = between.as_ref().map_or_else(|| Ok(String::new()), text::str)?;
    let mut joined = String::new();
    for (index, item) in items(state, value)?.into_iter().enumerate() {
        let item = match &path {
            Some(path) => attribute(&item, path, None)?,
            None => item,
        };
        let item = text::str(&item)?;
        reserve(state, item.len() + between.len())?;
        if index > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&item);
    }
    Ok(Value::from(joined))
}

fn map(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let mut mapped = items_if_any(state, value)?;
    let named = args.first().filter(|name| !name.is_kwargs());
    match named {
        Some(filter) => {
            let filter = string(filter)?;
            let mut call = args.to_vec();
            for item in &mut mapped {
                call[0] = std::mem::take(item);
                *item = state.apply_filter(filter, &call)?;
            }
        }
        None => {
            let [path, default] = bind(args, ["attribute", "default"])?;
            let path = required(path, "attribute")?;
            for item in &mut mapped {
                *item = attribute(item, &path, default.as_ref())?;
            }
        }
    }
    Ok(generator(mapped))
}

/// What `select` and its kin test.
#[derive(Clone, Copy)]
enum Of {
    /// The item: `select`, `reject`.
    Item,
    /// An attribute of it: `selectattr`, `rejectattr`.
    Attribute,
}

fn select(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &[Value],
    of: Of,
    keep: bool,
) -> Outcome<Value> {
    let (path, args) = match (of, args.split_first()) {
        (Of::Item, _) => (None, args),
        (Of::Attribute, Some((path, rest))) => (Some(path), rest),
        (Of::Attribute, None) => return Err(fail("Missing parameter for attribute name")),
    };
    let mut kept = Vec::new();
    for item in items_if_any(state, value)? {
        let tested = match path {
            Some(path) => attribute(&item, path, None)?,
            None => item.clone(),
        };
        let passes = match args.split_first() {
            None => tested.is_true(),
            Some((test, rest)) => {
                let call: Vec<_> = std::iter::once(tested).chain(rest.iter().cloned()).collect();
                state.perform_test(string(test)?, &call)?
            }
        };
        if passes == keep {
            kept.push(item);
        }
    }
    Ok(generator(kept))
}

/// Jinja asks `if value` before it maps or selects: `None` has no items there.
fn items_if_any(state: &State<'_, '_>, value: &Value) -> Outcome<Vec<Value>> {
    if value.is_true() { items(state, value) } else { Ok(Vec::new()) }
}

/// `value.a.0.b` by the path `"a.0.b"`.
fn attribute(value: &Value, path: &Value, default: Option<&Value>) -> Outcome<Value> {
    let Some(path) = path.as_str() else { return value.get_item(path) };
    let mut value = value.clone();
    for part in path.split('.') {
        let key = match part.parse::<usize>() {
            Ok(index) => Value::from(index),
            Err(_) => Value::from(part),
        };
        value = value.get_item(&key)?;
        if let (true, Some(default)) = (value.is_undefined(), default) {
            value = default.clone();
        }
    }
    Ok(value)
}
