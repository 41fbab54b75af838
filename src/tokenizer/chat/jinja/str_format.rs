//! `str.format` and `str.format_map`.

use minijinja::{State, Value};

use super::value::reserve;
use super::{Outcome, fail, markup, spec, text};

/// What the fields of a text are filled with.
pub(super) struct Fields<'a> {
    pub(super) positional: &'a [Value],
    /// Values by name.
    pub(super) named: Option<&'a Value>,
    /// Whether what a field becomes is escaped, as it is in text that is marked as safe.
    pub(super) escaped: bool,
}

/// Fills the fields of a text.
pub(super) fn format(state: &State<'_, '_>, text: &str, fields: &Fields<'_>) -> Outcome<String> {
    Filler { state, fields, numbering: Numbering::Unknown }.fill(text, 3)
}

/// Whether fields are numbered by their place or say their number.
enum Numbering {
    Unknown,
    Automatic(usize),
    Manual,
}

struct Filler<'a> {
    state: &'a State<'a, 'a>,
    fields: &'a Fields<'a>,
    numbering: Numbering,
}

impl Filler<'_> {
    fn fill(&mut self, text: &str, depth: usize) -> Outcome<String> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(fail("Max string recursion exceeded"));
        };
        let mut out = String::new();
        let mut rest = text;
        while let Some(place) = rest.find(['{', '}']) {
            out.push_str(&rest[..place]);
            let (brace, after) = rest[place..].split_at(1);
            if let Some(after) = after.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(fail("Single '}' encountered in format string"));
            }
            let end = closing(after)?;
            let field = self.field(&after[..end], depth)?;
            reserve(self.state, field.len())?;
            out.push_str(&field);
            rest = &after[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    /// `name!conversion:spec`.
    fn field(&mut self, field: &str, depth: usize) -> Outcome<String> {
        let mut in_index = false;
        let end = field.find(|char| {
            in_index = (in_index || char == '[') && char != ']';
            !in_index && matches!(char, '!' | ':')
        });
        let (name, rest) = field.split_at(end.unwrap_or(field.len()));
        let (conversion, spec) = match rest.strip_prefix('!') {
            None => (None, rest.strip_prefix(':').unwrap_or_default()),
            Some(rest) => {
                let mut after = rest.chars();
                let conversion = after.next();
                match (conversion, after.as_str()) {
                    (None, _) => return Err(fail("unmatched '{' in format spec")),
                    (_, "") => (conversion, ""),
                    (_, spec) => match spec.strip_prefix(':') {
                        Some(spec) => (conversion, spec),
                        None => return Err(fail("expected ':' after conversion specifier")),
                    },
                }
            }
        };
        let value = self.value(name)?;
        let value = match conversion {
            None => value,
            Some('s') => Value::from(text::str(self.state, &value)?),
            Some('r') => Value::from(text::repr(&value)?),
            Some('a') => Value::from(text::ascii(&value)?),
            Some(other) => return Err(fail(format!("Unknown conversion specifier {other}"))),
        };
        let spec = self.fill(spec, depth)?;
        let text = spec::format(self.state, &value, &spec)?;
        match self.fields.escaped && !value.is_safe() {
            true => markup::escape(self.state, &text),
            false => Ok(text),
        }
    }

    /// `0.attribute[index]`, where the first part may be a name or missing.
    fn value(&mut self, path: &str) -> Outcome<Value> {
        let end = path.find(['.', '[']).unwrap_or(path.len());
        let (first, mut rest) = path.split_at(end);
        let mut value = self.first(first)?;
        while !rest.is_empty() {
            let (key, after) = match rest.strip_prefix('.') {
                Some(after) => after.split_at(after.find(['.', '[']).unwrap_or(after.len())),
                None => {
                    let inside = rest.strip_prefix('[').ok_or_else(|| {
                        fail("Only '.' or '[' may follow ']' in format field specifier")
                    })?;
                    let closed = inside.split_once(']');
                    closed.ok_or_else(|| fail("Missing ']' in format string"))?
                }
            };
            if key.is_empty() {
                return Err(fail("Empty attribute in format string"));
            }
            value = match (rest.starts_with('['), key.parse::<usize>()) {
                (true, Ok(index)) => value.get_item(&Value::from(index))?,
                (true, Err(_)) => value.get_item(&Value::from(key))?,
                (false, _) => value.get_attr(key)?,
            };
            rest = after;
        }
        Ok(value)
    }

    fn first(&mut self, name: &str) -> Outcome<Value> {
        let index = match (name.parse::<usize>(), name, &self.numbering) {
            (_, "", Numbering::Manual) | (Ok(_), _, Numbering::Automatic(_)) => {
                return Err(fail(
                    "cannot switch between manual field specification and automatic field numbering",
                ));
            }
            (_, "", Numbering::Automatic(next)) => {
                let index = *next;
                self.numbering = Numbering::Automatic(index + 1);
                index
            }
            (_, "", Numbering::Unknown) => {
                self.numbering = Numbering::Automatic(1);
                0
            }
            (Ok(index), ..) => {
                self.numbering = Numbering::Manual;
                index
            }
            (Err(_), name, _) => {
                let found = self.fields.named.map(|named| named.get_item(&Value::from(name)));
                let found = found.transpose()?.filter(|value| !value.is_undefined());
                return found.ok_or_else(|| fail(format!("KeyError: '{name}'")));
            }
        };
        let value = self.fields.positional.get(index).cloned();
        let out_of_range = "Replacement index is out of range for positional args tuple";
        value.ok_or_else(|| fail(out_of_range))
    }
}

/// Where the field that begins here ends.
fn closing(after: &str) -> Outcome<usize> {
    let mut depth = 1;
    for (place, char) in after.char_indices() {
        depth += i32::from(char == '{') - i32::from(char == '}');
        if depth == 0 {
            return Ok(place);
        }
    }
    Err(fail(if after.is_empty() {
        "Single '{' encountered in format string"
    } else {
        "expected '}' before end of string"
    }))
}
