//! Texts by characters, as Python counts them.

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

    /// `text[start:end]` of Python: cut to the text, empty where the end comes first.
    pub(super) fn slice(&self, start: usize, end: usize) -> &str {
        let byte = |at: usize| match &self.starts {
            None => at.min(self.text.len()),
            Some(starts) => starts.get(at).copied().unwrap_or(self.text.len()),
        };
        self.text.get(byte(start)..byte(end)).unwrap_or_default()
    }
}
