//! The words that a tag is made of.

use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// Whitespace, and the signs that control it.
    Blank,
    Name,
    Number,
    Operator,
    Text,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    /// How many brackets are open around it.
    pub(super) depth: usize,
}

/// Splits a tag up to its end.
pub(super) fn tokens<'a>(tag: &'a str, close: &str) -> Result<Vec<Token<'a>>, String> {
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut rest = tag;
    while let Some(first) = rest.chars().next() {
        let length_while = |is: fn(char) -> bool| rest.find(|char| !is(char)).unwrap_or(rest.len());
        let is_name = |char: char| char == '_' || char.is_alphanumeric();
        if depth == 0 && rest.starts_with(close) {
            break;
        }
        let signed = rest.get(1..).is_some_and(|rest| rest.starts_with(close));
        let (kind, length) = match first {
            '-' | '+' if depth == 0 && (signed || tokens.is_empty()) => (Kind::Blank, 1),
            _ if first.is_whitespace() => (Kind::Blank, length_while(char::is_whitespace)),
            '\'' | '"' => (Kind::Text, literal(rest, first)),
            '0'..='9' => (Kind::Number, length_while(is_name)),
            _ if is_name(first) => (Kind::Name, length_while(is_name)),
            '*' | '/' if rest[1..].starts_with(first) => (Kind::Operator, 2),
            '=' | '!' | '<' | '>' if rest[1..].starts_with('=') => (Kind::Operator, 2),
            _ => (Kind::Operator, first.len_utf8()),
        };
        let text = &rest[..length];
        if matches!(text, ")" | "]" | "}") && kind == Kind::Operator {
            depth = depth.saturating_sub(1);
        }
        tokens.push(Token { kind, text, depth });
        if matches!(text, "(" | "[" | "{") && kind == Kind::Operator {
            depth += 1;
            if depth > MAX_BRACKETS {
                return Err(format!("nests brackets more than {MAX_BRACKETS} deep"));
            }
        }
        if tokens.len() > MAX_TOKENS {
            return Err(format!("has a tag of more than {MAX_TOKENS} words"));
        }
        rest = &rest[length..];
    }
    Ok(tokens)
}

/// The length of the string literal that begins here.
fn literal(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, char) in rest.char_indices().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if char == quote => return place + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A string literal whose escapes minijinja reads as Python's `unicode-escape` codec would.
pub(super) fn python_escapes(literal: &str) -> Cow<'_, str> {
    if !literal.contains('\\') {
        return Cow::Borrowed(literal);
    }
    let mut out = String::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(place) = rest.find('\\') {
        out.push_str(&rest[..place]);
        let escape = &rest[place..];
        let code = escape.chars().nth(1);
        let length = 1 + code.map_or(0, char::len_utf8);
        rest = &escape[length..];
        match code {
            Some('/') => out.push_str("\\\\/"),
            Some('a') => out.push_str("\\x07"),
            Some('v') => out.push_str("\\x0b"),
            Some('\n') => {}
            Some('U') => {
                let digits = rest.get(..8);
                let char = digits
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32);
                match char {
                    Some(char) => {
                        for unit in char.encode_utf16(&mut [0; 2]) {
                            out.push_str(&format!("\\u{unit:04x}"));
                        }
                        rest = &rest[8..];
                    }
                    None => out.push_str("\\U"),
                }
            }
            _ => out.push_str(&escape[..length]),
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The engine recurses into long expressions.
const MAX_TOKENS: usize = 5000;
/// The engine, and the rewriting, recurse into brackets.
const MAX_BRACKETS: usize = 100;
