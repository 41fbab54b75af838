//! Letters of models that write one for each frame: `Wav2Vec2CTCTokenizer`.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::tokenizer::processor::Cut;
use crate::tokenizer::unconverted::space::{is_space, strip};

/// How letters become text.
pub(super) struct Letters {
    /// `pad_token`: no letter.
    pub(super) blank: Option<String>,
    /// What stands between words, and what is written for it.
    pub(super) delimiter: Option<String>,
    pub(super) between: String,
    pub(super) lower_case: bool,
}

impl Letters {
    /// A text before added tokens are looked for: where the model has capitals alone, all but special tokens is
    /// in lower case first.
    pub(super) fn lowered<'a>(&self, text: &'a str, special: &HashSet<String>) -> Cow<'a, str> {
        if !self.lower_case {
            return Cow::Borrowed(text);
        }
        let mut lowered = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let found = special.iter().filter(|token| rest.starts_with(token.as_str()));
            match found.max_by_key(|token| token.len()).filter(|token| !token.is_empty()) {
                Some(token) => {
                    lowered.push_str(token);
                    rest = &rest[token.len()..];
                }
                None => {
                    lowered.extend(next.to_lowercase());
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        Cow::Owned(lowered)
    }

    /// A letter each, with a delimiter for each space.
    pub(super) fn cut(&self, text: &str) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for (start, letter) in text.char_indices() {
            let origin = start..start + letter.len_utf8();
            let mut push = |piece: String| cuts.push(Cut { piece, origin: origin.clone() });
            match &self.delimiter {
                Some(delimiter) if letter == ' ' => {
                    delimiter.chars().for_each(|letter| push(letter.to_string()));
                }
                _ if self.lower_case => {
                    letter.to_uppercase().for_each(|letter| push(letter.to_string()));
                }
                _ => push(letter.to_string()),
            }
        }
        cuts
    }

    /// Repeated tokens are one letter, and the blank is none.
    pub(super) fn join<'a>(&self, tokens: impl Iterator<Item = &'a str>) -> String {
        let mut text = String::new();
        let mut last = None;
        for token in tokens {
            if last.replace(token) == Some(token) || Some(token) == self.blank.as_deref() {
                continue;
            }
            let is_delimiter = Some(token) == self.delimiter.as_deref();
            text.push_str(if is_delimiter { &self.between } else { token });
        }
        let text = strip(&text);
        if self.lower_case { text.to_lowercase() } else { text }
    }

    /// Whether text that comes later may change how a token ends: spaces are stripped at the end.
    pub(super) fn is_open(&self, token: &str) -> bool {
        let is_delimiter = Some(token) == self.delimiter.as_deref();
        (if is_delimiter { &self.between } else { token }).ends_with(is_space)
    }
}
