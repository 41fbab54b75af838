//! Jinja's tests (`value is name`), with Python's ideas of what is what.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

use super::value::is_generator;
use super::{Outcome, fail};

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
    environment.add_test("lower", |value: &Value| -> Outcome<bool> {
        let text = super::text::str(value)?;
        Ok(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
    });
    environment.add_test("upper", |value: &Value| -> Outcome<bool> {
        let text = super::text::str(value)?;
        Ok(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
    });
    environment.add_test("in", |value: &Value, container: &Value| -> Outcome<bool> {
        match (container.as_str(), value.as_str()) {
            (Some(text), Some(part)) => Ok(text.contains(part)),
            (Some(_), None) => Err(fail("only text can be in text")),
            _ if container.kind() == ValueKind::Map => {
                Ok(container.try_iter()?.any(|key| key == *value))
            }
            _ if container.is_none() => Err(fail("'NoneType' object is not iterable")),
            _ => Ok(container.try_iter()?.any(|item| item == *value)),
        }
    });
    for name in ["startingwith", "endingwith", "int", "safe"] {
        environment.remove_test(name);
    }
}

/// Whatever Python can index and tell the length of.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined => true,
        ValueKind::Iterable => value.len().is_some(),
        _ => false,
    }
}

fn is_bool(value: &Value, expected: bool) -> bool {
    value.kind() == ValueKind::Bool && value.is_true() == expected
}
