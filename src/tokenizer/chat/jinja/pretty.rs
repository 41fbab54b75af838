//! The filter `pprint`: Python's `pprint.pformat`, with its 80 columns.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use super::sequences::{self, is_group};
use super::value::{MAX_DEPTH, is_generator, is_namespace, reserve};
use super::views::is_view;
use super::{MAX_OUTPUT, Outcome, bytes, fail, text};

pub(super) fn printed(state: &State<'_, '_>, value: &Value) -> Outcome<Value> {
    let mut printer = Printer { state, out: String::new() };
    printer.value(value, 0, 0, 0)?;
    Ok(Value::from(printer.out))
}

struct Printer<'a> {
    state: &'a State<'a, 'a>,
    out: String,
}

impl Printer<'_> {
    /// `_format`: what does not fit between the indent and what must follow it goes over several lines.
    fn value(
        &mut self,
        value: &Value,
        indent: usize,
        allowance: usize,
        level: usize,
    ) -> Outcome<()> {
        if level > MAX_DEPTH {
            return Err(fail("pprint: the value is nested too deeply"));
        }
        let line = self.line(value, level)?;
        reserve(self.state, line.len() + indent)?;
        if width(&line) <= (WIDTH.saturating_sub(indent + allowance)) {
            self.out.push_str(&line);
            return Ok(());
        }
        let level = level + 1;
        match shape(value) {
            Shape::Dict => {
                self.out.push('{');
                let entries = self.entries(value)?;
                let last = entries.len().saturating_sub(1);
                for (index, (key, entry)) in entries.iter().enumerate() {
                    self.separate(index, indent + 1);
                    let key = self.line(key, level)?;
                    self.out.push_str(&key);
                    self.out.push_str(": ");
                    let allowance = if index == last { allowance + 1 } else { 1 };
                    self.value(entry, indent + 1 + width(&key) + 2, allowance, level)?;
                }
                self.out.push('}');
            }
            Shape::List => self.items(value, ("[", "]"), indent, allowance, level)?,
            Shape::Tuple => {
                let end = if value.len() == Some(1) { ",)" } else { ")" };
                self.items(value, ("(", end), indent, allowance, level)?;
            }
            shape @ (Shape::Text | Shape::Bytes) => {
                let outer = usize::from(level == 1);
                let (indent, allowance) = (indent + outer, allowance + outer);
                let room = WIDTH.saturating_sub(indent);
                let (chunks, is_cut) = match shape {
                    Shape::Text => {
                        let chunks = self.text(value, room, allowance)?;
                        let is_cut = chunks.len() != 1;
                        (chunks, is_cut)
                    }
                    _ => (byte_chunks(value, room, allowance)?, value.len() > Some(4)),
                };
                self.chunks(&chunks, &line, indent, level == 1 && is_cut);
            }
            Shape::Other => self.out.push_str(&line),
        }
        Ok(())
    }

    fn items(
        &mut self,
        value: &Value,
        (open, close): (&str, &str),
        indent: usize,
        allowance: usize,
        level: usize,
    ) -> Outcome<()> {
        self.out.push_str(open);
        let last = value.len().unwrap_or(0).saturating_sub(1);
        for (index, item) in value.try_iter()?.checked().enumerate() {
            self.separate(index, indent + 1);
            let allowance = if index == last { allowance + close.len() } else { 1 };
            self.value(&item?, indent + 1, allowance, level)?;
        }
        self.out.push_str(close);
        Ok(())
    }

    fn separate(&mut self, index: usize, indent: usize) {
        if index > 0 {
            self.out.push_str(",\n");
            self.out.push_str(&" ".repeat(indent));
        }
    }

    /// `_pprint_str`: text is cut between its words.
    fn text(&self, value: &Value, room: usize, allowance: usize) -> Outcome<Vec<String>> {
        let shorter = room.saturating_sub(allowance);
        let lines = text::lines(value.as_str().unwrap_or_default(), true);
        let mut chunks = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let is_last = index + 1 == lines.len();
            let quoted = text::repr(&Value::from(*line))?;
            if width(&quoted) <= if is_last { shorter } else { room } {
                chunks.push(quoted);
                continue;
            }
            let parts = words(line);
            let mut current = String::new();
            for (place, part) in parts.iter().enumerate() {
                let ends = is_last && place + 1 == parts.len();
                let candidate = text::repr(&Value::from(format!("{current}{part}")))?;
                reserve(self.state, candidate.len())?;
                if width(&candidate) > if ends { shorter } else { room } {
                    if !current.is_empty() {
                        chunks.push(text::repr(&Value::from(current))?);
                    }
                    current = (*part).to_owned();
                } else {
                    current.push_str(part);
                }
            }
            if !current.is_empty() {
                chunks.push(text::repr(&Value::from(current))?);
            }
        }
        Ok(chunks)
    }

    fn chunks(&mut self, chunks: &[String], whole: &str, indent: usize, in_brackets: bool) {
        self.out.push_str(if in_brackets { "(" } else { "" });
        match chunks {
            [_] => self.out.push_str(whole),
            _ => self.out.push_str(&chunks.join(&format!("\n{}", " ".repeat(indent)))),
        }
        self.out.push_str(if in_brackets { ")" } else { "" });
    }

    /// `_safe_repr`: dicts are sorted.
    fn line(&self, value: &Value, depth: usize) -> Outcome<String> {
        if depth > MAX_DEPTH {
            return Err(fail("pprint: the value is nested too deeply"));
        }
        self.state.consume_fuel(1)?;
        let items = || joined(value.try_iter()?.checked().map(|item| self.line(&item?, depth + 1)));
        Ok(match shape(value) {
            Shape::Dict => {
                let entries = self.entries(value)?;
                let entries = entries.iter().map(|(key, value)| {
                    let (key, value) = (self.line(key, depth + 1)?, self.line(value, depth + 1)?);
                    Ok(format!("{key}: {value}"))
                });
                format!("{{{}}}", joined(entries)?)
            }
            Shape::List => format!("[{}]", items()?),
            Shape::Tuple if value.len() == Some(1) => format!("({},)", items()?),
            Shape::Tuple => format!("({})", items()?),
            Shape::Text | Shape::Bytes | Shape::Other => text::repr(value)?,
        })
    }

    /// The entries of a dict by their keys. Python orders keys that have no order by the names of their
    /// types, and so those of one kind come together.
    fn entries(&self, dict: &Value) -> Outcome<Vec<(Value, Value)>> {
        let mut keys: Vec<Value> = dict.try_iter()?.checked().collect::<Outcome<_>>()?;
        self.state.consume_fuel(keys.len() as u64)?;
        keys.sort_by_key(type_name);
        let mut sorted = Vec::with_capacity(keys.len());
        for kind in keys.chunk_by(|a, b| type_name(a) == type_name(b)) {
            let mut kind = kind.to_vec();
            let unsorted = kind.clone();
            // Tuples of different types have no order.
            let has_order = sequences::sort(self.state, &mut kind).is_ok();
            sorted.extend(if has_order { kind } else { unsorted });
        }
        sorted
            .into_iter()
            .map(|key| {
                let value = dict.get_item(&key)?;
                Ok((key, value))
            })
            .collect()
    }
}

/// What `pprint` tells apart.
enum Shape {
    Bytes,
    Dict,
    List,
    Other,
    Text,
    Tuple,
}

fn shape(value: &Value) -> Shape {
    match value.kind() {
        ValueKind::String if !value.is_safe() => Shape::Text,
        ValueKind::Map if !is_namespace(value) => Shape::Dict,
        _ if bytes::of(value).is_some() => Shape::Bytes,
        ValueKind::Seq | ValueKind::Iterable
            if value.len().is_some()
                && !is_view(value)
                && !is_group(value)
                && !is_generator(value) =>
        {
            if value.is_tuple() {
                Shape::Tuple
            } else {
                Shape::List
            }
        }
        _ => Shape::Other,
    }
}

/// The name of a type; that of all numbers, which have an order, is one.
fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "NoneType",
        ValueKind::Bool | ValueKind::Number => "int",
        ValueKind::String => "str",
        ValueKind::Seq if value.is_tuple() => "tuple",
        _ => "object",
    }
}

/// Parts with commas between them, if they are not too long.
fn joined(parts: impl Iterator<Item = Outcome<String>>) -> Outcome<String> {
    let mut joined = String::new();
    for (index, part) in parts.enumerate() {
        joined.push_str(if index > 0 { ", " } else { "" });
        joined.push_str(&part?);
        if joined.len() > MAX_OUTPUT {
            return Err(fail("the value is too large to be printed"));
        }
    }
    Ok(joined)
}

/// `_pprint_bytes`: four at a time.
fn byte_chunks(value: &Value, mut room: usize, allowance: usize) -> Outcome<Vec<String>> {
    let all = bytes::of(value).unwrap_or_default();
    let (mut chunks, mut begin) = (Vec::new(), 0);
    let quoted = |part: &[u8]| text::repr(&bytes::value(part.to_vec()));
    for place in (0..all.len()).step_by(4) {
        let end = all.len().min(place + 4);
        if place == all.len() / 4 * 4 {
            room = room.saturating_sub(allowance);
        }
        if width(&quoted(&all[begin..end])?) > room {
            if begin < place {
                chunks.push(quoted(&all[begin..place])?);
            }
            begin = place;
        }
    }
    if begin < all.len() {
        chunks.push(quoted(&all[begin..])?);
    }
    Ok(chunks)
}

/// Words, each with the space behind it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(text::is_space).unwrap_or(rest.len());
        let space = rest[word..].find(|char| !text::is_space(char));
        let end = space.map_or(rest.len(), |space| word + space);
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}

fn width(text: &str) -> usize {
    text.chars().count()
}

const WIDTH: usize = 80;
