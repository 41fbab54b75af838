//! The `tojson` filter: Python's `json.dumps`.

use std::fmt::Write;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, State, Value};

use super::arguments::{bind, flag, given, integer, required, string};
use super::value::{MAX_DEPTH, is_generator, reserve};
use super::views::is_view;
use super::{Outcome, fail, sequences, text};

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter(
        "tojson",
        |state: &mut State<'_, '_>, value: Value, args: Rest<ValueOrKwargs>| {
            dumps(state, &value, &args.into_values())
        },
    );
}

/// As transformers defines the filter: nothing is escaped for HTML.
fn dumps(state: &State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<String> {
    let [ensure_ascii, indent, separators, sort_keys] =
        bind(args, ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match given(indent) {
        None => None,
        Some(indent) if indent.kind() == ValueKind::String => Some(string(&indent)?.to_owned()),
        Some(width) => match usize::try_from(integer(&width)?.max(0)) {
            Ok(width) if width <= MAX_INDENT => Some(" ".repeat(width)),
            _ => return Err(fail(format!("tojson: an indent of {width} is too wide"))),
        },
    };
    let (between, after_key) = match given(separators) {
        Some(pair) => {
            let part = |index| required(Some(pair.get_item_by_index(index)?), "separators");
            (string(&part(0)?)?.to_owned(), string(&part(1)?)?.to_owned())
        }
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let mut writer = Writer {
        state,
        out: String::new(),
        ensure_ascii: flag(ensure_ascii.as_ref()),
        sort_keys: flag(sort_keys.as_ref()),
        indent,
        between,
        after_key,
        paid: 0,
    };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    state: &'a State<'a, 'a>,
    out: String,
    ensure_ascii: bool,
    sort_keys: bool,
    indent: Option<String>,
    between: String,
    after_key: String,
    paid: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        if depth > MAX_DEPTH {
            return Err(fail("tojson: the value is nested too deeply"));
        }
        reserve(self.state, self.out.len().saturating_sub(self.paid))?;
        self.paid = self.out.len();
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)?),
            ValueKind::String => self.string(string(value)?),
            ValueKind::Seq | ValueKind::Iterable
                if value.len().is_some() && !is_generator(value) && !is_view(value) =>
            {
                self.array(value, depth)?;
            }
            ValueKind::Map => self.object(value, depth)?,
            kind => return Err(fail(format!("tojson: {kind} is not JSON serializable"))),
        }
        Ok(())
    }

    fn array(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        self.out.push('[');
        let mut empty = true;
        for item in value.try_iter()?.checked() {
            self.separate(empty, depth + 1);
            empty = false;
            self.value(&item?, depth + 1)?;
        }
        self.close(']', empty, depth);
        Ok(())
    }

    fn object(&mut self, value: &Value, depth: usize) -> Outcome<()> {
        let mut keys: Vec<Value> = value.try_iter()?.checked().collect::<Outcome<_>>()?;
        if self.sort_keys {
            sequences::sort(self.state, &mut keys)?;
        }
        self.out.push('{');
        for (index, key) in keys.iter().enumerate() {
            self.separate(index == 0, depth + 1);
            match key.kind() {
                ValueKind::String => self.string(string(key)?),
                ValueKind::None => self.out.push_str("\"null\""),
                ValueKind::Bool => {
                    self.out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" });
                }
                ValueKind::Number => self.string(&number(key)?),
                kind => return Err(fail(format!("tojson: a key cannot be {kind}"))),
            }
            self.out.push_str(&self.after_key);
            self.value(&value.get_item(key)?, depth + 1)?;
        }
        self.close('}', keys.is_empty(), depth);
        Ok(())
    }

    fn separate(&mut self, first: bool, depth: usize) {
        if !first {
            self.out.push_str(&self.between);
        }
        self.new_line(depth);
    }

    fn close(&mut self, bracket: char, empty: bool, depth: usize) {
        if !empty {
            self.new_line(depth);
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(indent.as_str(), depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                '\0'..='\x1f' => self.escape(char),
                ' '..='~' => self.out.push(char),
                _ if self.ensure_ascii => self.escape(char),
                _ => self.out.push(char),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, char: char) {
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }
}

fn number(value: &Value) -> Outcome<String> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    Ok(match number {
        _ if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ => text::float(number),
    })
}

const MAX_INDENT: usize = 1000;
