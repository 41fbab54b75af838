//! Arguments of filters, methods and functions, bound as Python binds them.

use minijinja::Value;

use super::{Outcome, fail};

/// Binds positional and keyword arguments to names. All may be left out.
pub(super) fn bind<const N: usize>(
    args: &[Value],
    names: [&str; N],
) -> Outcome<[Option<Value>; N]> {
    let (positional, keywords) = match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
        _ => (args, None),
    };
    if positional.len() > N {
        return Err(fail(format!("takes {N} arguments but {} were given", positional.len())));
    }
    let mut bound = [const { None }; N];
    for (slot, value) in bound.iter_mut().zip(positional) {
        *slot = Some(value.clone());
    }
    for key in keywords.map(Value::try_iter).transpose()?.into_iter().flatten() {
        let name = key.as_str().unwrap_or_default();
        let value = keywords.map(|all| all.get_item(&key)).transpose()?;
        match names.iter().position(|known| *known == name) {
            Some(index) if bound[index].is_none() => bound[index] = value,
            Some(_) => return Err(fail(format!("got multiple values for argument {name:?}"))),
            None => return Err(fail(format!("got an unexpected keyword argument {name:?}"))),
        }
    }
    Ok(bound)
}

/// An argument that must be there.
pub(super) fn required(value: Option<Value>, name: &str) -> Outcome<Value> {
    value.ok_or_else(|| fail(format!("missing argument {name:?}")))
}

/// An argument that must be text.
pub(super) fn string(value: &Value) -> Outcome<&str> {
    value.as_str().ok_or_else(|| fail(format!("text is expected, not {}", value.kind())))
}

/// An argument that must be an integer.
pub(super) fn integer(value: &Value) -> Outcome<i64> {
    match value.kind() {
        minijinja::value::ValueKind::Bool => Ok(i64::from(value.is_true())),
        _ if value.is_integer() => value.as_i64().ok_or_else(|| fail("the integer is too large")),
        kind => Err(fail(format!("an integer is expected, not {kind}"))),
    }
}

/// A flag that may be left out.
pub(super) fn flag(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// An argument for which Python's `None` means the same as leaving it out.
pub(super) fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !value.is_none())
}
