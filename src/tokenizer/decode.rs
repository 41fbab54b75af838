//! From ids to text, whole or as they come.

use std::mem;
use std::sync::Arc;

use crate::error::Result;
use crate::tokenizer::chat::ResponseFormat;
use crate::tokenizer::shared::{Shared, Tokenizer};

/// Decodes ids one by one.
///
/// The pieces put together are exactly what [`Tokenizer::decode`]
/// makes of all ids: a piece never holds half a character, and what a later token could still
/// change is held back. That is a character whose bytes are not complete, a run of byte tokens
/// (`<0xE4>`, which stand for text only if all of them do), and a space that
/// `clean_up_tokenization_spaces` may remove. (CLIP's texts come out whole at the end.)
#[derive(Clone)]
pub struct DecodeStream {
    shared: Arc<Shared>,
    skip_special_tokens: bool,
    /// Special tokens that are its markers stay.
    format: ResponseFormat,
    /// A few ids whose text is already out, which the decoder needs to see what precedes, then
    /// the ids whose text is not.
    ids: Vec<u32>,
    /// How many of `ids` are context.
    context: usize,
    /// Text that a later token may change through `clean_up_tokenization_spaces`.
    held: String,
}

impl DecodeStream {
    fn new(shared: Arc<Shared>, skip_special_tokens: bool) -> Self {
        Self {
            shared,
            skip_special_tokens,
            format: ResponseFormat::PLAIN,
            ids: Vec::new(),
            context: 0,
            held: String::new(),
        }
    }

    /// Adds an id and returns the text that is now certain, if any.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>> {
        let Some(token) = self.contribution(id) else { return Ok(None) };
        self.ids.push(id);
        // Trimmed at the end, which may be anywhere.
        let backend = &self.shared.backend;
        if self.shared.settings.marks_word_ends
            || is_byte_token(&token)
            || backend.is_open(&self.ids)
        {
            return Ok(None);
        }
        let text = self.fresh()?;
        if text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        // The text is out: the last ids stay as context.
        self.ids.drain(..self.ids.len().saturating_sub(CONTEXT));
        self.context = self.ids.len();
        Ok(self.cleaned(text, false))
    }

    /// Ends the text and returns what was held back, if anything. The stream is then as if newly
    /// made.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self) -> Result<Option<String>> {
        let text = self.fresh()?;
        self.ids.clear();
        self.context = 0;
        Ok(self.cleaned(text, true))
    }

    /// The token, unless decoding leaves it out.
    fn contribution(&self, id: u32) -> Option<String> {
        let backend = &self.shared.backend;
        let token = backend.text_token(id)?;
        let skipped = self.skip_special_tokens && backend.is_special(id);
        (!skipped || self.format.needs(&token)).then_some(token)
    }

    /// The text of the ids after the context. Those that are left out are not among them.
    fn fresh(&self) -> Result<String> {
        let decode = |ids: &[u32]| self.shared.decode(ids, false);
        let whole = decode(&self.ids)?;
        let before = decode(&self.ids[..self.context])?;
        Ok(match whole.strip_prefix(before.as_str()) {
            Some(fresh) => fresh.to_owned(),
            // A decoder that looks further back than the context; the longest common part is out.
            None => {
                let common = whole.chars().zip(before.chars()).take_while(|(a, b)| a == b);
                whole.chars().skip(common.count()).collect()
            }
        })
    }

    /// Adds to the text held back and returns what no later text can change.
    fn cleaned(&mut self, text: String, is_end: bool) -> Option<String> {
        let certain = if self.shared.settings.clean_up_spaces {
            self.held.push_str(&text);
            let end = match is_end {
                true => self.held.len(),
                false => certain_length(&self.held),
            };
            let rest = self.held.split_off(end);
            clean_up_spaces(&mem::replace(&mut self.held, rest))
        } else {
            text
        };
        (!certain.is_empty()).then_some(certain)
    }
}

impl Tokenizer {
    /// The text of ids, as Python's `tokenizer.decode` returns it. Ids outside the vocabulary are
    /// left out, and so are spaces before punctuation if `clean_up_tokenization_spaces` is on.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails, which only a broken file can cause.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        self.decode_with(ids, skip_special_tokens, self.shared.settings.clean_up_spaces)
    }

    /// As [`decode`](Self::decode), whatever the tokenizer's own `clean_up_tokenization_spaces`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn decode_with(
        &self,
        ids: &[u32],
        skip_special_tokens: bool,
        clean_up_spaces: bool,
    ) -> Result<String> {
        let text = self.shared.decode(ids, skip_special_tokens)?;
        Ok(match clean_up_spaces {
            true => self::clean_up_spaces(&text),
            false => text,
        })
    }

    /// Decodes ids one by one, for text that appears while it is generated.
    #[must_use]
    pub fn decode_stream(&self, skip_special_tokens: bool) -> DecodeStream {
        DecodeStream::new(Arc::clone(&self.shared), skip_special_tokens)
    }

    /// Decodes the ids of an answer for a [`ResponseParser`](super::chat::ResponseParser): without special
    /// tokens, except for the markers of the format.
    #[must_use]
    pub fn response_stream(&self, format: ResponseFormat) -> DecodeStream {
        DecodeStream { format, ..self.decode_stream(true) }
    }
}

impl Shared {
    /// As the tokenizers crate and, for CLIP, the Python class around it decode.
    fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let text = self.backend.decode(ids, skip_special_tokens)?;
        Ok(match self.settings.marks_word_ends {
            true => text.replace("</w>", " ").trim().to_owned(),
            false => text,
        })
    }
}

impl std::fmt::Debug for DecodeStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DecodeStream")
            .field("ids", &self.ids)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

/// `clean_up_tokenization` of transformers: the replacements one after the other.
pub(crate) fn clean_up_spaces(text: &str) -> String {
    CLEAN_UP.iter().fold(text.to_owned(), |text, (from, to)| match text.contains(from) {
        true => text.replace(from, to),
        false => text,
    })
}

/// How much of a text [`clean_up_spaces`] treats the same whatever follows it: every replacement
/// begins with a space and holds no other characters than these.
fn certain_length(text: &str) -> usize {
    let run = text.rfind(|c| !" .?!,'ntmsvre".contains(c));
    let run = run.map_or(0, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    text[run..].find(' ').map_or(text.len(), |space| run + space)
}

/// `<0xE4>`, as tokenizers' `ByteFallback` decoder recognises them.
fn is_byte_token(token: &str) -> bool {
    token.len() == 6
        && token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'))
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Decoders treat the first token differently and look back at most one.
const CONTEXT: usize = 2;

const CLEAN_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];
