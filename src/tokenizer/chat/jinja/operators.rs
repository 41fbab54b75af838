//! The functions that [`tag`] puts for operators and statements.

use std::cmp::Ordering;

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Environment, State, Value};

use super::arguments::string;
use super::percent::percent;
use super::value::{
    attribute, built, charge, is_generator, is_namespace, items, iterated, list, reserve, weight,
};
use super::views::{is_range, is_view, shown};
use super::{Outcome, bytes, fail, markup, tag, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment
        .add_function(tag::VALUE, |state: &mut State<'_, '_>, value: Value| built(state, value));
    environment.add_function(tag::ATTRIBUTE, |state: &mut State<'_, '_>, value: Value| {
        attribute(state, value)
    });
    environment.add_function(tag::COMPARE, |state: &mut State<'_, '_>, all: Rest<Value>| {
        compare_all(state, &all)
    });
    environment.add_function(tag::ITERATE, |state: &mut State<'_, '_>, value: Value| {
        iterated(state, &value)
    });
    environment
        .add_function(tag::ADD, |state: &mut State<'_, '_>, all: Rest<Value>| sum(state, &all));
    environment.add_function(tag::CONCATENATE, |state: &mut State<'_, '_>, all: Rest<Value>| {
        concatenated(state, &all)
    });
    environment.add_function(tag::MODULO, |state: &mut State<'_, '_>, a: Value, b: Value| {
        modulo(state, a, b)
    });
    environment.add_function(tag::CHARGED, |state: &mut State<'_, '_>, all: Rest<Value>| {
        let all = Value::from(Tuple::from(all.0));
        charge(state, &all).map(|()| all)
    });
}

/// `a < b == c`: values and the operators between them.
fn compare_all(state: &State<'_, '_>, all: &[Value]) -> Outcome<bool> {
    for place in (0..all.len().saturating_sub(2)).step_by(2) {
        if !compare(state, &all[place], string(&all[place + 1])?, &all[place + 2])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A comparison by its operator, paid for.
pub(super) fn compare(
    state: &State<'_, '_>,
    a: &Value,
    operator: &str,
    b: &Value,
) -> Outcome<bool> {
    match operator {
        "==" => equal(state, a, b),
        "!=" => equal(state, a, b).map(|equal| !equal),
        "in" => contains(state, b, a),
        "not in" => contains(state, b, a).map(|found| !found),
        "<" => Ok(order(state, a, b)? == Some(Ordering::Less)),
        "<=" => Ok(matches!(order(state, a, b)?, Some(Ordering::Less | Ordering::Equal))),
        ">" => Ok(order(state, a, b)? == Some(Ordering::Greater)),
        _ => Ok(matches!(order(state, a, b)?, Some(Ordering::Greater | Ordering::Equal))),
    }
}

fn equal(state: &State<'_, '_>, a: &Value, b: &Value) -> Outcome<bool> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        reserve(state, a.len().min(b.len()))?;
    } else if a.as_object().is_some() && b.as_object().is_some() {
        // Generators are equal to nothing, and not to be used up.
        if is_generator(a) || is_generator(b) || is_range(a) != is_range(b) {
            return Ok(false);
        }
        if let (Some(a), Some(b)) = (shown(a), shown(b)) {
            return equal(state, a, b);
        }
        if shown(a).is_some() || shown(b).is_some() {
            return Ok(false);
        }
        if bytes::of(a).is_some() || bytes::of(b).is_some() {
            return Ok(bytes::of(a) == bytes::of(b));
        }
        state.consume_fuel(weight(state, a)?.min(weight(state, b)?))?;
    }
    Ok(a == b)
}

/// How values are ordered; NaN is not. Python orders values of one kind only.
pub(super) fn order(state: &State<'_, '_>, a: &Value, b: &Value) -> Outcome<Option<Ordering>> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        reserve(state, a.len().min(b.len()))?;
        return Ok(Some(a.cmp(b)));
    }
    match numbers(a, b) {
        Some(Numbers::Whole(a, b)) => return Ok(Some(a.cmp(&b))),
        Some(Numbers::Real(a, b)) => return Ok(a.partial_cmp(&b)),
        None => {}
    }
    if let (Some(a), Some(b)) = (bytes::of(a), bytes::of(b)) {
        return Ok(Some(a.cmp(b)));
    }
    let are_lists = a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq;
    if are_lists && !is_view(a) && !is_view(b) && a.is_tuple() == b.is_tuple() {
        let (a, b) = (items(state, a)?, items(state, b)?);
        for (a, b) in a.iter().zip(&b) {
            if !equal(state, a, b)? {
                return order(state, a, b);
            }
        }
        return Ok(Some(a.len().cmp(&b.len())));
    }
    Err(fail(format!("{} and {} cannot be ordered", a.kind(), b.kind())))
}

fn contains(state: &State<'_, '_>, container: &Value, value: &Value) -> Outcome<bool> {
    match (container.kind(), value.as_str()) {
        (ValueKind::String, Some(part)) => {
            let text = string(container)?;
            reserve(state, text.len())?;
            Ok(text.contains(part))
        }
        (ValueKind::String, None) => Err(fail(format!("{} cannot be in text", value.kind()))),
        (ValueKind::Undefined, _) => Ok(false),
        (ValueKind::Map, _) if is_namespace(container) => {
            Err(fail("nothing can be in a namespace"))
        }
        (ValueKind::Map, _) => {
            if matches!(value.kind(), ValueKind::Map | ValueKind::Seq) && !value.is_tuple() {
                return Err(fail(format!("{} cannot be a key", value.kind())));
            }
            charge(state, value)?;
            Ok(container.as_object().is_some_and(|dict| dict.get_value(value).is_some()))
        }
        (ValueKind::Seq, _) if bytes::of(container).is_some() => {
            bytes::contain(bytes::of(container).unwrap_or_default(), value)
        }
        (ValueKind::Seq | ValueKind::Iterable, _) => {
            for item in container.try_iter()?.checked() {
                state.consume_fuel(1)?;
                if equal(state, &item?, value)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        (kind, _) => Err(fail(format!("nothing can be in {kind}"))),
    }
}

/// `a + b + c`.
pub(super) fn sum(state: &State<'_, '_>, values: &[Value]) -> Outcome<Value> {
    if values.iter().all(|value| value.kind() == ValueKind::String && !value.is_safe()) {
        return concatenated(state, values).map(Value::from);
    }
    let (first, rest) = values.split_first().ok_or_else(|| fail("nothing to add"))?;
    rest.iter().try_fold(first.clone(), |sum, value| added(state, &sum, value))
}

fn added(state: &State<'_, '_>, a: &Value, b: &Value) -> Outcome<Value> {
    let is_list = |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
            && value.len().is_some()
            && !is_view(value)
    };
    if a.kind() == ValueKind::String && b.kind() == ValueKind::String {
        // markupsafe: what is marked as safe makes the other side safe.
        return match a.is_safe() || b.is_safe() {
            true => {
                let both = [markup::escaped(state, a)?, markup::escaped(state, b)?];
                concatenated(state, &both).map(Value::from_safe_string)
            }
            false => concatenated(state, &[a.clone(), b.clone()]).map(Value::from),
        };
    }
    if let (Some(a), Some(b)) = (bytes::of(a), bytes::of(b)) {
        return Ok(bytes::value([a, b].concat()));
    }
    if is_list(a) && is_list(b) && a.is_tuple() == b.is_tuple() {
        let mut joined = items(state, a)?;
        joined.extend(items(state, b)?);
        return match a.is_tuple() {
            true => Ok(Value::from(Tuple::from(joined))),
            false => list(joined),
        };
    }
    match numbers(a, b) {
        Some(Numbers::Whole(a, b)) => {
            let sum = a.checked_add(b).ok_or_else(|| fail("the sum is too large"))?;
            Ok(whole(sum))
        }
        Some(Numbers::Real(a, b)) => Ok(Value::from(a + b)),
        None => {
            Err(fail(format!("unsupported operand types for +: {} and {}", a.kind(), b.kind())))
        }
    }
}

/// `a ~ b ~ c`.
fn concatenated(state: &State<'_, '_>, values: &[Value]) -> Outcome<String> {
    let mut out = String::new();
    for value in values {
        match value.as_str() {
            Some(text) => {
                reserve(state, text.len())?;
                out.push_str(text);
            }
            None => out.push_str(&text::str(state, value)?),
        }
    }
    Ok(out)
}

/// `a % b`: formatting where `a` is text; a tuple is several operands.
pub(super) fn modulo(state: &State<'_, '_>, left: Value, right: Value) -> Outcome<Value> {
    if left.kind() == ValueKind::String {
        return percent(state, &left, &right);
    }
    match numbers(&left, &right) {
        Some(Numbers::Whole(a, b)) => {
            let rest = a.checked_rem(b).ok_or_else(|| fail("integer modulo by zero"))?;
            Ok(whole(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
        }
        Some(Numbers::Real(_, 0.0)) => Err(fail("float modulo by zero")),
        Some(Numbers::Real(a, b)) => Ok(Value::from(match a % b {
            0.0 => 0.0_f64.copysign(b),
            rest if (rest < 0.0) != (b < 0.0) => rest + b,
            rest => rest,
        })),
        None => {
            let (left, right) = (left.kind(), right.kind());
            Err(fail(format!("unsupported operand types for %: {left} and {right}")))
        }
    }
}

enum Numbers {
    Whole(i128, i128),
    Real(f64, f64),
}

fn numbers(a: &Value, b: &Value) -> Option<Numbers> {
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Bool | ValueKind::Number);
    let is_real = |value: &Value| value.kind() == ValueKind::Number && !value.is_integer();
    if !is_number(a) || !is_number(b) {
        return None;
    }
    match is_real(a) || is_real(b) {
        true => Some(Numbers::Real(real(a)?, real(b)?)),
        false => {
            Some(Numbers::Whole(i128::try_from(a.clone()).ok()?, i128::try_from(b.clone()).ok()?))
        }
    }
}

/// A number, or a flag as 0 or 1.
pub(super) fn real(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        _ => f64::try_from(value.clone()).ok(),
    }
}

/// Small integers have one representation.
fn whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}
