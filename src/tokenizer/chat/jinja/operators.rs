//! The functions that [`source`] puts for operators and statements.

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Environment, State, Value};

use super::value::{assigned, items, iterated, list, reserve};
use super::{Outcome, fail, filters, source, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_function(source::VALUE, |state: &mut State<'_, '_>, value: Value| {
        assigned(state, value)
    });
    environment.add_function(source::ITERATE, |state: &mut State<'_, '_>, value: Value| {
        iterated(state, &value)
    });
    environment
        .add_function(source::ADD, |state: &mut State<'_, '_>, all: Rest<Value>| sum(state, &all));
    environment.add_function(source::CONCATENATE, |state: &mut State<'_, '_>, all: Rest<Value>| {
        concatenated(state, &all)
    });
    environment.add_function(source::MODULO, modulo);
}

/// `a + b + c`.
fn sum(state: &State<'_, '_>, values: &[Value]) -> Outcome<Value> {
    if values.iter().all(|value| value.kind() == ValueKind::String && !value.is_safe()) {
        return concatenated(state, values).map(Value::from);
    }
    let (first, rest) = values.split_first().ok_or_else(|| fail("nothing to add"))?;
    rest.iter().try_fold(first.clone(), |sum, value| added(state, &sum, value))
}

fn added(state: &State<'_, '_>, a: &Value, b: &Value) -> Outcome<Value> {
    let is_list = |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) && value.len().is_some()
    };
    if a.kind() == ValueKind::String && b.kind() == ValueKind::String {
        // markupsafe: what is marked as safe makes the other side safe.
        return match a.is_safe() || b.is_safe() {
            true => {
                let both = [filters::escaped(a)?, filters::escaped(b)?];
                concatenated(state, &both).map(Value::from_safe_string)
            }
            false => concatenated(state, &[a.clone(), b.clone()]).map(Value::from),
        };
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
            None => out.push_str(&text::str(value)?),
        }
    }
    Ok(out)
}

/// `a % b`: formatting where `a` is text; a tuple is several operands.
fn modulo(state: &mut State<'_, '_>, left: Value, right: Value) -> Outcome<Value> {
    if left.kind() == ValueKind::String {
        let mut args = vec![left];
        match right.is_tuple() {
            true => args.extend(right.try_iter()?),
            false => args.push(right),
        }
        return state.apply_filter("format", &args);
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

fn real(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        _ => f64::try_from(value.clone()).ok(),
    }
}

/// Small integers have one representation.
fn whole(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}
