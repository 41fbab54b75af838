//! Numbers in words become digits: `EnglishNumberNormalizer` of
//! `models/whisper/english_normalizer.py`.

use std::mem;
use std::sync::OnceLock;

use regex::{Captures, Regex};

use crate::speech::normalizer::values::{Value, stripped};
use crate::speech::normalizer::{pattern, split};

/// Reads words one after the other and writes the numbers that they make.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    written: Vec<String>,
    value: Option<Value>,
    prefix: Option<char>,
}

/// What a word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Zero,
    /// One to nineteen; the second is the ending of `twos` and `second`.
    Ones(u64, &'static str),
    Tens(u64, &'static str),
    /// A power of ten.
    Multiplier(usize, &'static str),
    /// `minus`.
    Before(char),
    /// `dollars`.
    After(char),
    Per,
    Percent,
    And,
    Repeat(usize),
    Point,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// The text with its numbers in digits.
    pub(super) fn standardize(mut self, text: &str) -> String {
        let text = prepared(text);
        let words: Vec<_> = split(&text).collect();
        let mut place = 0;
        while place < words.len() {
            let before = place.checked_sub(1).map(|before| words[before]);
            let after = words.get(place + 1).copied();
            place += self.word(words[place], before, after);
        }
        self.flush();
        finished(&self.written.join(" "))
    }

    /// Reads a word between two others, and returns how many words are read.
    fn word(&mut self, word: &str, before: Option<&str>, after: Option<&str>) -> usize {
        let kind_after = after.and_then(Kind::of);
        let may_go_on = kind_after.is_some() || after.is_some_and(|word| digits(word).is_some());
        let kind_before = before.and_then(Kind::of);
        let sign = word.chars().next().filter(|c| "-+£€$¢".contains(*c));
        let bare = sign.map_or(word, |sign| &word[sign.len_utf8()..]);
        if let Some(number) = digits(bare) {
            match &mut self.value {
                Some(Value::Digits(value)) if value.ends_with('.') => {
                    value.push_str(word);
                    return 1;
                }
                _ => self.flush(),
            }
            self.prefix = sign.or(self.prefix);
            self.value = Some(number);
            return 1;
        }
        let Some(kind) = Kind::of(word) else {
            self.flush();
            self.put(word);
            return 1;
        };
        match kind {
            Kind::Zero => self.follow("0"),
            Kind::Ones(ones, "") => self.value = Some(self.with_ones(ones, kind_before)),
            Kind::Ones(ones, ending) => {
                let value = self.with_ones(ones, kind_before);
                self.end(value.text(), ending);
            }
            Kind::Tens(tens, "") => self.value = Some(self.with_tens(tens)),
            Kind::Tens(tens, ending) => {
                let value = self.with_tens(tens);
                self.end(value.text(), ending);
            }
            Kind::Multiplier(zeros, ending) => self.multiply(zeros, ending),
            Kind::Before(sign) => {
                self.flush();
                match may_go_on {
                    true => self.prefix = Some(sign),
                    false => self.put(word),
                }
            }
            Kind::After(sign) => match self.value.is_some() {
                true => {
                    self.prefix = Some(sign);
                    self.flush();
                }
                false => self.put(word),
            },
            Kind::Percent if self.value.is_some() => self.end_value("%"),
            Kind::Per if self.value.is_some() && after == Some("cent") => {
                self.end_value("%");
                return 2;
            }
            Kind::Percent | Kind::Per => self.pass(word),
            Kind::And | Kind::Repeat(_) | Kind::Point if !may_go_on => self.pass(word),
            Kind::And => {
                if !matches!(kind_before, Some(Kind::Multiplier(_, ""))) {
                    self.pass(word);
                }
            }
            Kind::Repeat(times) => {
                let digit = match kind_after {
                    Some(Kind::Zero) => 0,
                    Some(Kind::Ones(ones, "")) => ones,
                    _ => {
                        self.pass(word);
                        return 1;
                    }
                };
                self.follow(&digit.to_string().repeat(times));
                return 2;
            }
            Kind::Point => {
                if kind_after.is_none_or(Kind::is_decimal) {
                    self.follow(".");
                }
            }
        }
        1
    }

    /// The value with one to nineteen behind or added to it.
    fn with_ones(&self, ones: u64, before: Option<Kind>) -> Value {
        let Some(value) = &self.value else { return Value::number(ones) };
        let is_digits = matches!(value, Value::Digits(_));
        if is_digits || matches!(before, Some(Kind::Ones(_, ""))) {
            return match before {
                Some(Kind::Tens(_, "")) if ones < 10 => {
                    let mut text = value.text().to_owned();
                    text.pop();
                    Value::Digits(text + &ones.to_string())
                }
                _ => value.followed_by(ones),
            };
        }
        match value.ends_in_zeros(if ones < 10 { 1 } else { 2 }) {
            true => value.plus(ones),
            false => value.followed_by(ones),
        }
    }

    fn with_tens(&self, tens: u64) -> Value {
        match &self.value {
            None => Value::number(tens),
            Some(value) if value.ends_in_zeros(2) => value.plus(tens),
            Some(value) => value.followed_by(tens),
        }
    }

    fn multiply(&mut self, zeros: usize, ending: &str) {
        let one = || format!("1{}", "0".repeat(zeros));
        let number = match &self.value {
            None => one(),
            Some(Value::Number(number)) if number != "0" => {
                Value::multiplied(&Value::Number(number.clone()), zeros)
            }
            // A whole number that is 0 stays one only where nothing ends it.
            Some(value) => match value.times(zeros) {
                Some(number) => number,
                None => {
                    self.flush();
                    one()
                }
            },
        };
        match ending {
            "" => self.value = Some(Value::Number(number)),
            ending => self.end(&number, ending),
        }
    }

    /// Adds digits, which become the last of the value.
    fn follow(&mut self, digits: &str) {
        let digits = format!("{}{digits}", Value::prefix(self.value.as_ref()));
        self.value = Some(Value::Digits(digits));
    }

    /// Writes a word with the sign that waits for a number.
    fn put(&mut self, word: &str) {
        let sign = mem::take(&mut self.prefix);
        self.value = None;
        self.written.push(sign.into_iter().chain(word.chars()).collect());
    }

    /// Writes a number with its ending.
    fn end(&mut self, number: &str, ending: &str) {
        self.put(&format!("{number}{ending}"));
    }

    fn end_value(&mut self, ending: &str) {
        if let Some(value) = self.value.take() {
            self.end(value.text(), ending);
        }
    }

    /// Writes the number, if there is one.
    fn flush(&mut self) {
        self.end_value("");
    }

    /// Writes the number, and the word as it is.
    fn pass(&mut self, word: &str) {
        self.flush();
        self.put(word);
    }
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        let (table, plain): (&[(&str, Self)], _) = (&WORDS, word);
        if let Some((_, kind)) = table.iter().find(|(known, _)| *known == plain) {
            return Some(*kind);
        }
        // Endings: `fours` and `fourth`, `forties` and `fortieth`, `millions` and `millionth`.
        let ending = |suffix: &str, of: &'static str| Some((word.strip_suffix(suffix)?, of));
        let stems = [
            ending("s", "s").map(|(stem, of)| (stem.to_owned(), of)),
            ending("th", "th").map(|(stem, of)| (stem.to_owned(), of)),
            ending("ies", "s").map(|(stem, of)| (format!("{stem}y"), of)),
            ending("ieth", "th").map(|(stem, of)| (format!("{stem}y"), of)),
        ];
        for (place, (stem, of)) in stems.into_iter().enumerate().filter_map(|(p, s)| Some((p, s?)))
        {
            let found = table.iter().find(|(known, _)| *known == stem).map(|(_, kind)| *kind);
            match (found, place) {
                // `sixs`, `fiveth`, `eightth` and such are none.
                (Some(Self::Ones(value, "")), 0) if value != 6 => {
                    return Some(Self::Ones(value, of));
                }
                (Some(Self::Ones(value, "")), 1) if !matches!(value, 1..=3 | 5 | 8 | 12) => {
                    return Some(Self::Ones(value, of));
                }
                (Some(Self::Tens(value, "")), 2 | 3) => return Some(Self::Tens(value, of)),
                (Some(Self::Multiplier(zeros, "")), 0 | 1) => {
                    return Some(Self::Multiplier(zeros, of));
                }
                _ => {}
            }
        }
        None
    }

    /// Whether it can stand behind a point.
    fn is_decimal(self) -> bool {
        matches!(self, Self::Zero | Self::Ones(_, "") | Self::Tens(_, ""))
    }
}

/// A number in digits, with or without a point.
fn digits(word: &str) -> Option<Value> {
    let found = patterns().number.is_match(word);
    let ascii: String = if found { word.chars().map(ascii_digit).collect() } else { return None };
    let (whole, fraction) = ascii.split_once('.').unwrap_or((&ascii, ""));
    Some(match fraction.bytes().all(|digit| digit == b'0') {
        true => Value::Number(stripped(whole)),
        false => Value::Digits(word.to_owned()),
    })
}

/// A digit of any script by its value: those of a script stand one after the other.
fn ascii_digit(c: char) -> char {
    if c.is_ascii() {
        return c;
    }
    let decimal = &patterns().decimal;
    let is_digit = |code: u32| {
        char::from_u32(code).is_some_and(|c| decimal.is_match(c.encode_utf8(&mut [0; 4])))
    };
    let before = (1..=u32::from(c)).take_while(|back| is_digit(u32::from(c) - back)).count() % 10;
    u32::try_from(before).ok().and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

/// Halves in words, and spaces between digits and letters.
fn prepared(text: &str) -> String {
    let mut parts = Vec::new();
    let segments: Vec<_> = patterns().half.split(text).collect();
    for (place, segment) in segments.iter().enumerate() {
        let Some(last) = split(segment).last() else { continue };
        parts.push(*segment);
        if place + 1 < segments.len() {
            let kind = Kind::of(last);
            let is_number = kind
                .is_some_and(|kind| kind.is_decimal() || matches!(kind, Kind::Multiplier(_, "")));
            parts.push(if is_number { "point five" } else { "and a half" });
        }
    }
    let text = patterns().letter_digit.replace_all(&parts.join(" "), "$1 $2").into_owned();
    let text = patterns().digit_letter.replace_all(&text, "$1 $2").into_owned();
    patterns().suffix.replace_all(&text, "${1}${2}").into_owned()
}

/// `$2 and ¢7` is `$2.07`, `$0.07` is `¢7`, and `1` is `one`.
fn finished(text: &str) -> String {
    let cents = |found: &Captures<'_>| format!("{}{}.{:0>2}", &found[1], &found[2], &found[3]);
    let text = patterns().cents.replace_all(text, cents).into_owned();
    let small = |found: &Captures<'_>| format!("¢{}", stripped(&found[1]));
    let text = patterns().only_cents.replace_all(&text, small).into_owned();
    patterns().one.replace_all(&text, "one$1").into_owned()
}

struct Patterns {
    number: Regex,
    decimal: Regex,
    half: Regex,
    letter_digit: Regex,
    digit_letter: Regex,
    suffix: Regex,
    cents: Regex,
    only_cents: Regex,
    one: Regex,
}

fn patterns() -> &'static Patterns {
    static PATTERNS: OnceLock<Patterns> = OnceLock::new();
    PATTERNS.get_or_init(|| Patterns {
        number: pattern(r"^\d+(\.\d+)?$"),
        decimal: pattern(r"^\d$"),
        half: pattern(r"\band[\s\x1c-\x1f]+a[\s\x1c-\x1f]+half\b"),
        letter_digit: pattern("([a-z])([0-9])"),
        digit_letter: pattern("([0-9])([a-z])"),
        suffix: pattern(r"([0-9])[\s\x1c-\x1f]+(st|nd|rd|th|s)\b"),
        cents: pattern(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"),
        only_cents: pattern(r"[€£$]0.([0-9]{1,2})\b"),
        one: pattern(r"\b1(s?)\b"),
    })
}

/// Every word of a number, but for those with an ending that all have.
const WORDS: [(&str, Kind); 68] = [
    ("o", Kind::Zero),
    ("oh", Kind::Zero),
    ("zero", Kind::Zero),
    ("one", Kind::Ones(1, "")),
    ("two", Kind::Ones(2, "")),
    ("three", Kind::Ones(3, "")),
    ("four", Kind::Ones(4, "")),
    ("five", Kind::Ones(5, "")),
    ("six", Kind::Ones(6, "")),
    ("seven", Kind::Ones(7, "")),
    ("eight", Kind::Ones(8, "")),
    ("nine", Kind::Ones(9, "")),
    ("ten", Kind::Ones(10, "")),
    ("eleven", Kind::Ones(11, "")),
    ("twelve", Kind::Ones(12, "")),
    ("thirteen", Kind::Ones(13, "")),
    ("fourteen", Kind::Ones(14, "")),
    ("fifteen", Kind::Ones(15, "")),
    ("sixteen", Kind::Ones(16, "")),
    ("seventeen", Kind::Ones(17, "")),
    ("eighteen", Kind::Ones(18, "")),
    ("nineteen", Kind::Ones(19, "")),
    ("sixes", Kind::Ones(6, "s")),
    ("zeroth", Kind::Ones(0, "th")),
    ("first", Kind::Ones(1, "st")),
    ("second", Kind::Ones(2, "nd")),
    ("third", Kind::Ones(3, "rd")),
    ("fifth", Kind::Ones(5, "th")),
    ("eighth", Kind::Ones(8, "th")),
    ("twelfth", Kind::Ones(12, "th")),
    ("twenty", Kind::Tens(20, "")),
    ("thirty", Kind::Tens(30, "")),
    ("forty", Kind::Tens(40, "")),
    ("fifty", Kind::Tens(50, "")),
    ("sixty", Kind::Tens(60, "")),
    ("seventy", Kind::Tens(70, "")),
    ("eighty", Kind::Tens(80, "")),
    ("ninety", Kind::Tens(90, "")),
    ("hundred", Kind::Multiplier(2, "")),
    ("thousand", Kind::Multiplier(3, "")),
    ("million", Kind::Multiplier(6, "")),
    ("billion", Kind::Multiplier(9, "")),
    ("trillion", Kind::Multiplier(12, "")),
    ("quadrillion", Kind::Multiplier(15, "")),
    ("quintillion", Kind::Multiplier(18, "")),
    ("sextillion", Kind::Multiplier(21, "")),
    ("septillion", Kind::Multiplier(24, "")),
    ("octillion", Kind::Multiplier(27, "")),
    ("nonillion", Kind::Multiplier(30, "")),
    ("decillion", Kind::Multiplier(33, "")),
    ("minus", Kind::Before('-')),
    ("negative", Kind::Before('-')),
    ("plus", Kind::Before('+')),
    ("positive", Kind::Before('+')),
    ("pound", Kind::After('£')),
    ("pounds", Kind::After('£')),
    ("euro", Kind::After('€')),
    ("euros", Kind::After('€')),
    ("dollar", Kind::After('$')),
    ("dollars", Kind::After('$')),
    ("cent", Kind::After('¢')),
    ("cents", Kind::After('¢')),
    ("per", Kind::Per),
    ("percent", Kind::Percent),
    ("and", Kind::And),
    ("double", Kind::Repeat(2)),
    ("triple", Kind::Repeat(3)),
    ("point", Kind::Point),
];
