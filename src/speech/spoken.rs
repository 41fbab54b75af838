//! What a model that speaks reads, and when what it stands for is heard.

use std::collections::BTreeSet;
use std::ops::Range;

/// The ids of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpokenIds {
    /// What the model reads; none where the voice knows no character of the text.
    pub ids: Vec<u32>,
    /// The characters that the voice does not know, each once: they are not spoken. White space is not among
    /// them.
    pub unknown: BTreeSet<char>,
    /// The text that this is read from, where a text is cut into several.
    pub text: Option<String>,
    /// What each id stands for, a letter or a phoneme; nothing for blanks and ends. Empty where this is not known.
    pub symbols: Vec<Option<char>>,
    /// The words of the text, each with the numbers of its ids. Without them, words are what lies between spaces
    /// among the symbols.
    pub words: Vec<(String, Range<usize>)>,
}

impl SpokenIds {
    /// Of some ids and the characters that have none.
    #[must_use]
    pub fn new(ids: Vec<u32>, unknown: BTreeSet<char>) -> Self {
        Self { ids, unknown, ..Self::default() }
    }

    /// The words with the numbers of their ids.
    #[must_use]
    pub fn spans(&self) -> Vec<(String, Range<usize>)> {
        if !self.words.is_empty() {
            return self.words.clone();
        }
        let mut words: Vec<(String, Range<usize>)> = Vec::new();
        let mut is_open = false;
        for (at, symbol) in self.symbols.iter().enumerate() {
            match symbol {
                None => {}
                Some(symbol) if symbol.is_whitespace() => is_open = false,
                Some(symbol) => match words.last_mut().filter(|_| is_open) {
                    Some((word, ids)) => {
                        word.push(*symbol);
                        ids.end = at + 1;
                    }
                    None => {
                        words.push((symbol.to_string(), at..at + 1));
                        is_open = true;
                    }
                },
            }
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lie_between_spaces() {
        let symbols = " ab  c-".chars().flat_map(|c| [None, Some(c)]).collect();
        let read = SpokenIds { symbols, ..SpokenIds::new(vec![0; 14], BTreeSet::new()) };
        assert_eq!(read.spans(), [("ab".to_owned(), 3..6), ("c-".to_owned(), 11..14)]);
        assert_eq!(SpokenIds::default().spans(), []);
    }
}
