//! Python's `%` formatting of text.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::arguments::{integer, string};
use super::operators::real;
use super::spec::{Spec, based, char_of, number};
use super::value::reserve;
use super::{Outcome, fail, markup, text};

/// `format % operand`: a tuple is several values, a dict or list may be left unused. In text that is
/// marked as safe, what is put in is escaped.
pub(super) fn percent(state: &State<'_, '_>, format: &Value, operand: &Value) -> Outcome<Value> {
    let escaped = format.is_safe();
    let text = filled(state, string(format)?, operand, escaped)?;
    Ok(markup::like(format, text))
}

fn filled(state: &State<'_, '_>, format: &str, operand: &Value, escaped: bool) -> Outcome<String> {
    let mut values = match operand.is_tuple() {
        true => operand.try_iter()?.collect(),
        false => vec![operand.clone()],
    }
    .into_iter();
    let mut next = || values.next().ok_or_else(|| fail("not enough arguments for format string"));
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut is_keyed = false;
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        let mut value = None;
        if chars.next_if_eq(&'(').is_some() {
            if operand.kind() != ValueKind::Map {
                return Err(fail("format requires a mapping"));
            }
            let mut key = String::new();
            let mut depth = 1;
            loop {
                let char = chars.next().ok_or_else(|| fail("incomplete format key"))?;
                depth += i32::from(char == '(') - i32::from(char == ')');
                if depth == 0 {
                    break;
                }
                key.push(char);
            }
            let found = operand.get_item(&Value::from(key.as_str()))?;
            if found.is_undefined() {
                return Err(fail(format!("KeyError: '{key}'")));
            }
            is_keyed = true;
            value = Some(found);
        }
        let mut spec = Spec::default();
        let mut zero = false;
        while let Some(flag) = chars.next_if(|char| "#0- +".contains(*char)) {
            match flag {
                '#' => spec.alternate = true,
                '0' => zero = true,
                '-' => spec.align = Some('<'),
                '+' => spec.sign = Some('+'),
                _ => spec.sign = spec.sign.or(Some(' ')),
            }
        }
        match chars.next_if_eq(&'*') {
            Some(_) => {
                let width = integer(&next()?)?;
                if width < 0 {
                    spec.align = Some('<');
                }
                spec.width = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
            }
            None => spec.width = number(&mut chars)?.unwrap_or(0),
        }
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(match chars.next_if_eq(&'*') {
                Some(_) => usize::try_from(integer(&next()?)?.max(0)).unwrap_or(usize::MAX),
                None => number(&mut chars)?.unwrap_or(0),
            });
        }
        reserve(state, spec.width.saturating_add(spec.precision.unwrap_or(0)))?;
        chars.next_if(|char| "hlL".contains(*char));
        let kind = chars.next().ok_or_else(|| fail("incomplete format"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match value {
            Some(value) => value,
            None => next()?,
        };
        if zero && spec.align.is_none() && !matches!(kind, 's' | 'r' | 'a' | 'c') {
            (spec.fill, spec.align) = (Some('0'), Some('='));
        }
        out.push_str(&converted(state, &value, kind, spec, escaped)?);
    }
    let may_be_unused = is_keyed || matches!(operand.kind(), ValueKind::Map | ValueKind::Seq);
    if values.next().is_some() && (operand.is_tuple() || !may_be_unused) {
        return Err(fail("not all arguments converted during string formatting"));
    }
    Ok(out)
}

fn converted(
    state: &State<'_, '_>,
    value: &Value,
    kind: char,
    spec: Spec,
    escaped: bool,
) -> Outcome<String> {
    let is_number = matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    let is_real = value.kind() == ValueKind::Number && !value.is_integer();
    match kind {
        's' | 'r' | 'a' => {
            let text = match kind {
                's' => text::str(state, value)?,
                'r' => text::repr(value)?,
                _ => text::ascii(value)?,
            };
            let text = match escaped && !(kind == 's' && value.is_safe()) {
                true => markup::escape(state, &text)?,
                false => text,
            };
            let cut: String = text.chars().take(spec.precision.unwrap_or(usize::MAX)).collect();
            spec.padded(state, &cut, '>')
        }
        'c' => {
            let text = match value.as_str() {
                Some(text) if text.chars().count() == 1 => text.to_owned(),
                None if is_number && !is_real => char_of(integer(value)?.into())?.to_string(),
                _ => return Err(fail("%c requires int or char")),
            };
            spec.padded(state, &text, '>')
        }
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
            let wants =
                if matches!(kind, 'd' | 'i' | 'u') { "a real number" } else { "an integer" };
            let number = match value.kind() {
                ValueKind::Bool => i128::from(value.is_true()),
                ValueKind::Number if !is_real => {
                    i128::try_from(value.clone()).map_err(|_| fail("the integer is too large"))?
                }
                ValueKind::Number if wants == "a real number" => {
                    let number = real(value).unwrap_or(f64::NAN);
                    match number.is_finite() && number.abs() < 1e38 {
                        true => number.trunc() as i128,
                        false => return Err(fail("cannot convert float to integer")),
                    }
                }
                found => {
                    return Err(fail(format!("%{kind} format: {wants} is required, not {found}")));
                }
            };
            let (prefix, digits) = based(number.unsigned_abs(), kind);
            let missing = spec.precision.unwrap_or(0).saturating_sub(digits.len());
            let digits = "0".repeat(missing) + &digits;
            let prefix = if spec.alternate { prefix } else { "" };
            Spec { kind: Some('x'), ..spec }.number(state, number < 0, prefix, &digits)
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            let number = real(value).filter(|_| is_number);
            let number = number.ok_or_else(|| fail("must be real number"))?;
            let digits = spec.float(number.abs(), kind);
            let negative = number.is_sign_negative() && !number.is_nan();
            spec.number(state, negative, "", &digits)
        }
        other => Err(fail(format!("unsupported format character '{other}'"))),
    }
}
