//! Words in a row.

/// Those that are not empty.
pub(super) fn joined(words: Vec<String>, between: &str) -> String {
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(between)
}
