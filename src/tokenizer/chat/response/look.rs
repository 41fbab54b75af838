//! What is known of the text of calls before it is read: whether it begins one that has no marker of its own, where
//! a broken one ends, and what an id is made of.

use crate::fingerprint::fingerprint;

/// What is known of a text whose rest is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// It depends on what comes.
    Maybe,
}

/// Text that is gone through from its beginning; a part that is missing ends the search.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

/// `{"name": "…", "arguments": {`, also `parameters`, after `"type": "function"`, or in a list.
pub(super) fn json(text: &str) -> Verdict {
    bounded(text, || {
        let mut rest = Rest(text);
        rest.space();
        if rest.skip("[")? {
            rest.space();
        }
        rest.need("{")?;
        rest.space();
        if rest.skip("\"type\"")? {
            for token in [":", "\"function\"", ","] {
                rest.space();
                rest.need(token)?;
            }
            rest.space();
        }
        for token in ["\"name\"", ":", "\""] {
            rest.need(token)?;
            rest.space();
        }
        let end = rest.0.find(['"', '\n']).ok_or(Verdict::Maybe)?;
        rest.0 = &rest.0[end..];
        for token in ["\"", ","] {
            rest.need(token)?;
            rest.space();
        }
        if !rest.skip("\"parameters\"")? {
            rest.need("\"arguments\"")?;
        }
        for token in [":", "{"] {
            rest.space();
            rest.need(token)?;
        }
        Ok(())
    })
}

/// `[name(argument=` or `[name()`.
pub(super) fn python(text: &str) -> Verdict {
    bounded(text, || {
        let mut rest = Rest(text);
        rest.need("[")?;
        rest.space();
        rest.identifier()?;
        while rest.skip(".")? {
            rest.identifier()?;
        }
        rest.need("(")?;
        rest.space();
        if !rest.skip(")")? {
            rest.identifier()?;
            rest.space();
            rest.need("=")?;
        }
        Ok(())
    })
}

/// What stands before the arguments of a call whose name is not in the JSON.
pub(super) struct Head {
    pub(super) name: String,
    pub(super) id: Option<String>,
    /// In bytes, up to the brace of the arguments.
    pub(super) length: usize,
}

/// A name, maybe an id after its marker, maybe the marker of the arguments, and their brace.
pub(super) fn head(text: &str, id: &str, arguments: &str) -> Result<Head, Verdict> {
    let mut rest = Rest(text);
    rest.space();
    let name = rest.word()?.to_owned();
    rest.space();
    let own = match !id.is_empty() && rest.skip(id)? {
        true => Some(rest.word()?.to_owned()),
        false => None,
    };
    rest.space();
    rest.skip(arguments)?;
    rest.space();
    let length = text.len() - rest.0.len();
    rest.need("{")?;
    Ok(Head { name, id: own, length })
}

/// A semicolon before one more object: the length of what stands before its brace.
pub(super) fn another(text: &str) -> Result<usize, Verdict> {
    let mut rest = Rest(text);
    rest.space();
    rest.need(";")?;
    rest.space();
    let length = text.len() - rest.0.len();
    rest.need("{")?;
    Ok(length)
}

/// Whether a literal begins a text: whole, or perhaps, at the end of what has come.
pub(super) fn literal(text: &str, literal: &str) -> Verdict {
    match text.starts_with(literal) {
        true => Verdict::Yes,
        false if literal.starts_with(text) => Verdict::Maybe,
        false => Verdict::No,
    }
}

/// How far a call goes on that cannot be read: up to its closing marker, or to the next call. As an error how
/// much of it is known by now.
pub(super) fn lost(text: &str, open: &str, close: &str) -> Result<usize, usize> {
    match (text.find(close), text.find(open)) {
        (Some(closed), next) if next.is_none_or(|next| closed <= next) => Ok(closed + close.len()),
        (_, Some(next)) => Ok(next),
        _ => Err(text.len() - overlap(text, close).max(overlap(text, open))),
    }
}

/// The length of the longest end of `text` with which `marker` begins, except for all of it.
pub(super) fn overlap(text: &str, marker: &str) -> usize {
    let mut ends = marker.char_indices().map(|(end, _)| end).rev();
    ends.find(|&end| text.ends_with(&marker[..end])).unwrap_or(0)
}

/// Nine letters and digits, which are others for each number of a call and for each salt.
pub(super) fn id(salt: u64, index: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut hash = fingerprint(salt, &index.to_le_bytes());
    let mut digit = || {
        let digit = DIGITS[(hash % 36) as usize];
        hash /= 36;
        char::from(digit)
    };
    (0..9).map(|_| digit()).collect()
}

/// A beginning that is longer than any call's is none.
fn bounded(text: &str, look: impl FnOnce() -> Result<(), Verdict>) -> Verdict {
    match look() {
        Ok(()) => Verdict::Yes,
        Err(Verdict::Maybe) if text.len() > LONGEST => Verdict::No,
        Err(verdict) => verdict,
    }
}

impl<'a> Rest<'a> {
    fn space(&mut self) {
        self.0 = self.0.trim_start();
    }

    fn skip(&mut self, token: &str) -> Result<bool, Verdict> {
        match literal(self.0, token) {
            Verdict::Yes => self.0 = &self.0[token.len()..],
            Verdict::No => return Ok(false),
            Verdict::Maybe => return Err(Verdict::Maybe),
        }
        Ok(true)
    }

    fn need(&mut self, token: &str) -> Result<(), Verdict> {
        self.skip(token)?.then_some(()).ok_or(Verdict::No)
    }

    /// Letters, digits and what names and ids have besides.
    fn word(&mut self) -> Result<&'a str, Verdict> {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let end = self.0.find(|c| !part(c)).ok_or(Verdict::Maybe)?;
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (end > 0).then_some(word).ok_or(Verdict::No)
    }

    fn identifier(&mut self) -> Result<(), Verdict> {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.0.find(|c| !part(c));
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
        match end {
            _ if !self.0.is_empty() && !self.0.starts_with(starts) => Err(Verdict::No),
            Some(end) => {
                self.0 = &self.0[end..];
                Ok(())
            }
            None => Err(Verdict::Maybe),
        }
    }
}

/// In bytes.
const LONGEST: usize = 512;

/// What a text begins with that should not be there.
pub(super) fn unexpected(text: &str) -> String {
    match text.chars().next() {
        Some(char) => format!("an unexpected `{}`", char.escape_debug()),
        None => "an early end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_calls() {
        for text in [
            r#"{"name": "f", "parameters": {"#,
            "[\n {\"name\":\"f\",\n\"arguments\" : {}}]",
            r#"{"type": "function", "name": "f", "parameters": {}}"#,
        ] {
            let yes = text.rfind('{').unwrap() + 1;
            for end in (0..=text.len()).filter(|&end| text.is_char_boundary(end)) {
                let expected = if end >= yes { Verdict::Yes } else { Verdict::Maybe };
                assert_eq!(json(&text[..end]), expected, "{}", &text[..end]);
            }
        }
        for text in ["{}", r#"{"names""#, r#"{"name": 1"#, r#"{"name": "f", "age": 3"#, "[1", "a"] {
            assert_eq!(json(text), Verdict::No, "{text}");
        }
    }

    #[test]
    fn python_calls() {
        for text in ["[f()", "[a.b_1( x =", "[ f(x="] {
            assert_eq!(python(text), Verdict::Yes, "{text}");
            assert_eq!(python(&text[..text.len() - 1]), Verdict::Maybe, "{text}");
        }
        for text in ["[1", "[link](url)", "[f x", "[f(1", "[f(x)", "f("] {
            assert_eq!(python(text), Verdict::No, "{text}");
        }
    }

    #[test]
    fn long_beginnings_are_none() {
        assert_eq!(json(&format!("{{{}", " ".repeat(600))), Verdict::No);
    }
}
