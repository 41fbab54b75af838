//! Texts by characters, as Python counts them.

use std::ops::Range;

/// A text that can be cut by character positions.
pub(super) struct Characters {
    text: String,
    /// Where each character begins, and the end; `None` where characters are bytes.
    starts: Option<Vec<usize>>,
}

impl Characters {
    pub(super) fn new(text: String) -> Self {
        let starts = (!text.is_ascii())
            .then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect());
        Self { text, starts }
    }

    /// Where `text[start:end]` of Python lies, in bytes: cut to the text, empty where the end comes
    /// first.
    pub(super) fn bytes(&self, start: usize, end: usize) -> Range<usize> {
        let byte = |at: usize| match &self.starts {
            None => at.min(self.text.len()),
            Some(starts) => starts.get(at).copied().unwrap_or(self.text.len()),
        };
        byte(start)..byte(end.max(start))
    }

    /// `text[start:end]` of Python.
    pub(super) fn slice(&self, start: usize, end: usize) -> &str {
        self.text.get(self.bytes(start, end)).unwrap_or_default()
    }
}
