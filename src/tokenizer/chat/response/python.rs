//! Tool calls in Python: `[f(x=1), g(y="a")]`.

use serde_json::{Map, Number, Value};

/// A name and arguments.
pub(super) type Call = (String, Map<String, Value>);

/// Reads calls: a list of them, or one after the other on lines of their own, each maybe in `print(…)`.
/// Arguments must have names and be literals.
pub(super) fn calls(source: &str) -> Result<Vec<Call>, String> {
    let mut reader = Reader { rest: source, depth: 0 };
    let listed = reader.skip("[");
    let mut calls = Vec::new();
    loop {
        if listed && reader.skip("]") {
            break;
        }
        if reader.is_over() {
            break;
        }
        let printed = reader.skip("print(");
        calls.push(reader.call()?);
        if printed {
            reader.need(")")?;
        }
        // On lines of their own, calls need nothing between them.
        if listed && !reader.skip(",") {
            reader.need("]")?;
            break;
        }
        reader.skip(";");
    }
    match (reader.is_over(), calls.is_empty()) {
        (true, false) => Ok(calls),
        (true, true) => Err("there is no call in it".to_owned()),
        (false, _) => Err(reader.unexpected()),
    }
}

/// The value that a text is a literal of.
pub(super) fn literal(source: &str) -> Option<Value> {
    let mut reader = Reader { rest: source, depth: 0 };
    reader.value().ok().filter(|_| reader.is_over())
}

/// Where the bracketed text that begins at `start` ends, once it does. Strings are passed over.
#[derive(Debug, Clone, Default)]
pub(super) struct Extent {
    at: usize,
    depth: usize,
    quote: Option<u8>,
    escaped: bool,
}

impl Extent {
    pub(super) fn new(start: usize) -> Self {
        Self { at: start, ..Self::default() }
    }

    /// Looks at what has come since the last time.
    pub(super) fn advance(&mut self, text: &str) -> Option<usize> {
        while let Some(&byte) = text.as_bytes().get(self.at) {
            self.at += 1;
            match (self.quote, byte) {
                _ if self.escaped => self.escaped = false,
                (Some(_), b'\\') => self.escaped = true,
                (Some(quote), byte) if quote == byte => self.quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => self.quote = Some(byte),
                (None, b'[' | b'(' | b'{') => self.depth += 1,
                (None, b']' | b')' | b'}') => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(self.at);
                    }
                }
                (None, _) => {}
            }
        }
        None
    }
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn call(&mut self) -> Result<Call, String> {
        let mut name = self.identifier()?;
        while self.skip(".") {
            name = format!("{name}.{}", self.identifier()?);
        }
        self.need("(")?;
        let mut arguments = Map::new();
        while !self.skip(")") {
            let argument = self.identifier()?;
            self.need("=")?;
            let value = self.value()?;
            if arguments.insert(argument.clone(), value).is_some() {
                return Err(format!("`{argument}` is given twice"));
            }
            if !self.skip(",") {
                self.need(")")?;
                break;
            }
        }
        Ok((name, arguments))
    }

    fn value(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let value = match self.trimmed().chars().next() {
            Some('[') => self.list("[", "]")?,
            Some('(') => self.list("(", ")")?,
            Some('{') => self.dict()?,
            Some('"' | '\'') => Value::String(self.string()?),
            Some('-' | '+' | '.' | '0'..='9') => Value::Number(self.number()?),
            _ => match self.identifier()?.as_str() {
                "True" | "true" => Value::Bool(true),
                "False" | "false" => Value::Bool(false),
                "None" | "null" => Value::Null,
                other => return Err(format!("`{other}` is no literal")),
            },
        };
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self, open: &str, close: &str) -> Result<Value, String> {
        self.need(open)?;
        let mut items = Vec::new();
        let mut commas = 0;
        while !self.skip(close) {
            items.push(self.value()?);
            if !self.skip(",") {
                self.need(close)?;
                break;
            }
            commas += 1;
        }
        // `(1)` is no tuple.
        match items.pop_if(|_| open == "(" && commas == 0) {
            Some(item) => Ok(item),
            None => Ok(Value::Array(items)),
        }
    }

    fn dict(&mut self) -> Result<Value, String> {
        self.need("{")?;
        let mut fields = Map::new();
        while !self.skip("}") {
            let key = match self.value()? {
                Value::String(key) => key,
                key @ (Value::Number(_) | Value::Bool(_) | Value::Null) => key.to_string(),
                _ => return Err("a list or dict cannot be a key".to_owned()),
            };
            self.need(":")?;
            let value = self.value()?;
            fields.insert(key, value);
            if !self.skip(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(Value::Object(fields))
    }

    /// Strings that stand side by side are one.
    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        while let Some(quote) = self.trimmed().chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let triple = [quote; 3].iter().collect::<String>();
            match self.skip(&triple) {
                true => self.quoted(&triple, &mut text)?,
                false => {
                    self.rest = &self.trimmed()[1..];
                    self.quoted(&triple[..1], &mut text)?;
                }
            }
        }
        Ok(text)
    }

    fn quoted(&mut self, end: &str, text: &mut String) -> Result<(), String> {
        loop {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Ok(());
            }
            let mut chars = self.rest.chars();
            match chars.next() {
                Some('\n') if end.len() == 1 => {
                    return Err("a text in it has a line break".to_owned());
                }
                Some('\\') => {
                    self.rest = chars.as_str();
                    self.escape(text)?;
                    continue;
                }
                Some(char) => text.push(char),
                None => return Err("a text in it does not end".to_owned()),
            }
            self.rest = chars.as_str();
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let mut chars = self.rest.chars();
        let escaped = chars.next().unwrap_or('\\');
        self.rest = chars.as_str();
        let code = match escaped {
            'n' => '\n'.into(),
            't' => '\t'.into(),
            'r' => '\r'.into(),
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\n' => return Ok(()),
            '\\' | '\'' | '"' => escaped.into(),
            'x' => self.code(2, 16)?,
            'u' => self.code(4, 16)?,
            'U' => self.code(8, 16)?,
            '0'..='7' => {
                let digits = self.rest.bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b));
                let digits = digits.count();
                let value = self.code(digits, 8)?;
                escaped.to_digit(8).unwrap_or(0) * 8_u32.pow(digits as u32) + value
            }
            other => {
                text.push('\\');
                other.into()
            }
        };
        text.push(char::from_u32(code).ok_or("an escape in it is no character")?);
        Ok(())
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<u32, String> {
        if digits == 0 {
            return Ok(0);
        }
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, radix).ok());
        let code = code.ok_or("an escape in it is cut short")?;
        self.rest = &self.rest[digits..];
        Ok(code)
    }

    fn number(&mut self) -> Result<Number, String> {
        let rest = self.trimmed();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        // A sign stands at the beginning or in an exponent.
        let mut end = 0;
        for (at, char) in rest.char_indices() {
            let sign = matches!(char, '+' | '-') && (at == 0 || rest[..at].ends_with(['e', 'E']));
            if !part(char) && !sign {
                break;
            }
            end = at + 1;
        }
        let (written, rest) = rest.split_at(end);
        let plain = written.replace('_', "");
        let plain = plain.strip_prefix('+').unwrap_or(&plain);
        let number = match plain.parse::<i64>() {
            Ok(number) => Some(Number::from(number)),
            Err(_) => plain
                .parse::<u64>()
                .map(Number::from)
                .ok()
                .or_else(|| Number::from_f64(plain.parse::<f64>().ok()?)),
        };
        let number = number.ok_or_else(|| format!("`{written}` is no number"))?;
        self.rest = rest;
        Ok(number)
    }

    fn identifier(&mut self) -> Result<String, String> {
        let rest = self.trimmed();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_numeric()) {
            return Err(self.unexpected());
        }
        self.rest = &rest[end..];
        Ok(rest[..end].to_owned())
    }

    fn skip(&mut self, token: &str) -> bool {
        let rest = self.trimmed().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        match self.skip(token) {
            true => Ok(()),
            false => Err(format!("{} where `{token}` is wanted", self.unexpected())),
        }
    }

    fn is_over(&self) -> bool {
        self.trimmed().is_empty()
    }

    fn trimmed(&self) -> &'a str {
        self.rest.trim_start()
    }

    fn unexpected(&self) -> String {
        match self.trimmed().chars().next() {
            Some(char) => format!("an unexpected `{}`", char.escape_debug()),
            None => "an early end".to_owned(),
        }
    }
}

/// Brackets within brackets.
const DEEPEST: usize = 64;
