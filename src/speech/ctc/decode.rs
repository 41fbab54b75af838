//! From ids of frames to text.

use serde::{Deserialize, Serialize};

use crate::speech::ctc::tokenizer::CtcTokenizer;
use crate::tokenizer::clean_up_spaces;

/// Text, and where its characters and words lie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CtcText {
    /// The text.
    pub text: String,
    /// Each character, spaces included: `char_offsets` of transformers.
    pub chars: Vec<CtcOffset>,
    /// Each word: `word_offsets` of transformers.
    pub words: Vec<CtcOffset>,
}

/// A character or a word, and the frames in which it lies. Seconds are frames times
/// [`inputs_to_logits_ratio`](crate::models::speech::Ctc::inputs_to_logits_ratio) divided by the sampling
/// rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CtcOffset {
    /// The character or the word.
    pub text: String,
    /// Its first frame.
    pub start: usize,
    /// The frame after its last.
    pub end: usize,
}

impl CtcTokenizer {
    /// The text of the ids of frames. Repeated ids are one character, and the blank is none.
    ///
    /// With `skip_special_tokens`, special ones are removed before that, the blank too, so that letters on
    /// both of its sides become one: transformers' pipeline decodes without it.
    #[must_use]
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> CtcText {
        let is_skipped =
            |id: u32| skip_special_tokens && self.special.contains(self.token_or_unknown(id));
        let tokens = ids.iter().filter(|&&id| !is_skipped(id)).map(|&id| self.token_or_unknown(id));
        let mut chars: Vec<(&str, usize, usize)> = Vec::new();
        for (frame, token) in tokens.enumerate() {
            match chars.last_mut() {
                Some((last, _, end)) if *last == token => *end = frame + 1,
                _ => chars.push((token, frame, frame + 1)),
            }
        }
        let chars: Vec<CtcOffset> = chars
            .into_iter()
            .filter(|(token, _, _)| Some(*token) != self.blank.as_deref())
            .map(|(token, start, end)| CtcOffset { text: self.written(token), start, end })
            .collect();
        let text: String = chars.iter().map(|char| char.text.as_str()).collect();
        let text = text.trim_matches(is_space);
        let text = if self.lower_case { text.to_lowercase() } else { text.to_owned() };
        let text = if self.cleans_up { clean_up_spaces(&text) } else { text };
        CtcText { text, words: self.words(&chars), chars }
    }

    /// What stands for a token in text.
    pub(super) fn written(&self, token: &str) -> String {
        let is_delimiter = Some(token) == self.delimiter.as_deref();
        if is_delimiter { self.between_words.clone() } else { token.to_owned() }
    }

    /// `_get_word_offsets` of the reference.
    fn words(&self, chars: &[CtcOffset]) -> Vec<CtcOffset> {
        let mut words: Vec<CtcOffset> = Vec::new();
        let mut in_word = false;
        for char in chars {
            let is_space = char.text == self.between_words;
            match words.last_mut() {
                Some(word) if in_word && !is_space => {
                    word.text.push_str(&char.text);
                    word.end = char.end;
                }
                _ if !is_space => words.push(char.clone()),
                _ => {}
            }
            in_word = !is_space;
        }
        words
    }
}

/// What Python's `strip` removes.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}
