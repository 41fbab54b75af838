//! Korean in Latin letters: the academic form of the Revised Romanization, as the package `hangul-romanize` of Python
//! has it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// A text whose syllables are in Latin letters; other characters stay.
pub(super) fn romanized(text: &str) -> String {
    let mut out = String::with_capacity(2 * text.len());
    // The last syllable's final.
    let mut before: Option<&str> = None;
    for letter in text.chars() {
        let number = (letter as u32).checked_sub(FIRST).filter(|&number| number < SYLLABLES);
        let Some(number) = number.map(|number| number as usize) else {
            out.push(letter);
            before = None;
            continue;
        };
        let (initial, vowel, last) =
            (INITIALS[number / 588], VOWELS[number / 28 % 21], FINALS[number % 28]);
        if let Some(before) = before
            && (initial.is_empty() || ambiguous().contains(&format!("{before}{initial}")))
        {
            out.push('-');
        }
        for part in [initial, vowel, last] {
            out.push_str(part);
        }
        before = Some(last);
    }
    out
}

/// What may be read as a final and an initial in several ways.
fn ambiguous() -> &'static BTreeSet<String> {
    static AMBIGUOUS: OnceLock<BTreeSet<String>> = OnceLock::new();
    AMBIGUOUS.get_or_init(|| {
        let pairs =
            FINALS.iter().flat_map(|last| INITIALS.map(|initial| format!("{last}{initial}")));
        let ways = |both: &String| {
            let parts = (0..both.len()).map(|at| both.split_at(at));
            parts
                .filter(|(last, initial)| FINALS.contains(last) && INITIALS.contains(initial))
                .count()
        };
        pairs.filter(|both| ways(both) > 1).collect()
    })
}

/// The first syllable, and how many there are.
const FIRST: u32 = 0xac00;
const SYLLABLES: u32 = 11_172;
const INITIALS: [&str; 19] = [
    "g", "kk", "n", "d", "tt", "l", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p",
    "h",
];
const VOWELS: [&str; 21] = [
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we",
    "wi", "yu", "eu", "ui", "i",
];
const FINALS: [&str; 28] = [
    "", "g", "kk", "gs", "n", "nj", "nh", "d", "l", "lg", "lm", "lb", "ls", "lt", "lp", "lh", "m",
    "b", "bs", "s", "ss", "ng", "j", "ch", "k", "t", "p", "h",
];
