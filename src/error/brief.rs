//! Texts for people, bounded: what a file or a caller wrote may be megabytes long, or hold characters that
//! a terminal acts on.

use std::borrow::Cow;

/// The text; its beginning and end where it is long. Control characters other than line breaks are
/// escaped.
pub(crate) fn brief(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| c.is_control() && c != '\n';
    if text.len() <= MOST_TEXT && !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let cut = |text: &str| match text.len() > MOST_TEXT {
        false => text.to_owned(),
        true => {
            let head = boundary(text, BEGINNING);
            let tail = boundary(text, text.len() - END);
            let left_out = tail - head;
            format!("{}[… {left_out} bytes left out …]{}", &text[..head], &text[tail..])
        }
    };
    // Cut first: a megabyte need not be escaped. Escapes are longer, so cut again.
    let mut escaped = String::new();
    for c in cut(text).chars() {
        match is_unsafe(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(cut(&escaped))
}

/// The last boundary of characters at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The longest text of an error or a warning, in bytes.
const MOST_TEXT: usize = 2_000;
/// What stays of a longer one.
const BEGINNING: usize = 1_300;
const END: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_keep_their_ends_and_nothing_moves_the_cursor() {
        assert_eq!(brief("short\nand plain – ü"), "short\nand plain – ü");
        assert_eq!(brief("a\x1b[2Jb\0\u{9b}"), r"a\u{1b}[2Jb\u{0}\u{9b}");
        for long in ["é".repeat(500_000), "\0".repeat(139_000), "x\u{1b}é".repeat(700)] {
            let text = format!("the beginning{long}the end");
            let brief = brief(&text);
            assert!(brief.len() <= MOST_TEXT, "{}", brief.len());
            assert!(brief.starts_with("the beginning") && brief.ends_with("the end"));
            assert!(brief.contains("bytes left out") && !brief.contains('\0'));
        }
    }
}
