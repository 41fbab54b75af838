//! What Python knows of characters and Rust's standard library does not.

use std::sync::LazyLock;

use regex::Regex;

/// A set of characters, as a pattern that a whole text must match.
type Class = LazyLock<Option<Regex>>;

macro_rules! class {
    ($pattern:expr) => {
        LazyLock::new(|| Regex::new($pattern).ok())
    };
}
/// `str.isalpha`.
pub(super) static LETTERS: Class = class!(r"^\p{L}+$");
/// `str.isalnum`.
pub(super) static LETTERS_AND_NUMBERS: Class = class!(r"^[\p{L}\p{N}]+$");
/// `str.isdecimal`.
pub(super) static DECIMALS: Class = class!(r"^\p{Nd}+$");
/// `str.isdigit`: decimals, and those that stand above, below or in circles.
pub(super) static DIGITS: Class = class!(concat!(
    r"^[\p{Nd}²³¹፩-፱\x{19da}⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒",
    r"\x{10a40}-\x{10a43}\x{10e60}-\x{10e68}\x{11052}-\x{1105a}\x{1f100}-\x{1f10a}]+$",
));
/// `str.isnumeric`: numbers of every kind, ideographs among them.
pub(super) static NUMBERS: Class = class!(concat!(
    r"^[\p{N}",
    "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍",
    "弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零參拾兩零六陸什𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭",
    "廾",
    r"]+$",
));
/// `str.isidentifier`.
pub(super) static IDENTIFIER: Class = class!(r"^[\p{XID_Start}_]\p{XID_Continue}*$");
/// `\w+`.
static WORD: Class = class!(r"[\p{L}\p{N}_]+");
/// Characters that begin a title, and are neither in upper nor in lower case.
static TITLE_CASE: Class = class!(r"^\p{Lt}$");

/// Whether all of a text is of a class; never of empty text.
pub(super) fn is_all(text: &str, class: &Class) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(text))
}

/// How many words a text has.
pub(super) fn words(text: &str) -> usize {
    WORD.as_ref().map_or(0, |word| word.find_iter(text).count())
}

/// Whether a character is one of those that begin a title.
pub(super) fn is_title(char: char) -> bool {
    !char.is_ascii() && is_all(char.encode_utf8(&mut [0; 4]), &TITLE_CASE)
}

/// Whether a character has a case.
pub(super) fn is_cased(char: char) -> bool {
    char.is_uppercase() || char.is_lowercase() || is_title(char)
}

/// A text whose decimals of all scripts are written 0 to 9.
pub(super) fn with_ascii_decimals(text: &str) -> String {
    let is_decimal = |code: u32| {
        char::from_u32(code).is_some_and(|char| is_all(char.encode_utf8(&mut [0; 4]), &DECIMALS))
    };
    let ascii = |char: char| {
        let code = u32::from(char);
        if char.is_ascii() || !is_decimal(code) {
            return char;
        }
        // They come in runs of ten from a zero.
        let before = (1..).take_while(|back| is_decimal(code - back)).count() as u32;
        char::from_digit(before % 10, 10).unwrap_or(char)
    };
    text.chars().map(ascii).collect()
}

/// A character as it begins a title: of a ligature the first letter only is raised.
pub(super) fn titled(char: char) -> String {
    let code = u32::from(char);
    let same = |code: u32| char::from_u32(code).unwrap_or(char).to_string();
    let upper: String = char.to_uppercase().collect();
    match code {
        // The digraphs of Croatian, in upper, title and lower case each.
        0x1c4..=0x1cc => same((code - 0x1c4) / 3 * 3 + 0x1c5),
        0x1f1..=0x1f3 => same(0x1f2),
        0x149 => upper,
        // Georgian has titles in lower case.
        0x10d0..=0x10ff => same(code),
        // Greek with an iota below or beside.
        0x1f80..=0x1faf => same(code | 8),
        0x1fb3 | 0x1fbc => same(0x1fbc),
        0x1fc3 | 0x1fcc => same(0x1fcc),
        0x1ff3 | 0x1ffc => same(0x1ffc),
        0x1fb2..=0x1ff7 if upper.ends_with('Ι') => upper.replace('Ι', "\u{345}"),
        _ => {
            let mut letters = upper.chars();
            match letters.next() {
                Some(first) => first.to_string() + &letters.as_str().to_lowercase(),
                None => upper,
            }
        }
    }
}

/// `str.casefold`.
pub(super) fn folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            // A letter of its own, in Turkish.
            'ı' => folded.push(char),
            'ẞ' => folded.push_str("ss"),
            // Cherokee is folded to upper case.
            'Ꭰ'..='ᏽ' | 'ꭰ'..='ꮿ' => folded.extend(char.to_uppercase()),
            _ => folded.extend(char.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    folded
}
