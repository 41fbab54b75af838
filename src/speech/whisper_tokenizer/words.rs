//! Ids put together to words: `_combine_tokens_into_words` of
//! `models/whisper/tokenization_whisper.py`.

use std::ops::Range;

use crate::error::Result;
use crate::speech::whisper_tokenizer::WhisperTokenizer;

impl WhisperTokenizer {
    /// The words of ids, and which of the ids each is made of. In languages without spaces a word is what
    /// the smallest number of tokens makes; `language` is the English name, and `None` is one with spaces.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn words(
        &self,
        ids: &[u32],
        language: Option<&str>,
    ) -> Result<Vec<(String, Range<usize>)>> {
        let mut words = self.split_on_unicode(ids)?;
        if !language.is_some_and(|language| WITHOUT_SPACES.contains(&language)) {
            words = self.split_on_spaces(ids, words);
        }
        merge_punctuations(&mut words);
        Ok(words)
    }

    /// Splits wherever the characters are whole.
    fn split_on_unicode(&self, ids: &[u32]) -> Result<Vec<(String, Range<usize>)>> {
        let whole: Vec<char> = self.decode(ids, false)?.chars().collect();
        let mut words = Vec::new();
        let (mut from, mut offset) = (0, 0);
        for place in 0..ids.len() {
            let text = self.decode(&ids[from..=place], false)?;
            let broken = text.chars().position(|c| c == char::REPLACEMENT_CHARACTER);
            // What is broken in the whole text stays so.
            if broken.is_none_or(|at| {
                whole.get(offset + at).is_none_or(|&c| c == char::REPLACEMENT_CHARACTER)
            }) {
                offset += text.chars().count();
                words.push((text, from..place + 1));
                from = place + 1;
            }
        }
        Ok(words)
    }

    /// Puts together what no space and no punctuation separates.
    fn split_on_spaces(
        &self,
        ids: &[u32],
        parts: Vec<(String, Range<usize>)>,
    ) -> Vec<(String, Range<usize>)> {
        let mut words: Vec<(String, Range<usize>)> = Vec::new();
        for (text, range) in parts {
            let is_special = ids[range.start] >= self.end_of_text;
            let begins =
                is_special || text.starts_with(' ') || PUNCTUATION.contains(stripped(&text));
            match words.last_mut() {
                Some((word, of)) if !begins => {
                    word.push_str(&text);
                    of.end = range.end;
                }
                _ => words.push((text, range)),
            }
        }
        words
    }
}

/// Puts marks that open to the next word, and all others to the word before.
fn merge_punctuations(words: &mut Vec<(String, Range<usize>)>) {
    let mut next = words.len().saturating_sub(1);
    for place in (0..next).rev() {
        let text = &words[place].0;
        if text.starts_with(' ') && PREPENDED.contains(stripped(text)) {
            let (text, range) = std::mem::take(&mut words[place]);
            let (after, of) = &mut words[next];
            *after = text + &*after;
            of.start = range.start;
        } else {
            next = place;
        }
    }
    let mut last = 0;
    for place in 1..words.len() {
        if !words[last].0.ends_with(' ') && APPENDED.contains(words[place].0.as_str()) {
            let (text, range) = std::mem::take(&mut words[place]);
            let (before, of) = &mut words[last];
            before.push_str(&text);
            // What has been put to the next word is at no place any more.
            *of = match (of.start == of.end, range.start == range.end) {
                (true, _) => range,
                (false, true) => of.clone(),
                (false, false) => of.start..range.end,
            };
        } else {
            last = place;
        }
    }
    words.retain(|(word, _)| !word.is_empty());
}

/// Without whitespace around it, which for Python some control characters are.
fn stripped(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Languages that are written without spaces between words.
const WITHOUT_SPACES: [&str; 6] = ["chinese", "japanese", "thai", "lao", "myanmar", "cantonese"];

const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const PREPENDED: &str = "\"'“¡¿([{-";
const APPENDED: &str = "\"'.。,，!！?？:：”)]}、";
