//! Texts made alike before they are compared: Whisper's normalizers
//! (`models/whisper/english_normalizer.py` of transformers 4.57), for word error rates.
//!
//! ```
//! use sconce::speech::normalizer::{EnglishNormalizer, basic_normalize};
//!
//! assert_eq!(basic_normalize("Grüß Gott, Welt!", false), "grüß gott welt ");
//! let english = EnglishNormalizer::default();
//! assert_eq!(english.normalize("Mr. Smith can't pay twenty-one dollars."), "mister smith can not pay $21");
//! ```

mod english;
mod numbers;
mod values;

use regex::{Captures, Regex};

pub use english::EnglishNormalizer;

use crate::tokenizer::{composed, decomposed};

/// The text in lower case, without what stands in brackets, with spaces in place of punctuation, and without
/// accents where `remove_diacritics` says so: `basic_normalize` of Whisper's tokenizer. For any language.
#[must_use]
pub fn basic_normalize(text: &str, remove_diacritics: bool) -> String {
    let text = without_brackets(&text.to_lowercase());
    let text = match remove_diacritics {
        true => without_symbols_and_diacritics(&text, ""),
        false => patterns().symbols.replace_all(&composed(&text), " ").into_owned(),
    };
    single_spaces(&text.to_lowercase())
}

fn without_brackets(text: &str) -> String {
    let text = patterns().brackets.replace_all(text, "");
    patterns().parentheses.replace_all(&text, "").into_owned()
}

/// Without accents, and with spaces in place of symbols but for those to keep.
fn without_symbols_and_diacritics(text: &str, keep: &str) -> String {
    let replaced = |found: &Captures<'_>| -> String {
        let found = &found[0];
        if keep.contains(found) {
            return found.to_owned();
        }
        match LETTERS.iter().find(|(letter, _)| *letter == found) {
            Some((_, plain)) => (*plain).to_owned(),
            None if patterns().nonspacing.is_match(found) => String::new(),
            None => " ".to_owned(),
        }
    };
    patterns().symbols_and_letters.replace_all(&decomposed(text), replaced).into_owned()
}

fn single_spaces(text: &str) -> String {
    patterns().spaces.replace_all(text, " ").into_owned()
}

/// Words, at what Python takes for whitespace.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

struct Patterns {
    brackets: Regex,
    parentheses: Regex,
    symbols: Regex,
    symbols_and_letters: Regex,
    nonspacing: Regex,
    spaces: Regex,
}

fn patterns() -> &'static Patterns {
    static PATTERNS: std::sync::OnceLock<Patterns> = std::sync::OnceLock::new();
    PATTERNS.get_or_init(|| Patterns {
        brackets: pattern(r"[<\[][^>\]]*[>\]]"),
        parentheses: pattern(r"\(([^)]+?)\)"),
        symbols: pattern(r"[\p{M}\p{S}\p{P}]"),
        symbols_and_letters: pattern(r"[\p{M}\p{S}\p{P}œŒøØæÆßẞđĐðÐþÞłŁ]"),
        nonspacing: pattern(r"^\p{Mn}$"),
        spaces: pattern(r"[\s\x1c-\x1f]+"),
    })
}

/// One of the patterns in this module, which are all valid.
#[expect(clippy::expect_used, reason = "a pattern in the source is valid, as every test shows")]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern in the source")
}

/// Letters that NFKD leaves as they are: `ADDITIONAL_DIACRITICS`.
const LETTERS: [(&str, &str); 16] = [
    ("œ", "oe"),
    ("Œ", "OE"),
    ("ø", "o"),
    ("Ø", "O"),
    ("æ", "ae"),
    ("Æ", "AE"),
    ("ß", "ss"),
    ("ẞ", "SS"),
    ("đ", "d"),
    ("Đ", "D"),
    ("ð", "d"),
    ("Ð", "D"),
    ("þ", "th"),
    ("Þ", "th"),
    ("ł", "l"),
    ("Ł", "L"),
];
