//! Methods of Python's `str`.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{bind, flag, given, integer, required, string};
use super::str_format::{self, Fields};
use super::value::{dict, items, list, reserve};
use super::{Outcome, bytes, fail, spec, text, unicode};

/// The methods of text.
pub(super) const METHODS: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// Calls a method of text.
pub(super) fn method(state: &State<'_, '_>, s: &str, name: &str, args: &[Value]) -> Outcome<Value> {
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = bind(args, ["chars"])?;
            Ok(Value::from(trim(s, given(chars), name != "rstrip", name != "lstrip")?))
        }
        "split" | "rsplit" => {
            let [sep, limit] = bind(args, ["sep", "maxsplit"])?;
            let limit = limit.map_or(Ok(-1), |limit| integer(&limit))?;
            let sep = given(sep);
            let sep = sep.as_ref().map(string).transpose()?;
            split(state, s, sep, usize::try_from(limit).ok(), name == "rsplit")
        }
        "splitlines" => {
            let [keep] = bind(args, ["keepends"])?;
            let lines = text::lines(s, flag(keep.as_ref()));
            state.consume_fuel(lines.len() as u64)?;
            list(lines.into_iter().map(Value::from).collect())
        }
        "startswith" | "endswith" => affix(s, name, args).map(Value::from),
        "find" | "rfind" | "index" | "rindex" | "count" => search(s, name, args),
        "removeprefix" | "removesuffix" => {
            let [affix] = bind(args, ["affix"])?;
            let affix = required(affix, "affix")?;
            let cut = match name {
                "removeprefix" => s.strip_prefix(string(&affix)?),
                _ => s.strip_suffix(string(&affix)?),
            };
            Ok(Value::from(cut.unwrap_or(s)))
        }
        "partition" | "rpartition" => {
            let [sep] = bind(args, ["sep"])?;
            let sep = required(sep, "sep")?;
            let sep = string(&sep)?;
            if sep.is_empty() {
                return Err(fail("empty separator"));
            }
            let (before, between, after) = match name {
                "partition" => s.split_once(sep).map_or((s, "", ""), |(a, b)| (a, sep, b)),
                _ => s.rsplit_once(sep).map_or(("", "", s), |(a, b)| (a, sep, b)),
            };
            Ok(Value::from(Tuple::from([before, between, after].map(Value::from))))
        }
        "replace" => {
            let [old, new, count] = bind(args, ["old", "new", "count"])?;
            let (old, new) = (required(old, "old")?, required(new, "new")?);
            let count = count.map_or(Ok(-1), |count| integer(&count))?;
            replace(state, s, string(&old)?, string(&new)?, count).map(Value::from)
        }
        "join" => {
            let [parts] = bind(args, ["iterable"])?;
            let mut joined = String::new();
            for (index, part) in items(state, &required(parts, "iterable")?)?.iter().enumerate() {
                let part = string(part)?;
                reserve(state, part.len() + s.len())?;
                if index > 0 {
                    joined.push_str(s);
                }
                joined.push_str(part);
            }
            Ok(Value::from(joined))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = bind(args, ["width", "fillchar"])?;
            let width = integer(&required(width, "width")?)?;
            let default = if name == "zfill" { "0" } else { " " };
            let fill = fill.unwrap_or_else(|| Value::from(default));
            pad(state, s, name, width, string(&fill)?).map(Value::from)
        }
        "format" => {
            let (positional, named) = match args.split_last() {
                Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
                _ => (args, None),
            };
            let fields = Fields { positional, named, escaped: false };
            str_format::format(state, s, &fields).map(Value::from)
        }
        "format_map" => {
            let [mapping] = bind(args, ["mapping"])?;
            let mapping = required(mapping, "mapping")?;
            let fields = Fields { positional: &[], named: Some(&mapping), escaped: false };
            str_format::format(state, s, &fields).map(Value::from)
        }
        "encode" => {
            let [encoding, errors] = bind(args, ["encoding", "errors"])?;
            bytes::encode(s, encoding, errors)
        }
        "translate" => {
            let [table] = bind(args, ["table"])?;
            translate(state, s, &required(table, "table")?).map(Value::from)
        }
        "maketrans" => make_translation(state, args),
        "expandtabs" => {
            let [size] = bind(args, ["tabsize"])?;
            let size = size.map_or(Ok(8), |size| integer(&size))?;
            expand_tabs(state, s, usize::try_from(size).unwrap_or(0)).map(Value::from)
        }
        _ => {
            let [] = bind(args, [])?;
            changed_case(s, name)
                .map(Value::from)
                .or_else(|| asked(s, name).map(Value::from))
                .ok_or_else(|| Error::from(ErrorKind::UnknownMethod))
        }
    }
}

/// `strip` on either side or both; without `chars`, of whitespace.
pub(super) fn trim(s: &str, chars: Option<Value>, start: bool, end: bool) -> Outcome<&str> {
    let chars: Option<Vec<char>> =
        chars.as_ref().map(string).transpose()?.map(|chars| chars.chars().collect());
    let of_those = |char: char| match &chars {
        Some(chars) => chars.contains(&char),
        None => text::is_space(char),
    };
    let s = if start { s.trim_start_matches(of_those) } else { s };
    Ok(if end { s.trim_end_matches(of_those) } else { s })
}

/// `replace`; a negative count replaces all.
pub(super) fn replace(
    state: &State<'_, '_>,
    s: &str,
    old: &str,
    new: &str,
    count: i64,
) -> Outcome<String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let places = s.matches(old).take(count).count();
    reserve(state, places.saturating_mul(new.len()).saturating_add(s.len()))?;
    Ok(s.replacen(old, new, count))
}

fn split(
    state: &State<'_, '_>,
    s: &str,
    sep: Option<&str>,
    limit: Option<usize>,
    from_end: bool,
) -> Outcome<Value> {
    let limit = limit.unwrap_or(usize::MAX - 1);
    let mut parts: Vec<&str> = match (sep, from_end) {
        (Some(""), _) => return Err(fail("empty separator")),
        (Some(sep), false) => s.splitn(limit + 1, sep).collect(),
        (Some(sep), true) => s.rsplitn(limit + 1, sep).collect(),
        (None, false) => {
            let mut parts = Vec::new();
            let mut rest = s.trim_start_matches(text::is_space);
            while !rest.is_empty() {
                let cut = match parts.len() < limit {
                    true => rest.find(text::is_space).unwrap_or(rest.len()),
                    false => rest.len(),
                };
                parts.push(&rest[..cut]);
                rest = rest[cut..].trim_start_matches(text::is_space);
            }
            parts
        }
        (None, true) => {
            let mut parts = Vec::new();
            let mut rest = text::strip_end(s);
            while !rest.is_empty() {
                let word = match parts.len() < limit {
                    true => rest.rsplit(text::is_space).next().unwrap_or(rest),
                    false => rest,
                };
                parts.push(word);
                rest = text::strip_end(&rest[..rest.len() - word.len()]);
            }
            parts
        }
    };
    if from_end {
        parts.reverse();
    }
    state.consume_fuel(parts.len() as u64)?;
    list(parts.into_iter().map(Value::from).collect())
}

fn affix(s: &str, name: &str, args: &[Value]) -> Outcome<bool> {
    let [affixes, start, end] = bind(args, ["affix", "start", "end"])?;
    let affixes = required(affixes, "affix")?;
    let Some((_, part)) = window(s, start, end)? else { return Ok(false) };
    let has = |affix: &str| match name {
        "startswith" => part.starts_with(affix),
        _ => part.ends_with(affix),
    };
    match affixes.is_tuple() {
        true => {
            for affix in affixes.try_iter()? {
                if has(string(&affix)?) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        false => Ok(has(string(&affixes)?)),
    }
}

fn search(s: &str, name: &str, args: &[Value]) -> Outcome<Value> {
    let [wanted, start, end] = bind(args, ["sub", "start", "end"])?;
    let wanted = required(wanted, "sub")?;
    let wanted = string(&wanted)?;
    let window = window(s, start, end)?;
    if name == "count" {
        return Ok(Value::from(window.map_or(0, |(_, part)| part.matches(wanted).count())));
    }
    let place = window.and_then(|(offset, part)| {
        let place = match name.starts_with('r') {
            true => part.rfind(wanted),
            false => part.find(wanted),
        };
        place.map(|place| offset + part[..place].chars().count())
    });
    match place {
        Some(place) => Ok(Value::from(place)),
        None if name.ends_with("index") => Err(fail("substring not found")),
        None => Ok(Value::from(-1)),
    }
}

/// `s[start:end]` in characters, with the character it begins at; `None` where it begins beyond
/// the end of the text, where not even empty text is found.
pub(super) fn window(
    s: &str,
    start: Option<Value>,
    end: Option<Value>,
) -> Outcome<Option<(usize, &str)>> {
    let (start, end) = (given(start), given(end));
    if start.is_none() && end.is_none() {
        return Ok(Some((0, s)));
    }
    let length = s.chars().count();
    let clamp = |index: Option<Value>, default: usize| -> Outcome<usize> {
        let Some(index) = index else { return Ok(default) };
        let index = integer(&index)?;
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(if index < 0 { length.saturating_sub(distance) } else { distance })
    };
    let (start, end) = (clamp(start, 0)?, clamp(end, length)?.min(length));
    if start > end {
        return Ok(None);
    }
    let byte = |index: usize| s.char_indices().nth(index).map_or(s.len(), |(byte, _)| byte);
    Ok(Some((start, &s[byte(start)..byte(end)])))
}

fn pad(state: &State<'_, '_>, s: &str, name: &str, width: i64, fill: &str) -> Outcome<String> {
    if fill.chars().count() != 1 {
        return Err(fail("the fill character must be exactly one character long"));
    }
    let width = usize::try_from(width).unwrap_or(0);
    let missing = width.saturating_sub(s.chars().count());
    reserve(state, missing.saturating_mul(fill.len()))?;
    Ok(match name {
        "ljust" => s.to_owned() + &fill.repeat(missing),
        "rjust" => fill.repeat(missing) + s,
        "zfill" => {
            let (sign, digits) = s.split_at(usize::from(s.starts_with(['+', '-'])));
            format!("{sign}{}{digits}", fill.repeat(missing))
        }
        _ => {
            // CPython's rule for which side gets the odd one.
            let left = missing / 2 + (missing & width & 1);
            fill.repeat(left) + s + &fill.repeat(missing - left)
        }
    })
}

fn expand_tabs(state: &State<'_, '_>, s: &str, size: usize) -> Outcome<String> {
    let mut expanded = String::new();
    let mut column = 0;
    for char in s.chars() {
        match char {
            '\t' => {
                let width = if size == 0 { 0 } else { size - column % size };
                reserve(state, width)?;
                expanded.extend(std::iter::repeat_n(' ', width));
                column += width;
            }
            _ => {
                expanded.push(char);
                column = if matches!(char, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(expanded)
}

/// `translate`: what the table has for a character's number, text, a number or nothing.
fn translate(state: &State<'_, '_>, s: &str, table: &Value) -> Outcome<String> {
    if matches!(table.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number) {
        return Err(fail(format!("translate: {} is no table", table.kind())));
    }
    let mut translated = String::new();
    for char in s.chars() {
        let found = table.get_item(&code(char))?;
        match found.kind() {
            ValueKind::Undefined => translated.push(char),
            ValueKind::None => {}
            ValueKind::Number => translated.push(spec::char_of(integer(&found)?.into())?),
            _ => {
                let text = string(&found)?;
                reserve(state, text.len())?;
                translated.push_str(text);
            }
        }
    }
    Ok(translated)
}

/// `maketrans`: a table for `translate`.
fn make_translation(state: &State<'_, '_>, args: &[Value]) -> Outcome<Value> {
    let [from, to, deleted] = bind(args, ["x", "y", "z"])?;
    let from = required(from, "x")?;
    let Some(to) = to else {
        let pairs = items(state, &from)?.into_iter().map(|key| {
            let value = from.get_item(&key)?;
            let mut chars = key.as_str().unwrap_or_default().chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => Ok((code(char), value)),
                _ if key.is_integer() => Ok((key, value)),
                _ => Err(fail("string keys in translate table must be of length 1")),
            }
        });
        return dict(pairs.collect::<Outcome<_>>()?);
    };
    let (from, to) = (string(&from)?, string(&to)?);
    if from.chars().count() != to.chars().count() {
        return Err(fail("the first two maketrans arguments must have equal length"));
    }
    let mut pairs: Vec<_> = from.chars().map(code).zip(to.chars().map(code)).collect();
    let deleted = deleted.as_ref().map_or(Ok(""), string)?;
    pairs.extend(deleted.chars().map(|char| (code(char), Value::from(()))));
    dict(pairs)
}

/// `ord(char)`.
fn code(char: char) -> Value {
    Value::from(i64::from(u32::from(char)))
}

fn changed_case(s: &str, name: &str) -> Option<String> {
    Some(match name {
        "upper" => s.to_uppercase(),
        "lower" => s.to_lowercase(),
        "casefold" => unicode::folded(s),
        "capitalize" => text::capitalize(s),
        "swapcase" => {
            let lower = s.to_lowercase();
            let mut lower = lower.chars();
            let mut swapped = String::with_capacity(s.len());
            for char in s.chars() {
                let below: String = lower.by_ref().take(char.to_lowercase().count()).collect();
                match (char.is_uppercase(), char.is_lowercase()) {
                    (true, _) => swapped.push_str(&below),
                    (false, true) => swapped.extend(char.to_uppercase()),
                    _ => swapped.push(char),
                }
            }
            swapped
        }
        "title" => {
            let mut titled = String::with_capacity(s.len());
            let mut rest = s;
            while let Some(place) = rest.find(unicode::is_cased) {
                titled.push_str(&rest[..place]);
                let word = &rest[place..];
                let end = word.find(|char| !unicode::is_cased(char)).unwrap_or(word.len());
                titled.push_str(&text::capitalize(&word[..end]));
                rest = &word[end..];
            }
            titled.push_str(rest);
            titled
        }
        _ => return None,
    })
}

/// What `str.is…` says.
pub(super) fn asked(s: &str, name: &str) -> Option<bool> {
    let has = |is: fn(char) -> bool| s.chars().any(is);
    let (upper, lower) = (has(char::is_uppercase), has(char::is_lowercase));
    Some(match name {
        "isalnum" => unicode::is_all(s, &unicode::LETTERS_AND_NUMBERS),
        "isalpha" => unicode::is_all(s, &unicode::LETTERS),
        "isascii" => s.is_ascii(),
        "isdecimal" => unicode::is_all(s, &unicode::DECIMALS),
        "isdigit" => unicode::is_all(s, &unicode::DIGITS),
        "isidentifier" => unicode::is_all(s, &unicode::IDENTIFIER),
        "islower" => lower && !upper && !has(unicode::is_title),
        "isnumeric" => unicode::is_all(s, &unicode::NUMBERS),
        "isprintable" => s.chars().all(text::is_printable),
        "isspace" => !s.is_empty() && s.chars().all(text::is_space),
        "istitle" => {
            let mut inside = false;
            has(unicode::is_cased)
                && s.chars().all(|char| {
                    let begins = char.is_uppercase() || unicode::is_title(char);
                    let fits = if begins { !inside } else { inside || !char.is_lowercase() };
                    inside = begins || char.is_lowercase();
                    fits
                })
        }
        "isupper" => upper && !lower && !has(unicode::is_title),
        _ => return None,
    })
}
