//! JSON objects of tool calls, followed while their text comes.

use std::ops::Range;

use serde_json::{Map, Value};

/// Follows one JSON object byte by byte: where it ends, and what stands for its name and arguments. Whether
/// it is valid JSON is only known when it is read as a whole.
#[derive(Debug, Clone)]
pub(super) struct ObjectScan {
    /// Where the object begins.
    start: usize,
    /// The next byte to look at.
    at: usize,
    /// The closing brackets that are owed.
    owed: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Where the last string began.
    string: usize,
    /// The key whose value comes, with quotes.
    key: Option<Range<usize>>,
    /// Where that value begins.
    value: Option<usize>,
    pub(super) name: Option<String>,
    /// The value of `arguments` or `parameters`, as far as it has come, where it is an object.
    pub(super) arguments: Option<Range<usize>>,
    /// Whether that has come in full.
    arguments_over: bool,
    /// Whether the value of such a key has.
    argued: bool,
}

/// How far an object has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come after this byte.
    Open(usize),
    /// It ended before this byte.
    Over(usize),
    /// It is none, because of this byte.
    Broken(usize, String),
}

impl ObjectScan {
    /// An object that begins at this byte, which must be a brace.
    pub(super) fn new(start: usize) -> Self {
        Self {
            start,
            at: start,
            owed: Vec::new(),
            in_string: false,
            escaped: false,
            string: start,
            key: None,
            value: None,
            name: None,
            arguments: None,
            arguments_over: false,
            argued: false,
        }
    }

    /// Where the object begins.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Looks at what has come since the last time; `text` is the same, or longer.
    pub(super) fn advance(&mut self, text: &str) -> Progress {
        let bytes = text.as_bytes();
        let mut progress = None;
        while let Some(&byte) = bytes.get(self.at).filter(|_| progress.is_none()) {
            match self.step(text, byte) {
                Ok(false) => self.at += 1,
                Ok(true) => progress = Some(Progress::Over(self.at + 1)),
                Err(reason) => progress = Some(Progress::Broken(self.at, reason)),
            }
        }
        if let Some(arguments) = self.arguments.as_mut().filter(|_| !self.arguments_over) {
            arguments.end = self.at;
        }
        progress.unwrap_or(Progress::Open(self.at))
    }

    /// Whether the object ends with this byte.
    fn step(&mut self, text: &str, byte: u8) -> Result<bool, String> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    if self.owed.len() == 1 && self.key.is_none() {
                        self.key = Some(self.string..self.at + 1);
                    }
                }
                0..0x20 => {
                    return Err("a text in it has a line break or another control character".into());
                }
                _ => {}
            }
            return Ok(false);
        }
        let top = self.owed.len() == 1;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' | b':' => return Ok(false),
            b',' if top => {
                self.end_value(text)?;
                return Ok(false);
            }
            b'}' | b']' => {
                if top {
                    self.end_value(text)?;
                }
                if self.owed.pop() != Some(byte) {
                    return Err(format!("an unexpected `{}`", char::from(byte)));
                }
                if self.owed.len() == 1 && self.is_key(text, &ARGUMENTS) {
                    self.end_arguments();
                }
                return Ok(self.owed.is_empty());
            }
            _ => {}
        }
        if top && self.key.is_some() && self.value.is_none() {
            self.value = Some(self.at);
            if byte == b'{' && self.arguments.is_none() && self.is_key(text, &ARGUMENTS) {
                self.arguments = Some(self.at..self.at);
            }
        }
        match byte {
            b'{' => self.owed.push(b'}'),
            b'[' => self.owed.push(b']'),
            b'"' => {
                self.in_string = true;
                self.string = self.at;
            }
            b',' | b'-' | b'+' | b'.' => {}
            byte if byte.is_ascii_alphanumeric() => {}
            _ => {
                let found = text[self.at..].chars().next().unwrap_or_default();
                return Err(format!("an unexpected `{}`", found.escape_debug()));
            }
        }
        Ok(false)
    }

    /// Notes the value that ends here, if it is one of those looked for.
    fn end_value(&mut self, text: &str) -> Result<(), String> {
        let Some(start) = self.value.take() else {
            self.key = None;
            return Ok(());
        };
        if self.is_key(text, &["\"name\""]) {
            let name = serde_json::from_str(text[start..self.at].trim_end()).ok();
            if self.name.is_some() {
                return Err("it has two names".into());
            }
            self.name = name;
        } else if self.is_key(text, &ARGUMENTS) {
            if self.argued {
                return Err("it has arguments twice".into());
            }
            self.argued = true;
        }
        self.key = None;
        Ok(())
    }

    /// Notes that the object of the arguments ends with this byte.
    fn end_arguments(&mut self) {
        if let Some(arguments) = self.arguments.as_mut().filter(|_| !self.arguments_over) {
            arguments.end = self.at + 1;
            self.arguments_over = true;
        }
    }

    fn is_key(&self, text: &str, keys: &[&str]) -> bool {
        self.key.clone().is_some_and(|key| keys.contains(&&text[key]))
    }
}

const ARGUMENTS: [&str; 2] = ["\"arguments\"", "\"parameters\""];

/// The name and arguments of a call in JSON: `arguments` or `parameters`, an object or the text of one, or
/// nothing; also within `function`.
pub(super) fn call(mut call: Map<String, Value>) -> Result<(String, Map<String, Value>), String> {
    if let Some(Value::Object(function)) = call.remove("function") {
        call = function;
    }
    let name = match call.remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        Some(_) => return Err("its `name` is no text".to_owned()),
        None => return Err("it has no `name`".to_owned()),
    };
    let arguments = match call.remove("arguments").or_else(|| call.remove("parameters")) {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments,
        Some(Value::String(text)) => serde_json::from_str(&text)
            .map_err(|error| format!("its arguments are text that is no JSON object: {error}"))?,
        Some(_) => return Err("its arguments are no object".to_owned()),
    };
    Ok((name, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> (ObjectScan, Progress) {
        let mut scan = ObjectScan::new(0);
        let mut progress = Progress::Open(0);
        for (end, char) in text.char_indices() {
            progress = scan.advance(&text[..end + char.len_utf8()]);
            if !matches!(progress, Progress::Open(_)) {
                break;
            }
        }
        (scan, progress)
    }

    #[test]
    fn finds_name_arguments_and_end() {
        let text =
            r#"{"name": "f", "more": [1, {"name": "no"}], "arguments": {"x": "}\"{é"} } rest"#;
        let (found, progress) = scan(text);
        assert_eq!(found.name.as_deref(), Some("f"));
        assert_eq!(&text[found.arguments.unwrap()], r#"{"x": "}\"{é"}"#);
        assert_eq!(progress, Progress::Over(text.len() - " rest".len()));
    }

    #[test]
    fn tells_arguments_before_they_are_over() {
        let text = r#"{"name": "f", "parameters": {"x": [1, "#;
        let (found, progress) = scan(text);
        assert_eq!(&text[found.arguments.unwrap()], r#"{"x": [1, "#);
        assert_eq!(progress, Progress::Open(text.len()));
    }

    #[test]
    fn tells_what_is_no_object() {
        for (text, at, reason) in [
            (r#"{"a": 1]"#, 7, "an unexpected `]`"),
            (r#"{"a": {"b": 1}</tool_call>"#, 14, "an unexpected `<`"),
            ("{\"a\": \"x\ny\"}", 8, "a text in it has a line break or another control character"),
            (r#"{"name": "a", "name": "b"}"#, 25, "it has two names"),
            (r#"{"arguments": {}, "parameters": {}}"#, 34, "it has arguments twice"),
        ] {
            assert_eq!(scan(text).1, Progress::Broken(at, reason.to_owned()), "{text}");
        }
    }
}
