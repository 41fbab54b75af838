//! Methods and attributes of Python's numbers.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::{bind, flag, integer, string};
use super::{Outcome, bytes, fail};

/// Attributes and methods that numbers have.
pub(super) const MEMBERS: &[&str] = &[
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "denominator",
    "hex",
    "imag",
    "is_integer",
    "numerator",
    "real",
    "to_bytes",
];

/// Calls a method of a number or a flag.
pub(super) fn method(value: &Value, name: &str, args: &[Value]) -> Outcome<Value> {
    if !has_method(value, name) {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    match whole(value) {
        Some(number) if name == "to_bytes" => to_bytes(number, args),
        Some(number) => {
            let [] = bind(args, [])?;
            Ok(match name {
                "bit_length" => Value::from(128 - number.unsigned_abs().leading_zeros()),
                "bit_count" => Value::from(number.unsigned_abs().count_ones()),
                "as_integer_ratio" => ratio(number, 1),
                _ => small(number),
            })
        }
        None => {
            let [] = bind(args, [])?;
            let number = f64::try_from(value.clone())?;
            match name {
                "is_integer" => Ok(Value::from(number.fract() == 0.0)),
                "hex" => Ok(Value::from(hex(number))),
                "as_integer_ratio" => fraction(number),
                _ => Ok(value.clone()),
            }
        }
    }
}

/// Whether numbers of that type have a method of the name.
pub(super) fn has_method(value: &Value, name: &str) -> bool {
    match (name, is_whole(value)) {
        ("as_integer_ratio" | "conjugate", _) => true,
        ("bit_count" | "bit_length" | "to_bytes", whole) => whole,
        ("hex" | "is_integer", whole) => !whole,
        _ => false,
    }
}

/// An attribute that is no method.
pub(super) fn attribute(value: &Value, name: &str) -> Option<Value> {
    let number = whole(value);
    match (name, number) {
        ("real" | "numerator", Some(number)) => Some(small(number)),
        ("imag", Some(_)) => Some(Value::from(0)),
        ("denominator", Some(_)) => Some(Value::from(1)),
        ("real", None) => Some(value.clone()),
        ("imag", None) => Some(Value::from(0.0)),
        _ => None,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_integer() || value.kind() == ValueKind::Bool
}

fn whole(value: &Value) -> Option<i128> {
    match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        _ if value.is_integer() => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// Small integers have one representation.
fn small(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

fn ratio(above: i128, below: i128) -> Value {
    Value::from(Tuple::from([small(above), small(below)]))
}

fn to_bytes(number: i128, args: &[Value]) -> Outcome<Value> {
    let [length, order, signed] = bind(args, ["length", "byteorder", "signed"])?;
    let length = length.map_or(Ok(1), |length| integer(&length))?;
    let order = order.unwrap_or_else(|| Value::from("big"));
    let signed = flag(signed.as_ref());
    let length =
        usize::try_from(length).map_err(|_| fail("length argument must be non-negative"))?;
    if number < 0 && !signed {
        return Err(fail("can't convert negative int to unsigned"));
    }
    let bits = length.saturating_mul(8).saturating_sub(usize::from(signed));
    let magnitude = if number < 0 { !number } else { number };
    if (128 - magnitude.leading_zeros()) as usize > bits {
        return Err(fail("int too big to convert"));
    }
    if length > MAX_BYTES {
        return Err(fail(format!(
            "to_bytes: {length} bytes are too many, {MAX_BYTES} are the limit"
        )));
    }
    let fill = if number < 0 { 0xFF } else { 0 };
    let mut little: Vec<u8> = number.to_le_bytes().into_iter().take(length).collect();
    little.resize(length, fill);
    match string(&order)? {
        "little" => Ok(bytes::value(little)),
        "big" => Ok(bytes::value(little.into_iter().rev().collect())),
        _ => Err(fail("byteorder must be either 'little' or 'big'")),
    }
}

/// The parts of a number that is finite: its sign, and `mantissa * 2 ** exponent`.
fn parts(number: f64) -> (bool, u64, i32) {
    let bits = number.to_bits();
    let stored = ((bits >> 52) & 0x7FF) as i32;
    let fraction = bits & ((1 << 52) - 1);
    match stored {
        0 => (bits >> 63 == 1, fraction, -1074),
        _ => (bits >> 63 == 1, fraction | 1 << 52, stored - 1075),
    }
}

/// `float.hex`.
fn hex(number: f64) -> String {
    if !number.is_finite() {
        return super::text::float(number);
    }
    let (negative, mantissa, exponent) = parts(number);
    let sign = if negative { "-" } else { "" };
    if mantissa == 0 {
        return format!("{sign}0x0.0p+0");
    }
    let (leading, fraction) = (mantissa >> 52, mantissa & ((1 << 52) - 1));
    format!("{sign}0x{leading}.{fraction:013x}p{:+}", exponent + 52)
}

/// `float.as_integer_ratio`.
fn fraction(number: f64) -> Outcome<Value> {
    if !number.is_finite() {
        return Err(fail("cannot convert NaN or Infinity to integer ratio"));
    }
    let (negative, mantissa, exponent) = parts(number);
    let shift = if mantissa == 0 { 0 } else { mantissa.trailing_zeros() };
    let (mantissa, exponent) = match mantissa {
        0 => (0, 0),
        _ => (i128::from(mantissa >> shift), exponent + shift as i32),
    };
    let mantissa = if negative { -mantissa } else { mantissa };
    let power = |exponent: u32| 1_i128.checked_shl(exponent).filter(|power| *power > 0);
    let parts = match u32::try_from(exponent) {
        Ok(exponent) => power(exponent).and_then(|power| Some((mantissa.checked_mul(power)?, 1))),
        Err(_) => power(exponent.unsigned_abs()).map(|power| (mantissa, power)),
    };
    let (above, below) = parts.ok_or_else(|| fail("the integers of the ratio are too large"))?;
    Ok(ratio(above, below))
}

/// What `to_bytes` makes at most.
const MAX_BYTES: usize = 1 << 16;
