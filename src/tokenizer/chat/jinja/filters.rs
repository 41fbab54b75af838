//! Jinja's filters of text and numbers where minijinja's do not do as Python does.

use minijinja::value::{Rest, Tuple, ValueKind, ValueOrKwargs};
use minijinja::{Environment, State, Value};

use super::arguments::{bind, flag, given, integer, required, string};
use super::markup::escaped;
use super::operators::real;
use super::percent::percent;
use super::value::{is_namespace, reserve};
use super::{Outcome, fail, markup, methods, pretty, strings, text, unicode, web};

/// A filter: the value and the arguments after it.
pub(super) type Filter = fn(&mut State<'_, '_>, &Value, &[Value]) -> Outcome<Value>;
/// A filter that takes no arguments.
pub(super) type Bare = fn(&mut State<'_, '_>, &Value) -> Outcome<Value>;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    let filters: [(&'static str, Filter); 14] = [
        ("attr", attribute),
        ("center", center),
        ("d", default),
        ("default", default),
        ("filesizeformat", file_size),
        ("float", float),
        ("format", format),
        ("indent", indent),
        ("int", int),
        ("replace", replace),
        ("round", round),
        ("trim", trim),
        ("truncate", truncate),
        ("xmlattr", web::attributes),
    ];
    add_all(environment, filters);
    let bare: [(&'static str, Bare); 13] = [
        ("abs", absolute),
        ("capitalize", |state, value| change(state, value, text::capitalize)),
        ("e", |state, value| escaped(state, value)),
        ("escape", |state, value| escaped(state, value)),
        ("forceescape", |state, value| escaped(state, &Value::from(text::str(state, value)?))),
        ("lower", |state, value| change(state, value, str::to_lowercase)),
        ("pprint", |state, value| pretty::printed(state, value)),
        ("safe", |state, value| Ok(Value::from_safe_string(text::str(state, value)?))),
        ("string", |state, value| soft_str(state, value)),
        ("title", title),
        ("upper", |state, value| change(state, value, str::to_uppercase)),
        ("urlencode", web::url_encode),
        ("wordcount", word_count),
    ];
    add_bare(environment, bare);
    environment.add_filter("striptags", minijinja_contrib::filters::striptags);
}

pub(super) fn add_all<const N: usize>(
    environment: &mut Environment<'_>,
    filters: [(&'static str, Filter); N],
) {
    for (name, filter) in filters {
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>, value: Value, args: Rest<ValueOrKwargs>| {
                filter(state, &value, &args.into_values())
            },
        );
    }
}

pub(super) fn add_bare<const N: usize>(
    environment: &mut Environment<'_>,
    filters: [(&'static str, Bare); N],
) {
    for (name, filter) in filters {
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>, value: Value, args: Rest<ValueOrKwargs>| {
                let [] = bind(&args.into_values(), [])?;
                filter(state, &value)
            },
        );
    }
}

/// markupsafe's `soft_str`: text stays what it is.
fn soft_str(state: &State<'_, '_>, value: &Value) -> Outcome<Value> {
    match value.kind() {
        ValueKind::String => Ok(value.clone()),
        _ => text::str(state, value).map(Value::from),
    }
}

/// A value as text, changed; marked as safe where it was.
fn change(
    state: &State<'_, '_>,
    value: &Value,
    change: impl FnOnce(&str) -> String,
) -> Outcome<Value> {
    Ok(markup::like(value, change(&text::str(state, value)?)))
}

fn absolute(_: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    match (value.kind(), value.is_integer()) {
        (ValueKind::Bool, _) => Ok(Value::from(i64::from(value.is_true()))),
        (ValueKind::Number, true) => {
            let number = i128::try_from(value.clone())?.unsigned_abs();
            Ok(i64::try_from(number).map_or_else(|_| Value::from(number), Value::from))
        }
        (ValueKind::Number, false) => Ok(Value::from(real(value).unwrap_or(f64::NAN).abs())),
        (kind, _) => Err(fail(format!("bad operand type for abs(): {kind}"))),
    }
}

/// An attribute, not an item: of a dict the methods only.
fn attribute(_: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [name] = bind(args, ["name"])?;
    let name = required(name, "name")?;
    let name = string(&name)?;
    match value.kind() == ValueKind::Map && !is_namespace(value) && !methods::of_dict(name) {
        true => Ok(Value::UNDEFINED),
        false => methods::member(value, name),
    }
}

fn file_size(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [binary] = bind(args, ["binary"])?;
    let number = match value.as_str() {
        Some(text) => Value::from(parse_float(text).ok_or_else(|| fail("text is not a number"))?),
        None if matches!(value.kind(), ValueKind::Number | ValueKind::Bool) => {
            float(state, value, &[])?
        }
        None => return Err(fail(format!("filesizeformat: {} is not a number", value.kind()))),
    };
    let binary = flag(binary.as_ref());
    let number = f64::try_from(number)?;
    let is_small = number < if binary { 1024.0 } else { 1000.0 };
    Ok(Value::from(match is_small && number != 1.0 {
        true => format!("{} Bytes", number.trunc()),
        false => minijinja_contrib::filters::filesizeformat(number, Some(binary)),
    }))
}

fn center(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [width] = bind(args, ["width"])?;
    let width = width.unwrap_or_else(|| Value::from(80));
    let text = soft_str(state, value)?;
    methods::call(state, &text, "center", &[width])
}

fn default(_: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [default, boolean] = bind(args, ["default_value", "boolean"])?;
    match value.is_undefined() || flag(boolean.as_ref()) && !value.is_true() {
        true => Ok(default.unwrap_or_else(|| Value::from(""))),
        false => Ok(value.clone()),
    }
}

fn float(_: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [default] = bind(args, ["default"])?;
    let number = match value.kind() {
        ValueKind::Undefined => return Err(fail("undefined is not a number")),
        ValueKind::String => parse_float(string(value)?),
        _ => real(value),
    };
    Ok(number.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0)))
}

fn int(_: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [default, base] = bind(args, ["default", "base"])?;
    // A base that is no number makes no text a number.
    let base = base.map_or(Some(10), |base| integer(&base).ok());
    let truncated = |number: f64| {
        (number.is_finite() && number.abs() < 1e38).then(|| Value::from(number.trunc() as i128))
    };
    let number = match value.kind() {
        ValueKind::Undefined => return Err(fail("undefined is not a number")),
        ValueKind::String => {
            let digits = string(value)?;
            base.and_then(|base| parse_int(digits, base))
                .or_else(|| parse_float(digits).and_then(truncated))
        }
        ValueKind::Bool => Some(Value::from(i64::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => Some(value.clone()),
        ValueKind::Number => f64::try_from(value.clone()).ok().and_then(truncated),
        _ => None,
    };
    // Small integers have one representation.
    let number = number.map(|number| number.as_i64().map_or(number, Value::from));
    Ok(number.or(default).unwrap_or_else(|| Value::from(0)))
}

/// Python's `float(text)`.
fn parse_float(text: &str) -> Option<f64> {
    let digits = unicode::with_ascii_decimals(&ungrouped(text::strip(text))?);
    let is_number = digits.bytes().any(|byte| byte.is_ascii_digit());
    let unsigned = digits.trim_start_matches(['+', '-']).to_ascii_lowercase();
    match is_number || matches!(unsigned.as_str(), "inf" | "infinity" | "nan") {
        true => digits.parse().ok(),
        false => None,
    }
}

/// Python's `int(text, base)`.
fn parse_int(text: &str, base: i64) -> Option<Value> {
    let text = unicode::with_ascii_decimals(&ungrouped(text::strip(text))?);
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    let prefix = digits.get(..2).map(str::to_ascii_lowercase);
    let (digits, radix) = match (prefix.as_deref(), base) {
        (Some("0x"), 0 | 16) => (&digits[2..], 16),
        (Some("0o"), 0 | 8) => (&digits[2..], 8),
        (Some("0b"), 0 | 2) => (&digits[2..], 2),
        (_, 0) => (digits, 10),
        (_, 2..=36) => (digits, u32::try_from(base).ok()?),
        _ => return None,
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from_str_radix(&format!("{sign}{digits}"), radix).ok()?;
    Some(Value::from(number))
}

/// Digits without the underscores that may stand between them.
fn ungrouped(digits: &str) -> Option<String> {
    let misplaced = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    (!misplaced).then(|| digits.replace('_', ""))
}

fn round(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [precision, method] = bind(args, ["precision", "method"])?;
    let precision = precision.map_or(Ok(0), |precision| integer(&precision))?;
    let precision = i32::try_from(precision).unwrap_or(0).clamp(-400, 400);
    let method = method.unwrap_or_else(|| Value::from("common"));
    let method = string(&method)?;
    let whole = value.is_integer() || value.kind() == ValueKind::Bool;
    if whole && method == "common" && precision >= 0 {
        return int(state, value, &[]);
    }
    let number = match value.kind() {
        ValueKind::Number | ValueKind::Bool => real(value).unwrap_or(f64::NAN),
        kind => return Err(fail(format!("round: a number is expected, not {kind}"))),
    };
    let scale = 10_f64.powi(precision);
    let rounded = match (method, usize::try_from(precision)) {
        // Correctly rounded digits, half to even.
        ("common", Ok(digits)) => format!("{number:.digits$}").parse().unwrap_or(number),
        ("common", Err(_)) => (number * scale).round_ties_even() / scale,
        ("ceil", _) => (number * scale).ceil() / scale,
        ("floor", _) => (number * scale).floor() / scale,
        _ => return Err(fail("round: method must be common, ceil or floor")),
    };
    Ok(match whole && method == "common" {
        true => Value::from(rounded as i64),
        false => Value::from(rounded),
    })
}

fn indent(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [width, first, blank] = bind(args, ["width", "first", "blank"])?;
    let (first, blank) = (flag(first.as_ref()), flag(blank.as_ref()));
    let indention = match width {
        Some(width) if width.kind() == ValueKind::String => string(&width)?.to_owned(),
        width => {
            let width = width.map_or(Ok(4), |width| integer(&width))?;
            let width = usize::try_from(width).unwrap_or(0);
            reserve(state, width)?;
            " ".repeat(width)
        }
    };
    // Jinja's quirk: with a line break at the end, the last line is never lost.
    let text = string(value)?.to_owned() + "\n";
    let lines = text::lines(&text, false);
    reserve(state, lines.len().saturating_mul(indention.len()).saturating_add(text.len()))?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let indented = if index == 0 { first } else { blank || !line.is_empty() };
        if indented {
            out.push_str(&indention);
        }
        out.push_str(line);
    }
    Ok(markup::like(value, out))
}

fn replace(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [old, new, count] = bind(args, ["old", "new", "count"])?;
    let old = text::str(state, &required(old, "old")?)?;
    let new = text::str(state, &required(new, "new")?)?;
    let count = given(count).map_or(Ok(-1), |count| integer(&count))?;
    strings::replace(state, &text::str(state, value)?, &old, &new, count).map(Value::from)
}

/// `value % arguments`.
fn format(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let operand = match args {
        [named] if named.is_kwargs() => named.clone(),
        [.., last] if last.is_kwargs() => {
            return Err(fail("can't handle positional and keyword arguments at the same time"));
        }
        positional => Value::from(Tuple::from(positional.to_vec())),
    };
    percent(state, &soft_str(state, value)?, &operand)
}

/// Jinja's own: a word begins after whitespace, a dash or an opening bracket.
fn title(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    let mut titled = String::new();
    let is_between = |char: char| text::is_space(char) || "-({[<".contains(char);
    let text = text::str(state, value)?;
    for word in text.split_inclusive(is_between) {
        let mut chars = word.chars();
        titled.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        titled.push_str(&chars.as_str().to_lowercase());
    }
    Ok(Value::from(titled))
}

fn trim(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [chars] = bind(args, ["chars"])?;
    Ok(markup::like(value, strings::trim(&text::str(state, value)?, given(chars), true, true)?))
}

fn truncate(state: &mut State<'_, '_>, value: &Value, args: &[Value]) -> Outcome<Value> {
    let [length, kill_words, end, leeway] = bind(args, ["length", "killwords", "end", "leeway"])?;
    let count = |value: Option<Value>, default: usize| match given(value) {
        None => Ok(default),
        Some(value) => integer(&value).map(|count| usize::try_from(count).unwrap_or(0)),
    };
    let (length, leeway) = (count(length, 255)?, count(leeway, 5)?);
    let end = end.unwrap_or_else(|| Value::from("..."));
    let kept = length
        .checked_sub(string(&end)?.chars().count())
        .ok_or_else(|| fail("truncate: the length is less than that of the end"))?;
    let size = if value.is_undefined() { Some(0) } else { value.len() };
    let size = size.ok_or_else(|| fail(format!("truncate: {} is not text", value.kind())))?;
    if size <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let text = string(value)?;
    let end = if value.is_safe() { escaped(state, &end)? } else { end };
    let end = string(&end)?;
    let kept: String = text.chars().take(kept).collect();
    let kept = match flag(kill_words.as_ref()) {
        true => kept.as_str(),
        false => kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words),
    };
    Ok(markup::like(value, format!("{kept}{end}")))
}

fn word_count(state: &mut State<'_, '_>, value: &Value) -> Outcome<Value> {
    let text = text::str(state, value)?;
    Ok(Value::from(unicode::words(&text)))
}
