//! Long texts in parts that fit, cut between sentences.

use crate::error::{Error, Result};

/// As few parts as possible of which each fits: whole sentences where sentences fit, else words. A word that
/// does not fit is an error.
pub(in crate::pipeline) fn parts(
    text: &str,
    fits: impl Fn(&str) -> Result<bool>,
) -> Result<Vec<&str>> {
    if fits(text)? {
        return Ok(vec![text]);
    }
    let mut pieces = Vec::new();
    for sentence in sentences(text) {
        match fits(sentence)? {
            true => pieces.push(sentence),
            false => pieces.extend(sentence.split_whitespace()),
        }
    }
    let offset = |piece: &str| piece.as_ptr().addr() - text.as_ptr().addr();
    let mut parts = Vec::new();
    let mut rest = pieces.as_slice();
    while let [first, others @ ..] = rest {
        let start = offset(first);
        let through = |count: usize| {
            let last = rest[count];
            &text[start..offset(last) + last.len()]
        };
        // How many more pieces go with the first: in strides that double, then by halves.
        let (mut fit, mut stride) = (0, 1);
        while fit + stride <= others.len() && fits(through(fit + stride))? {
            fit += stride;
            stride *= 2;
        }
        while stride > 0 {
            if fit + stride <= others.len() && fits(through(fit + stride))? {
                fit += stride;
            }
            stride /= 2;
        }
        if fit == 0 && !fits(first)? {
            let reason = "a word of the text alone has more tokens than the model reads";
            return Err(Error::input(reason));
        }
        parts.push(through(fit));
        rest = &rest[fit + 1..];
    }
    Ok(parts)
}

/// The sentences of a text, without the spaces between them: up to a mark that ends one, the quotes and
/// brackets behind it, and a space; in scripts without spaces up to the mark.
pub(in crate::pipeline) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let ends = match c {
            '\n' => rest.peek().is_some_and(|(_, next)| *next == '\n'),
            '.' | '!' | '?' | '…' | '。' | '！' | '？' | '।' | '؟' => {
                while let Some((_, next)) = rest.peek()
                    && ".!?…\"'”’»)]」』".contains(*next)
                {
                    rest.next();
                }
                let wide = matches!(c, '。' | '！' | '？');
                let follows = rest.peek().is_none_or(|(_, next)| next.is_whitespace());
                wide || follows && !(c == '.' && is_abbreviated(&text[start..at], rest.clone()))
            }
            _ => false,
        };
        if ends {
            let end = rest.peek().map_or(text.len(), |(at, _)| *at);
            sentences.push(text[start..end].trim());
            start = end;
        }
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

/// Whether a full stop after this text belongs to its last word: an initial, a common abbreviation, or
/// anything before a word in lower case.
fn is_abbreviated(before: &str, mut after: impl Iterator<Item = (usize, char)>) -> bool {
    let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    let next = after.find(|(_, c)| !c.is_whitespace());
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let short = ABBREVIATIONS.contains(&word.to_lowercase().as_str());
    initial || short || next.is_some_and(|(_, c)| c.is_lowercase())
}

const ABBREVIATIONS: &[&str] = &[
    "approx", "art", "ca", "cf", "co", "corp", "dr", "e.g", "fig", "gen", "i.e", "inc", "jr",
    "ltd", "mr", "mrs", "ms", "no", "nr", "prof", "rev", "sen", "sr", "st", "vs", "z.b",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_end_at_their_marks() {
        for (text, expected) in [
            ("One. Two! Three?", &["One.", "Two!", "Three?"][..]),
            (
                "Dr. A. Smith paid approx. 3.5 dollars. \"Really?\" He did.",
                &["Dr. A. Smith paid approx. 3.5 dollars.", "\"Really?\"", "He did."],
            ),
            ("Wait... what. next", &["Wait... what. next"]),
            ("你好。世界！好", &["你好。", "世界！", "好"]),
            ("A heading\n\nThe text", &["A heading", "The text"]),
            (" ", &[]),
        ] {
            assert_eq!(sentences(text), expected, "{text:?}");
        }
    }

    #[test]
    fn parts_are_as_long_as_fits() {
        let fits = |most: usize| move |part: &str| Ok(part.split_whitespace().count() <= most);
        let text = "One two. Three four five. Six. Seven eight nine ten eleven. Twelve.";
        assert_eq!(parts(text, fits(20)).unwrap(), [text]);
        let five = parts(text, fits(5)).unwrap();
        assert_eq!(
            five,
            ["One two. Three four five.", "Six.", "Seven eight nine ten eleven.", "Twelve."]
        );
        let three = parts(text, fits(3)).unwrap();
        assert_eq!(
            three,
            ["One two.", "Three four five.", "Six. Seven eight", "nine ten eleven.", "Twelve."]
        );
        assert!(parts(text, |part| Ok(part.len() < 5)).is_err());
        let many = "A b c. ".repeat(300);
        let found = parts(&many, fits(100)).unwrap();
        assert!(found.iter().all(|part| part.split_whitespace().count() <= 100));
        assert_eq!((found.len(), found.join(" ")), (10, many.trim().to_owned()));
    }
}
