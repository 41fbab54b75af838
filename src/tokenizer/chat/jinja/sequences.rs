//! Jinja's filters of lists and dicts.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Environment, State, Value};

use super::arguments::{bind, flag, given, integer, required, string};
use super::filters::{add_all, add_bare};
use super::operators::{self, order};
use super::value::{charge, generator, is_generator, items, list, reserve, weight};
use super::{Outcome, fail, markup, methods, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    add_all(
        environment,
        [
            ("dictsort", dictsort),
            ("groupby", groupby),
            ("join", join),
            ("map", map),
            ("max", |state, value, args| extreme(state, value, args, Ordering::Greater)),
            ("min", |state, value, args| extreme(state, value, args, Ordering::Less)),
            ("reject", |state, value, args| select(state, value, args, Of::Item, false)),
            ("rejectattr", |state, value, args| select(state, value, args, Of::Attribute, false)),
            ("select", |state, value, args| select(state, value, args, Of::Item, true)),
            ("selectattr", |state, value, args| select(state, value, args, Of::Attribute, true)),
            ("sort", sorted),
            ("sum", sum),
            ("unique", unique),
        ],
    );
    add_bare(
        environment,
        [
            ("count", length),
            ("first", first),
            ("items", pairs),
            ("last", last),
            ("length", length),
            ("list", |state, value| list(items(state, value)?)),
            ("reverse", reverse),
        ],
    );
}

/// Sorts values as Python does.
pub(super) fn sort(state: &State<'_, '_>, values: &mut Vec<Value>) -> Outcome<()> {
    let keyed = values.drain(..).map(|value| (value.clone(), value)).collect();
    values.extend(sort_keyed(state, keyed, false)?.into_iter().map(|(_, value)| value));
    Ok(())
}

/// Sorts pairs by their first value; equal ones stay in order. A merge sort that, as Python's, asks
/// only which is less, and that may fail at it.
fn sort_keyed(
    state: &State<'_, '_>,
    mut pairs: Vec<(Value, Value)>,
    reverse: bool,
) -> Outcome<Vec<(Value, Value)>> {
    if pairs.len() < 2 {
        return Ok(pairs);
    }
    let right = pairs.split_off(pairs.len() / 2);
    let mut left = sort_keyed(state, pairs, reverse)?.into_iter().peekable();
    let mut right = sort_keyed(state, right, reverse)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        state.consume_fuel(1)?;
        let (a, b) = if reverse { (a, b) } else { (b, a) };
        let next = match order(state, a, b)? {
            Some(Ordering::Less) => right.next(),
            _ => left.next(),
        };
        merged.extend(next);
    }
    merged.extend(left.chain(right));
    Ok(merged)
}

fn length(_: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    match value.len() {
        Some(length) => Ok(Value::from(length)),
        None if value.is_undefined() => Ok(Value::from(0)),
        None => Err(fail(format!("{} has no length", value.kind()))),
    }
}

fn first(_: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    if value.is_none() {
        return Err(fail("'NoneType' object is not iterable"));
    }
    Ok(value.try_iter()?.checked().next().transpose()?.unwrap_or(Value::UNDEFINED))
}

fn last(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    if is_generator(value) {
        return Err(fail("a generator cannot be reversed: use `list` before `last`"));
    }
    Ok(items(state, value)?.pop().unwrap_or(Value::UNDEFINED))
}

fn reverse(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    if let Some(text) = value.as_str() {
        return Ok(markup::like(value, text.chars().rev().collect::<String>()));
    }
    let mut items = items(state, value)?;
    items.reverse();
    Ok(generator(items))
}

fn pairs(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
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
    let mut keyed = Vec::new();
    for pair in methods::pairs(value, items(state, value)?)? {
        let key = pair.get_item_by_index(place)?;
        keyed.push((folded(key, case_sensitive.as_ref()), pair));
    }
    let keyed = sort_keyed(state, keyed, reversed(reverse)?)?;
    list(keyed.into_iter().map(|(_, pair)| pair).collect())
}

fn sorted(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [reverse, case_sensitive, paths] = bind(args, ["reverse", "case_sensitive", "attribute"])?;
    let mut keyed = Vec::new();
    for item in items(state, value)? {
        // Several attributes may be given: "age,name".
        let keys = match given(paths.clone()).as_ref().map(|paths| (paths, paths.as_str())) {
            None => vec![item.clone()],
            Some((_, Some(paths))) => paths
                .split(',')
                .map(|path| attribute(&item, &Value::from(path), None))
                .collect::<Outcome<_>>()?,
            Some((index, None)) => vec![attribute(&item, index, None)?],
        };
        let keys = keys.into_iter().map(|key| folded(key, case_sensitive.as_ref())).collect();
        keyed.push((list(keys)?, item));
    }
    let keyed = sort_keyed(state, keyed, reversed(reverse)?)?;
    list(keyed.into_iter().map(|(_, item)| item).collect())
}

fn unique(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [case_sensitive, path] = bind(args, ["case_sensitive", "attribute"])?;
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for item in items(state, value)? {
        let key = folded(keyed_by(&item, path.as_ref())?, case_sensitive.as_ref());
        if matches!(key.kind(), ValueKind::Map | ValueKind::Seq) && !key.is_tuple() {
            return Err(fail("unique: lists and dicts cannot be told apart"));
        }
        charge(state, &key)?;
        if seen.insert(key) {
            kept.push(item);
        }
    }
    Ok(generator(kept))
}

fn extreme(
    state: &State<'_, '_>,
    value: &Value,
    args: &[Value],
    wanted: Ordering,
) -> Outcome<Value> {
    let [case_sensitive, path] = bind(args, ["case_sensitive", "attribute"])?;
    let mut best: Option<(Value, Value)> = None;
    for item in items(state, value)? {
        let key = folded(keyed_by(&item, path.as_ref())?, case_sensitive.as_ref());
        let better = match &best {
            None => true,
            Some((known, _)) => order(state, &key, known)? == Some(wanted),
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

fn sum(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [path, start] = bind(args, ["attribute", "start"])?;
    let path = given(path);
    let mut all = vec![start.unwrap_or_else(|| Value::from(0))];
    for item in items(state, value)? {
        all.push(keyed_by(&item, path.as_ref())?);
    }
    operators::sum(state, &all)
}

fn groupby(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [path, default, case_sensitive] = bind(args, ["attribute", "default", "case_sensitive"])?;
    let path = required(path, "attribute")?;
    let mut keyed = Vec::new();
    for item in items(state, value)? {
        let key = attribute(&item, &path, default.as_ref())?;
        keyed.push((folded(key, case_sensitive.as_ref()), item));
    }
    let keyed = sort_keyed(state, keyed, false)?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for (key, item) in keyed {
        match groups.last_mut() {
            Some((known, group)) if operators::compare(state, known, "==", &key)? => {
                group.push(item);
            }
            _ => groups.push((key, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(key, group)| {
        // The name of a group is that of its first item, in its own case.
        let grouper = match group.first() {
            Some(item) => attribute(item, &path, default.as_ref())?,
            None => key,
        };
        Ok(Value::from_object(Group { grouper, list: list(group)? }))
    });
    list(groups.collect::<Outcome<_>>()?)
}

fn join(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [between, path] = bind(args, ["d", "attribute"])?;
    let between =
        between.map_or_else(|| Ok(String::new()), |between| text::str(state, &between))?;
    let mut joined = String::new();
    for (index, item) in items(state, value)?.into_iter().enumerate() {
        let item = text::str(state, &keyed_by(&item, path.as_ref())?)?;
        reserve(state, between.len())?;
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
                // Text that a filter made: the engine does not see it.
                if item.as_str().is_some() {
                    state.consume_fuel(weight(state, item)?)?;
                }
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
        let tested = keyed_by(&item, path)?;
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

fn keyed_by(item: &Value, path: Option<&Value>) -> Outcome<Value> {
    path.map_or_else(|| Ok(item.clone()), |path| attribute(item, path, None))
}

/// Text in lower case, unless case matters.
fn folded(key: Value, case_sensitive: Option<&Value>) -> Value {
    match key.as_str() {
        Some(text) if !flag(case_sensitive) => Value::from(text.to_lowercase()),
        _ => key,
    }
}

/// `sorted(reverse=…)`, which wants a number or a flag.
fn reversed(reverse: Option<Value>) -> Outcome<bool> {
    reverse.map_or(Ok(false), |reverse| integer(&reverse).map(|reverse| reverse != 0))
}

/// `value.a.0.b` by the path `"a.0.b"`.
fn attribute(value: &Value, path: &Value, default: Option<&Value>) -> Outcome<Value> {
    if path.is_none() {
        return Ok(value.clone());
    }
    let or_default = |found: Value| match default {
        Some(default) if found.is_undefined() => default.clone(),
        _ => found,
    };
    let Some(path) = path.as_str() else { return value.get_item(path).map(or_default) };
    let mut value = value.clone();
    for part in path.split('.') {
        let key = match part.parse::<usize>() {
            Ok(index) => Value::from(index),
            Err(_) => Value::from(part),
        };
        value = or_default(value.get_item(&key)?);
    }
    Ok(value)
}

/// What `groupby` makes: a pair whose members have names.
#[derive(Debug)]
struct Group {
    grouper: Value,
    list: Value,
}

/// Whether the value is one of what `groupby` makes.
pub(super) fn is_group(value: &Value) -> bool {
    value.downcast_object_ref::<Group>().is_some()
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_usize(), key.as_str()) {
            (Some(0), _) | (_, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1), _) | (_, Some("list")) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}
