//! Python's `bytes`, which templates get from `str.encode`.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::{bind, string};
use super::{Outcome, fail};

/// Bytes are numbers in a row. The engine's own are taken for text where they are UTF-8.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Object for Bytes {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).map(|&byte| Value::from(byte))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        quote(&mut text, &self.0);
        f.write_str(&text)
    }
}

pub(super) fn value(bytes: Vec<u8>) -> Value {
    Value::from_object(Bytes(bytes))
}

/// The bytes that a value is.
pub(super) fn of(value: &Value) -> Option<&[u8]> {
    value.downcast_object_ref::<Bytes>().map(|bytes| bytes.0.as_slice())
}

/// Whether bytes hold others, or one of a number.
pub(super) fn contain(bytes: &[u8], wanted: &Value) -> Outcome<bool> {
    match (of(wanted), wanted.as_i64()) {
        (Some(wanted), _) => {
            let found = wanted.is_empty() || bytes.windows(wanted.len()).any(|part| part == wanted);
            Ok(found)
        }
        (None, Some(number)) => match u8::try_from(number) {
            Ok(byte) => Ok(bytes.contains(&byte)),
            Err(_) => Err(fail("byte must be in range(0, 256)")),
        },
        _ => Err(fail(format!("{} cannot be in bytes", wanted.kind()))),
    }
}

/// `str.encode`.
pub(super) fn encode(text: &str, encoding: Option<Value>, errors: Option<Value>) -> Outcome<Value> {
    let last = match codec(encoding)? {
        Codec::Utf8 => return Ok(value(text.as_bytes().to_vec())),
        Codec::Latin1 => '\u{ff}',
        Codec::Ascii => '\u{7f}',
    };
    let errors = errors.unwrap_or_else(|| Value::from("strict"));
    let errors = string(&errors)?;
    let mut bytes = Vec::with_capacity(text.len());
    for char in text.chars() {
        match (u8::try_from(u32::from(char)), errors) {
            (Ok(byte), _) if char <= last => bytes.push(byte),
            (_, "ignore") => {}
            (_, "replace") => bytes.push(b'?'),
            _ => return Err(fail(format!("{char:?} cannot be encoded"))),
        }
    }
    Ok(value(bytes))
}

/// Methods of `bytes`.
pub(super) fn method(bytes: &[u8], name: &str, args: &[Value]) -> Outcome<Value> {
    match name {
        "decode" => {
            let [encoding, errors] = bind(args, ["encoding", "errors"])?;
            let errors = errors.unwrap_or_else(|| Value::from("strict"));
            let errors = string(&errors)?;
            let text = match codec(encoding)? {
                Codec::Latin1 => bytes.iter().copied().map(char::from).collect(),
                Codec::Ascii if !bytes.is_ascii() => return Err(fail("these bytes are not ASCII")),
                _ => match (std::str::from_utf8(bytes), errors) {
                    (Ok(text), _) => text.to_owned(),
                    (Err(_), "replace") => String::from_utf8_lossy(bytes).into_owned(),
                    (Err(error), _) => return Err(fail(error.to_string())),
                },
            };
            Ok(Value::from(text))
        }
        "hex" => {
            let [] = bind(args, [])?;
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            Ok(Value::from(digits.collect::<String>()))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// `repr` of bytes.
fn quote(out: &mut String, bytes: &[u8]) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.extend(['b', quote]);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if char::from(byte) == quote => out.extend(['\\', quote]),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
}

enum Codec {
    Ascii,
    Latin1,
    Utf8,
}

fn codec(encoding: Option<Value>) -> Outcome<Codec> {
    let encoding = encoding.unwrap_or_else(|| Value::from("utf-8"));
    let name = string(&encoding)?;
    match name.to_lowercase().replace(['-', '_'], "").as_str() {
        "utf8" => Ok(Codec::Utf8),
        "ascii" | "usascii" => Ok(Codec::Ascii),
        "latin1" | "iso88591" => Ok(Codec::Latin1),
        _ => Err(fail(format!("the encoding {name:?} is not known; utf-8, ascii and latin-1 are"))),
    }
}
