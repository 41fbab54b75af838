//! Methods of Python's `str`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::Tuple;
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{bind, flag, given, integer, required, string};
use super::value::{items, list, reserve};
use super::{Outcome, fail, text};

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
            // The engine would make room for any width before it is told no.
            if s.as_bytes().windows(6).any(|run| run.iter().all(u8::is_ascii_digit)) {
                return Err(fail("format: a width or precision is too large"));
            }
            format(FormatStyle::StrFormat, s, args).map(Value::from)
        }
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

fn changed_case(s: &str, name: &str) -> Option<String> {
    Some(match name {
        "upper" => s.to_uppercase(),
        "lower" | "casefold" => s.to_lowercase(),
        "capitalize" => text::capitalize(s),
        "swapcase" => s
            .chars()
            .map(|char| match char.is_uppercase() {
                true => char.to_lowercase().to_string(),
                false => char.to_uppercase().to_string(),
            })
            .collect(),
        "title" => {
            let mut inside = false;
            let mut titled = String::with_capacity(s.len());
            for char in s.chars() {
                let cased = char.is_uppercase() || char.is_lowercase();
                match inside {
                    true => titled.extend(char.to_lowercase()),
                    false => titled.extend(char.to_uppercase()),
                }
                inside = cased;
            }
            titled
        }
        _ => return None,
    })
}

fn asked(s: &str, name: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !s.is_empty() && s.chars().all(is);
    let upper = s.chars().any(char::is_uppercase);
    let lower = s.chars().any(char::is_lowercase);
    Some(match name {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => s.is_ascii(),
        "isdecimal" | "isdigit" => all(|char| char.is_numeric() && is_digit(char)),
        "isidentifier" => {
            let mut chars = s.chars();
            chars.next().is_some_and(|first| first == '_' || first.is_alphabetic())
                && chars.all(|char| char == '_' || char.is_alphanumeric())
        }
        "islower" => lower && !upper,
        "isnumeric" => all(char::is_numeric),
        "isprintable" => s.chars().all(text::is_printable),
        "isspace" => all(text::is_space),
        "istitle" => changed_case(s, "title").is_some_and(|titled| titled == s) && upper,
        "isupper" => upper && !lower,
        _ => return None,
    })
}

/// The standard library does not tell decimal digits from other numbers outside of ASCII: those
/// that come in runs of ten from a zero are them, and fractions, letters and ideographs are not.
fn is_digit(char: char) -> bool {
    let other = matches!(char, '¼'..='¾' | '⅐'..='\u{218f}' | '㉈'..='㉟' | '㊱'..='㊿');
    char.is_ascii_digit() || !char.is_alphabetic() && !other
}
