//! Words as NLTK cuts them: `word_tokenize(text, preserve_line=True)`.
//!
//! Source: `NLTKWordTokenizer` in `tokenize/destructive.py` of NLTK 3.10.

use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::tokenizer::processor::Cut;
use crate::tokenizer::unconverted::space::is_space;

/// The words of a text, punctuation apart. A straight quote becomes two of another kind.
pub(super) fn words(text: &str) -> Vec<Cut> {
    let mut spaced = Spaced::new(text);
    for rule in RULES.iter() {
        spaced.apply(rule);
    }
    spaced.words()
}

/// A replacement in the text.
struct Rule {
    pattern: Regex,
    /// Where this matches what comes after, nothing is replaced.
    unless: Option<Regex>,
    /// `$1` and `$2` stand for what the groups have matched.
    with: &'static str,
}

/// In their order.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let compiled = |pattern: &str| Regex::new(pattern).ok();
    RULE_TEXTS
        .iter()
        .filter_map(|&(pattern, unless, with)| {
            let unless = if unless.is_empty() { None } else { compiled(unless) };
            Some(Rule { pattern: compiled(pattern)?, unless, with })
        })
        .collect()
});

/// What is replaced, what does not come after it, and by what it is replaced.
const RULE_TEXTS: &[(&str, &str, &str)] = &[
    // Opening quotes.
    ("([«“‘„]|`+)", "", " $1 "),
    (r#"\A""#, "", "``"),
    ("(``)", "", " $1 "),
    (r#"([ (\[{<])("|'{2})"#, "", "$1 `` "),
    (r"\B(')\b", r"\A(?i:re|ve|ll|m|t|s|d|n)\b", "$1 "),
    // Punctuation.
    (r#"([^.])(\.)([\])}>"'»”’ ]*)\s*\z"#, "", "$1 $2 $3 "),
    (r"([:,])([^\d])", "", " $1 $2"),
    (r"([:,])\z", "", " $1 "),
    (r"(\.{2,})", "", " $1 "),
    ("([;@#$%&])", "", " $1 "),
    (r"([\u{2012}-\u{2015}])", "", " $1 "),
    (r#"([^.])(\.)([\])}>"']*)\s*\z"#, "", "$1 $2$3 "),
    ("([?!])", "", " $1 "),
    ("([^'])' ", "", "$1 ' "),
    (r"(\*)", "", " $1 "),
    (r"([\]\[(){}<>])", "", " $1 "),
    ("(--)", "", " $1 "),
    // Closing quotes, between spaces.
    (r"\A", "", " "),
    (r"\z", "", " "),
    ("([»”’])", "", " $1 "),
    ("''", "", " '' "),
    ("\"", "", " '' "),
    (r"\s+", "", " "),
    ("([^' ])('[sS]|'[mM]|'[dD]|') ", "", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "", "$1 $2 "),
    // Contractions. What counts as a letter, and as an i, is what does for Python's `re`.
    (r"(?i)(\A|[^\p{L}\p{N}_])(can)(not)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(d)('ye)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(g[iıİ]m)(me)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(gon)(na)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(got)(ta)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(lem)(me)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(more)('n)", AFTER_WORD, "$1 $2 $3 "),
    (r"(?i)(\A|[^\p{L}\p{N}_])(wan)(na)", r"\A(?:[^\s\x1c-\x1f]|\z)", "$1 $2 $3 "),
    (r"(?i) ('t)([iıİ]s)", AFTER_WORD, " $1 $2 "),
    (r"(?i) ('t)(was)", AFTER_WORD, " $1 $2 "),
];

/// A word that goes on.
const AFTER_WORD: &str = r"\A[\p{L}\p{N}_]";

/// The text with spaces put into it, and for each of its bytes the one of the original.
struct Spaced {
    text: String,
    origins: Vec<u32>,
}

impl Spaced {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), origins: (0..).take(text.len()).collect() }
    }

    fn apply(&mut self, rule: &Rule) {
        let mut done = Self { text: String::new(), origins: Vec::new() };
        let mut last = 0;
        for found in rule.pattern.captures_iter(&self.text) {
            let Some(whole) = found.get(0) else { continue };
            let after = &self.text[whole.end()..];
            if rule.unless.as_ref().is_some_and(|unless| unless.is_match(after)) {
                continue;
            }
            done.copy(self, last..whole.start());
            done.put(self, &found, rule.with);
            last = whole.end();
        }
        if !done.text.is_empty() {
            done.copy(self, last..self.text.len());
            *self = done;
        }
    }

    fn copy(&mut self, from: &Self, range: Range<usize>) {
        self.text.push_str(&from.text[range.clone()]);
        self.origins.extend(&from.origins[range]);
    }

    /// What a match becomes.
    fn put(&mut self, from: &Self, found: &Captures<'_>, with: &str) {
        let whole = found.get(0).map_or(0..0, |whole| whole.range());
        // The last byte before or in the match, for what is new.
        let at = |offset: usize| {
            let place = (whole.start + offset).min(whole.end.saturating_sub(1));
            from.origins.get(place).or_else(|| from.origins.last()).copied().unwrap_or(0)
        };
        let mut rest = with.char_indices();
        let mut new = 0;
        while let Some((_, c)) = rest.next() {
            let digit = if c == '$' { rest.next().and_then(|(_, c)| c.to_digit(10)) } else { None };
            match digit {
                Some(group) => {
                    if let Some(group) = found.get(group as usize) {
                        self.copy(from, group.range());
                        new = group.end() - whole.start;
                    }
                }
                None => {
                    self.text.push(c);
                    self.origins.push(at(new));
                    new += usize::from(c != ' ');
                }
            }
        }
    }

    fn words(&self) -> Vec<Cut> {
        let mut words = Vec::new();
        let mut start = 0;
        for word in self.text.split_inclusive(is_space) {
            let piece = word.trim_end_matches(is_space);
            if !piece.is_empty() {
                let last = self.origins[start + piece.len() - 1] as usize;
                let origin = self.origins[start] as usize..last + 1;
                words.push(Cut { piece: piece.to_owned(), origin });
            }
            start += word.len();
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `make_embeddings.py` writes what NLTK makes of them.
    #[test]
    fn words_are_those_of_nltk() {
        let texts: Vec<(String, Vec<String>)> =
            serde_json::from_str(include_str!("../../../tests/goldens/embeddings/nltk_words.json"))
                .unwrap();
        assert!(texts.len() > 1000);
        for (text, expected) in texts {
            let found: Vec<_> = words(&text).into_iter().map(|word| word.piece).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn words_know_where_they_come_from() {
        let text = "\"é can't\" cannot, (''x'')";
        let found = words(text);
        let parts: Vec<_> = found
            .iter()
            .map(|Cut { piece, origin }| (piece.as_str(), &text[origin.clone()]))
            .collect();
        let expected = [
            ("``", "\""),
            ("é", "é"),
            ("ca", "ca"),
            ("n't", "n't"),
            ("''", "\""),
            ("can", "can"),
            ("not", "not"),
            (",", ","),
            ("(", "("),
            ("``", "''"),
            ("x", "x"),
            ("''", "''"),
            (")", ")"),
        ];
        assert_eq!(parts, expected);
    }
}
