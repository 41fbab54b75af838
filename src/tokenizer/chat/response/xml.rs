//! Tool calls in XML: `<function=f><parameter=x>1</parameter></function>`.

use serde_json::{Map, Value};

use crate::tokenizer::chat::response::python::{self, Call};

/// Reads the calls between the markers of a block. The values of parameters are text; what type they have
/// the `tools` say, as chat templates take them.
pub(super) fn calls(source: &str, tools: &[Value]) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    let mut rest = source.trim();
    while !rest.is_empty() {
        let Some(function) = rest.strip_prefix("<function=") else {
            return Err("there is no `<function=` where one should be".to_owned());
        };
        let (name, body) = named(function, "function")?;
        let types = properties(name, tools);
        let mut arguments = Map::new();
        let mut inside = body.trim_start();
        rest = loop {
            if let Some(after) = inside.strip_prefix("</function>") {
                break after.trim_start();
            }
            let Some(parameter) = inside.strip_prefix("<parameter=") else {
                return Err(format!("`{name}` has no `</function>`"));
            };
            let (parameter, value) = named(parameter, "parameter")?;
            let end = ["</parameter>", "<parameter=", "</function>"];
            let end = end.iter().filter_map(|end| value.find(end)).min();
            let Some(end) = end else { return Err(format!("`{parameter}` does not end")) };
            let text = value[..end].strip_prefix('\n').unwrap_or(&value[..end]);
            let text = text.strip_suffix('\n').unwrap_or(text);
            let schema = types.and_then(|types| types.get(parameter));
            arguments.insert(parameter.to_owned(), typed(text, schema));
            let after = &value[end..];
            inside = after.strip_prefix("</parameter>").unwrap_or(after).trim_start();
        };
        calls.push((name.to_owned(), arguments));
    }
    match calls.is_empty() {
        true => Err("there is no call in it".to_owned()),
        false => Ok(calls),
    }
}

/// What stands before `>`, and after it.
fn named<'a>(text: &'a str, kind: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('>') {
        Some((name, rest)) if !name.is_empty() && !name.contains(['<', '\n']) => Ok((name, rest)),
        _ => Err(format!("a {kind} has no name")),
    }
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
    let Some(kind) = schema.and_then(|schema| schema.get("type")) else { return as_text() };
    let kind = kind.as_str().unwrap_or_default().trim().to_lowercase();
    let begins = |names: &[&str]| names.iter().any(|name| kind.starts_with(name));
    let number = || text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match kind.as_str() {
        "string" | "str" | "text" | "varchar" | "char" | "enum" => as_text(),
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
