//! White space as Python sees it.

/// Python's `str.strip`.
pub(super) fn strip(text: &str) -> String {
    text.trim_matches(is_space).to_owned()
}

/// Python's `str.isspace`.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}
