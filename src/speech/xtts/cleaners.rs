//! Texts as XTTS was trained on them: lower case, with numbers, signs and abbreviations in words.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use regex::{Captures, Regex};

use crate::error::{Error, Result};
use crate::speech::xtts::hangul;
use crate::speech::xtts::languages::{Language, SIGNS};
use crate::speech::xtts::numbers::{cardinal, ordinal, point};

/// A text in words, and what was left as it is though it should be words.
pub(super) struct Cleaned {
    pub(super) text: String,
    pub(super) numbers_left: BTreeSet<String>,
}

/// `preprocess_text` of Coqui.
pub(super) fn clean(text: &str, language: &Language) -> Result<Cleaned> {
    let mut left = BTreeSet::new();
    let text = match language.code {
        "ja" if text.chars().any(is_japanese) => {
            return Err(written_otherwise("Japanese", "Latin letters (romaji)"));
        }
        "zh" if text.chars().any(is_han) => {
            return Err(written_otherwise("Chinese", "pinyin with numbers for tones (ni3hao3)"));
        }
        "ja" => text.to_lowercase(),
        code => {
            let text = text.replace('"', "");
            let text = match code {
                "tr" => text.replace('İ', "i"),
                _ => text,
            };
            let text = text.to_lowercase();
            // In pinyin, numbers are tones.
            let text = if code == "zh" { text } else { numbers(&text, language, &mut left) };
            let text = abbreviations(&text, language);
            let text = signs(&text, language);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if code == "ko" { hangul::romanized(&text) } else { text }
        }
    };
    Ok(Cleaned { text, numbers_left: left })
}

fn written_otherwise(language: &str, form: &str) -> Error {
    Error::input(format!(
        "XTTS reads {language} in {form}, and nothing here turns the script into it: do so first"
    ))
}

fn is_han(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

fn is_japanese(letter: char) -> bool {
    is_han(letter) || matches!(letter, '\u{3040}'..='\u{30ff}')
}

/// `expand_numbers_multilingual` of Coqui. What cannot be said stays, and is noted.
fn numbers(text: &str, language: &Language, left: &mut BTreeSet<String>) -> String {
    let patterns = patterns();
    let code = language.code;
    // What stands between thousands.
    let (grouped, mark) = match code {
        "en" | "ru" => (&patterns.commas, ","),
        _ => (&patterns.dots, "."),
    };
    let mut text =
        grouped.replace_all(text, |found: &Captures<'_>| found[0].replace(mark, "")).into_owned();
    for (number, pattern) in [(1, &patterns.pounds), (0, &patterns.dollars), (2, &patterns.euros)] {
        let Some(said) = replaced(pattern, &text, |found| money(&found[0], language, number))
        else {
            break;
        };
        text = said;
    }
    let decimal = |found: &Captures<'_>| {
        let (whole, fraction) = found[0].split_once(['.', ','])?;
        let digits = fraction.trim_end_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        let digits: Option<Vec<String>> =
            digits.bytes().map(|digit| cardinal(u64::from(digit - b'0'), code)).collect();
        let whole = cardinal(whole.parse().ok()?, code)?;
        Some(format!("{whole} {} {}", point(code)?, digits?.join(" ")))
    };
    let mut kept = |found: &Captures<'_>, said: Option<String>| {
        said.unwrap_or_else(|| {
            left.insert(found[0].to_owned());
            // Not looked at again.
            found[0].chars().map(hidden).collect()
        })
    };
    if code != "tr" {
        text = patterns
            .decimals
            .replace_all(&text, |found: &Captures<'_>| kept(found, decimal(found)))
            .into_owned();
    }
    if code == "en" {
        let said = |found: &Captures<'_>| ordinal(found[1].parse().ok()?);
        text = patterns
            .ordinals
            .replace_all(&text, |found: &Captures<'_>| kept(found, said(found)))
            .into_owned();
    }
    let whole = |found: &Captures<'_>| cardinal(found[0].parse().ok()?, code);
    let text = patterns.whole.replace_all(&text, |found: &Captures<'_>| kept(found, whole(found)));
    text.chars().map(shown).collect()
}

/// `None` where one of the places cannot be replaced.
fn replaced(
    pattern: &Regex,
    text: &str,
    said: impl Fn(&Captures<'_>) -> Option<String>,
) -> Option<String> {
    let (mut out, mut end) = (String::with_capacity(text.len()), 0);
    for found in pattern.captures_iter(text) {
        let range = found.get(0)?.range();
        out.push_str(&text[end..range.start]);
        out.push_str(&said(&found)?);
        end = range.end;
    }
    out.push_str(&text[end..]);
    Some(out)
}

/// An amount of dollars, pounds or euros, by their number.
fn money(found: &str, language: &Language, number: usize) -> Option<String> {
    let money = language.money.as_ref()?;
    let digits: String = found.replace(',', ".");
    let digits: String = digits.chars().filter(|&c| c.is_ascii_digit() || c == '.').collect();
    let amount: f64 = digits.parse().ok()?;
    if !(0.0..1e12).contains(&amount) {
        return None;
    }
    let hundredths = (amount * 100.0).round() as u64;
    let [one, many, cent, cents] = money.forms[number];
    let say = |count: u64, [one, many]: [&str; 2], of_one: &str| -> Option<String> {
        match count {
            1 => Some(format!("{of_one} {one}")),
            count => Some(format!("{} {many}", cardinal(count, language.code)?)),
        }
    };
    let of_one = money.one[usize::from(number == 1)];
    let whole = say(hundredths / 100, [one, many], of_one)?;
    if amount.fract() == 0.0 {
        return Some(whole);
    }
    let part = say(hundredths % 100, [cent, cents], money.one[0])?;
    Some(format!("{whole}{}{part}", money.between))
}

/// A digit in a place of letters for private use.
fn hidden(letter: char) -> char {
    match letter {
        '0'..='9' => char::from_u32(HIDDEN + letter as u32).unwrap_or(letter),
        other => other,
    }
}

fn shown(letter: char) -> char {
    match (letter as u32).checked_sub(HIDDEN).and_then(char::from_u32) {
        Some(digit @ '0'..='9') => digit,
        _ => letter,
    }
}

fn abbreviations(text: &str, language: &Language) -> String {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut text = text.to_owned();
    for (short, long) in language.abbreviations {
        // Russian ones have a hyphen, and no full stop.
        let ended = if short.contains('-') { (*short).to_owned() } else { format!("{short}.") };
        let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
        while let Some(at) = rest.find(&ended) {
            let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
            let after = rest[at + ended.len()..].chars().next();
            let is_word = !before.is_some_and(is_letter)
                && (ended.ends_with('.') || !after.is_some_and(is_letter));
            out.push_str(&rest[..at]);
            out.push_str(if is_word { long } else { &ended });
            rest = &rest[at + ended.len()..];
        }
        out.push_str(rest);
        text = out;
    }
    text
}

fn signs(text: &str, language: &Language) -> String {
    let mut text = text.to_owned();
    for (sign, said) in SIGNS.iter().zip(language.signs).filter(|(_, said)| !said.is_empty()) {
        text = text.replace(*sign, &format!(" {said} ")).replace("  ", " ");
    }
    text.trim().to_owned()
}

struct Patterns {
    commas: Regex,
    dots: Regex,
    dollars: Regex,
    pounds: Regex,
    euros: Regex,
    decimals: Regex,
    ordinals: Regex,
    whole: Regex,
}

fn patterns() -> &'static Patterns {
    static PATTERNS: OnceLock<Patterns> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        let money = |sign: &str| of(&format!(r"({sign}[0-9.,]*[0-9]+)|([0-9.,]*[0-9]+{sign})"));
        Patterns {
            commas: of(r"\b\d{1,3}(,\d{3})*(\.\d+)?\b"),
            dots: of(r"\b\d{1,3}(.\d{3})*(,\d+)?\b"),
            dollars: money(r"\$"),
            pounds: money("£"),
            euros: money("€"),
            decimals: of("[0-9]+[.,][0-9]+"),
            ordinals: of("([0-9]+)(st|nd|rd|th)"),
            whole: of("[0-9]+"),
        }
    })
}

/// One of the patterns of this module.
#[expect(clippy::expect_used, reason = "a pattern in the source is valid, as every test shows")]
fn of(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern in the source")
}

/// Where letters for private use begin.
const HIDDEN: u32 = 0xe000;
