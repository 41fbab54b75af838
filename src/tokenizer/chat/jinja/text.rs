//! Python's `str` and `repr`.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::sequences::is_group;
use super::value::{MAX_DEPTH, is_namespace, reserve};
use super::views::is_view;
use super::{MAX_OUTPUT, Outcome, fail, unicode};

/// `str(value)`, paid for.
pub(super) fn str(state: &State<'_, '_>, value: &Value) -> Outcome<String> {
    let text = match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        _ => repr(value)?,
    };
    reserve(state, text.len())?;
    Ok(text)
}

/// `repr(value)`.
pub(super) fn repr(value: &Value) -> Outcome<String> {
    let mut out = String::new();
    write_repr(&mut out, value, 0)?;
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value, depth: usize) -> Outcome<()> {
    if depth > MAX_DEPTH || out.len() > MAX_OUTPUT {
        return Err(fail("the value is too large to be printed"));
    }
    let depth = depth + 1;
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String if value.is_safe() => {
            out.push_str("Markup(");
            quote(out, value.as_str().unwrap_or_default());
            out.push(')');
        }
        ValueKind::String => quote(out, value.as_str().unwrap_or_default()),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if !value.is_integer() => out.push_str(&float(number)),
            _ => write!(out, "{value}")?,
        },
        ValueKind::Map => {
            let is_namespace = is_namespace(value);
            out.push_str(if is_namespace { "<Namespace {" } else { "{" });
            for (index, key) in value.try_iter()?.checked().enumerate() {
                let key = key?;
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &key, depth)?;
                out.push_str(": ");
                write_repr(out, &value.get_item(&key)?, depth)?;
            }
            out.push_str(if is_namespace { "}>" } else { "}" });
        }
        ValueKind::Seq | ValueKind::Iterable if is_view(value) => write!(out, "{value}")?,
        // What cannot tell its length is a generator: printing must not use it up.
        ValueKind::Seq | ValueKind::Iterable if value.len().is_some() => {
            let is_tuple = value.is_tuple() || is_group(value);
            let (open, close) = if is_tuple { ('(', ')') } else { ('[', ']') };
            out.push(open);
            for (index, item) in value.try_iter()?.checked().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &item?, depth)?;
            }
            if value.is_tuple() && value.len() == Some(1) {
                out.push(',');
            }
            out.push(close);
        }
        // None, True and False, and objects of the engine.
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

/// `repr` of a float: the shortest text that reads back as the same number.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust switches to exponents where Python does, and writes them without sign and padding.
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            let digits = digits.strip_suffix(".0").unwrap_or(digits);
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// `repr` of text.
fn quote(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if char == quote => out.extend(['\\', quote]),
            _ if is_printable(char) => out.push(char),
            _ => escape(out, char),
        }
    }
    out.push(quote);
}

/// Python's `str.isprintable`. The standard library has the same table, but shows it only in how
/// it escapes; combining characters are escaped at the beginning only.
pub(super) fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return !char.is_ascii_control();
    }
    let mut bytes = [b'a'; 5];
    let length = char.encode_utf8(&mut bytes[1..]).len();
    let text = std::str::from_utf8(&bytes[..=length]).unwrap_or_default();
    text.escape_debug().nth(1) != Some('\\')
}

/// Python's `str.isspace` of a character.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\x1c'..='\x1f').contains(&char)
}

/// `text.strip()`.
pub(in crate::tokenizer::chat) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text.rstrip()`.
pub(in crate::tokenizer::chat) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// `text.splitlines(keepends)`.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_break = |char: char| {
        matches!(
            char,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find(is_break) {
        let broken = &rest[place..];
        let width = match broken.starts_with("\r\n") {
            true => 2,
            false => broken.chars().next().map_or(1, char::len_utf8),
        };
        lines.push(&rest[..if keep_ends { place + width } else { place }]);
        rest = &rest[place + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// `text.capitalize()`.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    // A sigma in the end is one in the end of the whole text.
    let lower = text.to_lowercase();
    let rest = lower.chars().skip(first.to_lowercase().count());
    unicode::titled(first).chars().chain(rest).collect()
}

/// `ascii(value)`: as [`repr`], with escapes for all but ASCII.
pub(super) fn ascii(value: &Value) -> Outcome<String> {
    let mut out = String::new();
    for char in repr(value)?.chars() {
        match char.is_ascii() {
            true => out.push(char),
            false => escape(&mut out, char),
        }
    }
    Ok(out)
}

fn escape(out: &mut String, char: char) {
    let code = u32::from(char);
    // Writing to a string does not fail.
    let _ = match code {
        0..=0xFF => write!(out, "\\x{code:02x}"),
        0x100..=0xFFFF => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    // Expected values are what Python 3.11 prints.
    #[test]
    fn floats() {
        for (number, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (1e-4, "0.0001"),
            (-2.5e300, "-2.5e+300"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(number), expected);
        }
    }

    #[test]
    fn quotes() {
        for (text, expected) in [
            ("it's", "\"it's\""),
            ("'\"", "'\\'\"'"),
            (
                "é\u{301}😀\u{200d}\u{a0}\u{7f}\u{ad}\u{feff}\u{e000}",
                "'é\u{301}😀\\u200d\\xa0\\x7f\\xad\\ufeff\\ue000'",
            ),
            ("\u{10ffff}\n\\", "'\\U0010ffff\\n\\\\'"),
        ] {
            assert_eq!(repr(&Value::from(text)).unwrap(), expected);
        }
    }

    #[test]
    fn split_lines() {
        assert_eq!(lines("a\r\nb\n\nc\u{2028}", false), ["a", "b", "", "c"]);
        assert_eq!(lines("a\r\nb\rc", true), ["a\r\n", "b\r", "c"]);
        assert!(lines("", false).is_empty());
    }
}
