//! Tool calls in XML: `<function=f><parameter=x>1</parameter></function>`.

use std::mem;

use serde_json::{Map, Value};

use crate::tokenizer::chat::response::look::{self, Verdict};
use crate::tokenizer::chat::response::python;

/// Follows the calls of a block while their text comes.
#[derive(Debug, Clone)]
pub(super) struct CallScan {
    /// The next byte to look at.
    pub(super) at: usize,
    place: Place,
    /// Whether there was a call.
    called: bool,
    /// Of the call at hand.
    name: String,
    arguments: Map<String, Value>,
}

#[derive(Debug, Clone)]
enum Place {
    /// Before a call, or the end of the block.
    Outside,
    /// At the name of a function.
    Name,
    /// Before a parameter, or the end of the call.
    Inside,
    /// At the name of a parameter.
    ParameterName,
    Parameter(Parameter),
}

/// A parameter whose value comes.
#[derive(Debug, Clone)]
struct Parameter {
    name: String,
    /// Where its text begins, without the line break before.
    start: Option<usize>,
    /// Whether the text is its value, but for `null`.
    is_text: bool,
    /// Up to where the text is told.
    told: Option<usize>,
    /// Up to where nothing ends it.
    searched: usize,
}

/// What a scan has come to; its `at` says where.
#[derive(Debug)]
pub(super) enum Progress {
    /// More is to come.
    Open,
    /// A call has begun.
    Begun(String),
    /// More JSON of its arguments.
    Arguments(String),
    /// The call is complete.
    Called(String, Map<String, Value>),
    /// The block is over.
    Over,
    Broken(String),
}

impl CallScan {
    /// A block whose calls begin at this byte.
    pub(super) fn new(start: usize) -> Self {
        let (name, arguments) = (String::new(), Map::new());
        Self { at: start, place: Place::Outside, called: false, name, arguments }
    }

    /// Looks at what has come since the last time, up to the `close` of the block. The values of parameters are
    /// text; what type they have the `tools` say, as chat templates take them.
    pub(super) fn advance(
        &mut self,
        text: &str,
        close: &str,
        tools: &[Value],
        at_end: bool,
    ) -> Progress {
        loop {
            let rest = &text[self.at..];
            match mem::replace(&mut self.place, Place::Inside) {
                Place::Outside => {
                    self.place = Place::Outside;
                    let rest = self.skip_space(text);
                    match [FUNCTION, close].map(|marker| look::literal(rest, marker)) {
                        [Verdict::Yes, _] => {
                            self.at += FUNCTION.len();
                            self.place = Place::Name;
                        }
                        [_, Verdict::Yes] if self.called => {
                            self.at += close.len();
                            return Progress::Over;
                        }
                        [_, Verdict::Yes] => {
                            return Progress::Broken("there is no call in it".to_owned());
                        }
                        // What is complete counts, also where its end was cut off.
                        [_, Verdict::Maybe] if at_end && self.called => {
                            self.at = text.len();
                            return Progress::Over;
                        }
                        [Verdict::No, Verdict::No] => {
                            let reason = "there is no `<function=` where one should be";
                            return Progress::Broken(reason.to_owned());
                        }
                        _ => return Progress::Open,
                    }
                }
                Place::Name => match name_of(rest, "function") {
                    Ok(Some(name)) => {
                        self.at += name.len() + 1;
                        name.clone_into(&mut self.name);
                        return Progress::Begun(name.to_owned());
                    }
                    Ok(None) => {
                        self.place = Place::Name;
                        return Progress::Open;
                    }
                    Err(reason) => return Progress::Broken(reason),
                },
                Place::Inside => {
                    let rest = self.skip_space(text);
                    match [PARAMETER, END].map(|marker| look::literal(rest, marker)) {
                        [Verdict::Yes, _] => {
                            self.at += PARAMETER.len();
                            self.place = Place::ParameterName;
                        }
                        [_, Verdict::Yes] => {
                            self.at += END.len();
                            return self.end_call();
                        }
                        [Verdict::No, Verdict::No] => {
                            return Progress::Broken(format!("`{}` has no `{END}`", self.name));
                        }
                        _ => return Progress::Open,
                    }
                }
                Place::ParameterName => match name_of(rest, "parameter") {
                    Ok(Some(name)) => {
                        self.at += name.len() + 1;
                        let schema = schema(&self.name, name, tools);
                        self.place = Place::Parameter(Parameter {
                            name: name.to_owned(),
                            start: None,
                            is_text: is_text(schema),
                            told: None,
                            searched: self.at,
                        });
                    }
                    Ok(None) => {
                        self.place = Place::ParameterName;
                        return Progress::Open;
                    }
                    Err(reason) => return Progress::Broken(reason),
                },
                Place::Parameter(parameter) => {
                    return self.value(parameter, text, close, tools);
                }
            }
        }
    }

    /// The value of a parameter, as far as it has come. Text is told while it comes.
    fn value(
        &mut self,
        mut parameter: Parameter,
        text: &str,
        close: &str,
        tools: &[Value],
    ) -> Progress {
        let start = match (parameter.start, text.as_bytes().get(self.at)) {
            (Some(start), _) => start,
            (None, Some(byte)) => self.at + usize::from(*byte == b'\n'),
            (None, None) => {
                self.place = Place::Parameter(parameter);
                return Progress::Open;
            }
        };
        parameter.start = Some(start);
        let from = parameter.searched;
        let found = |marker: &str| text[from..].find(marker).map(|at| from + at);
        let ends = [PARAMETER_END, PARAMETER, END];
        let end = ends.iter().filter_map(|end| found(end)).min();
        let closed = found(close);
        if closed.is_some_and(|closed| end.is_none_or(|end| closed < end)) {
            return Progress::Broken(format!("`{}` does not end", parameter.name));
        }
        let whole = end.unwrap_or_else(|| {
            let held =
                ends.iter().chain([&close]).map(|end| look::overlap(&text[from..], end)).max();
            text.len() - held.unwrap_or(0)
        });
        parameter.searched = whole;
        // A line break before the end is no part of it.
        let body = &text[start..whole.max(start)];
        let body = body.strip_suffix('\n').unwrap_or(body);
        let name = &parameter.name;
        let opening = || {
            let comma = if self.arguments.is_empty() { '{' } else { ',' };
            format!("{comma}{}:", Value::from(name.as_str()))
        };
        let Some(end) = end else {
            let may_be_null =
                "null".get(..body.len()).is_some_and(|it| it.eq_ignore_ascii_case(body));
            let begins = parameter.is_text && (parameter.told.is_some() || !may_be_null);
            let new = &body[parameter.told.unwrap_or(start).min(start + body.len()) - start..];
            let json = match parameter.told {
                _ if !begins || new.is_empty() => None,
                None => Some(format!("{}\"{}", opening(), escaped(new))),
                Some(_) => Some(escaped(new)),
            };
            if json.is_some() {
                parameter.told = Some(start + body.len());
                self.at = start + body.len();
            }
            self.place = Place::Parameter(parameter);
            return json.map_or(Progress::Open, Progress::Arguments);
        };
        let value = typed(body, schema(&self.name, name, tools));
        let json = match parameter.told {
            None => format!("{}{value}", opening()),
            Some(told) => format!("{}\"", escaped(&text[told..start + body.len()])),
        };
        self.arguments.insert(parameter.name, value);
        let ended = text[end..].starts_with(PARAMETER_END);
        self.at = if ended { end + PARAMETER_END.len() } else { end };
        self.place = Place::Inside;
        Progress::Arguments(json)
    }

    /// First the end of the arguments, then the call.
    fn end_call(&mut self) -> Progress {
        self.called = true;
        self.place = Place::Outside;
        Progress::Called(mem::take(&mut self.name), mem::take(&mut self.arguments))
    }

    /// The text behind white space.
    fn skip_space<'a>(&mut self, text: &'a str) -> &'a str {
        let rest = text[self.at..].trim_start();
        self.at = text.len() - rest.len();
        rest
    }
}

/// What stands before `>`, once that has come.
fn name_of<'a>(text: &'a str, kind: &str) -> Result<Option<&'a str>, String> {
    match text.find(['>', '<', '\n']) {
        None => Ok(None),
        Some(end) if end > 0 && text[end..].starts_with('>') => Ok(Some(&text[..end])),
        Some(_) => Err(format!("a {kind} has no name")),
    }
}

/// As in a JSON string, without its quotes.
fn escaped(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

/// The schema of a parameter.
fn schema<'a>(function: &str, parameter: &str, tools: &'a [Value]) -> Option<&'a Value> {
    properties(function, tools)?.get(parameter)
}

/// Whether the value of a parameter is its text, but for `null`.
fn is_text(schema: Option<&Value>) -> bool {
    kind_of(schema).is_none_or(|kind| TEXTS.contains(&kind.as_str()))
}

/// The type of a parameter, where there is one.
fn kind_of(schema: Option<&Value>) -> Option<String> {
    let kind = schema?.get("type")?;
    Some(kind.as_str().unwrap_or_default().trim().to_lowercase())
}

/// The schemas of a function's parameters, by their names.
fn properties<'a>(name: &str, tools: &'a [Value]) -> Option<&'a Map<String, Value>> {
    let functions = tools.iter().map(|tool| tool.get("function").unwrap_or(tool));
    let mut named = functions.filter(|function| function.get("name").is_some_and(|it| it == name));
    let parameters = named.next()?.get("parameters")?;
    parameters.get("properties").unwrap_or(parameters).as_object()
}

/// The value that a text means, by the schema of its parameter. What does not fit its type stays text, but
/// for a boolean, which is `false`.
fn typed(text: &str, schema: Option<&Value>) -> Value {
    let as_text = || Value::String(text.to_owned());
    if text.eq_ignore_ascii_case("null") {
        return Value::Null;
    }
    let Some(kind) = kind_of(schema) else { return as_text() };
    let begins = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
    let number = || text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match kind.as_str() {
        kind if TEXTS.contains(&kind) => as_text(),
        "boolean" | "bool" | "binary" => Value::Bool(text.eq_ignore_ascii_case("true")),
        _ if begins(&["int", "uint", "long", "short", "unsigned"]) => {
            text.trim().parse::<i64>().map_or_else(|_| as_text(), Value::from)
        }
        _ if begins(&["num", "float"]) => match number() {
            // Whole numbers have no fraction.
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 9e15 => Value::from(whole as i64),
            Some(number) => Value::from(number),
            None => as_text(),
        },
        _ => {
            let json = begins(&["object", "arr", "dict", "list"])
                .then(|| serde_json::from_str(text).ok())
                .flatten();
            json.or_else(|| python::literal(text)).unwrap_or_else(as_text)
        }
    }
}

const FUNCTION: &str = "<function=";
const END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";
/// Types whose values are text.
const TEXTS: [&str; 6] = ["string", "str", "text", "varchar", "char", "enum"];
