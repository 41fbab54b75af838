//! Jinja's tests (`value is name`), with Python's ideas of what is what.

use minijinja::tests::{is_filter, is_test};
use minijinja::value::ValueKind;
use minijinja::{Environment, State, Value};

use super::operators::{compare, modulo};
use super::value::is_generator;
use super::views::is_view;
use super::{Outcome, strings, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    let is_string = |value: &Value| value.kind() == ValueKind::String;
    environment.add_test("string", move |value: &Value| is_string(value));
    environment.add_test("mapping", |value: &Value| value.kind() == ValueKind::Map);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok() || is_generator(value)
    });
    environment.add_test("callable", |value: &Value| {
        matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)
    });
    environment.add_test("true", |value: &Value| is_bool(value, true));
    environment.add_test("false", |value: &Value| is_bool(value, false));
    environment.add_test("boolean", |value: &Value| value.kind() == ValueKind::Bool);
    environment.add_test("number", |value: &Value| {
        matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
    });
    environment.add_test("integer", |value: &Value| value.is_integer());
    environment.add_test("float", |value: &Value| {
        value.kind() == ValueKind::Number && !value.is_integer()
    });
    for (name, method) in [("lower", "islower"), ("upper", "isupper")] {
        environment.add_test(name, move |state: &State<'_, '_>, value: &Value| -> Outcome<bool> {
            Ok(strings::asked(&text::str(state, value)?, method).unwrap_or_default())
        });
    }
    environment.add_test("escaped", |value: &Value| value.is_safe());
    for (operator, names) in [
        ("==", ["==", "eq", "equalto"]),
        ("!=", ["!=", "ne", "ne"]),
        ("<", ["<", "lt", "lessthan"]),
        ("<=", ["<=", "le", "le"]),
        (">", [">", "gt", "greaterthan"]),
        (">=", [">=", "ge", "ge"]),
        ("in", ["in", "in", "in"]),
    ] {
        for name in names {
            environment.add_test(name, move |state: &State<'_, '_>, a: &Value, b: &Value| {
                compare(state, a, operator, b)
            });
        }
    }
    let divided = |state: &mut State<'_, '_>, value: &Value, by: Value, rest: i64| {
        let rest = Value::from(rest);
        modulo(state, value.clone(), by).and_then(|found| compare(state, &found, "==", &rest))
    };
    environment.add_test("odd", move |state: &mut State<'_, '_>, value: Value| {
        divided(state, &value, Value::from(2), 1)
    });
    environment.add_test("even", move |state: &mut State<'_, '_>, value: Value| {
        divided(state, &value, Value::from(2), 0)
    });
    environment
        .add_test("divisibleby", move |state: &mut State<'_, '_>, value: Value, by: Value| {
            divided(state, &value, by, 0)
        });
    environment.add_test("sameas", |state: &State<'_, '_>, a: &Value, b: &Value| {
        // Equal numbers, texts and constants are the same object in Python, as long as they are
        // small; of containers nobody can tell.
        let alike = a.kind() == b.kind() && a.is_integer() == b.is_integer();
        Ok::<_, minijinja::Error>(alike && compare(state, a, "==", b)?)
    });
    environment.add_test("filter", |state: &State<'_, '_>, value: &Value| {
        value.as_str().is_some_and(|name| is_filter(state, name))
    });
    environment.add_test("test", |state: &State<'_, '_>, value: &Value| {
        value.as_str().is_some_and(|name| is_test(state, name))
    });
    for name in ["startingwith", "endingwith", "int", "safe"] {
        environment.remove_test(name);
    }
}

/// Whatever Python can index and tell the length of.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined => true,
        ValueKind::Iterable => value.len().is_some() && !is_view(value),
        _ => false,
    }
}

fn is_bool(value: &Value, expected: bool) -> bool {
    value.kind() == ValueKind::Bool && value.is_true() == expected
}
