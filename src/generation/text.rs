//! Text, in pieces of whole characters.

use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;

use crate::error::Result;
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
use crate::generation::sequence::Sequence;
use crate::generation::stop::FinishReason;
use crate::generation::stream::{TokenStream, refuse_several};
use crate::generation::timings::Timings;
use crate::models::CausalLm;
use crate::nn::cache::KvCache;
use crate::tokenizer::{DecodeStream, Tokenizer};

/// Continues `prompt` as text without special tokens.
///
/// # Errors
///
/// What [`GenerationConfig::plan`] refuses, and several `num_return_sequences`, which need
/// [`generate_batch`](super::generate_batch).
pub fn generate_text(
    model: &Arc<dyn CausalLm>,
    tokenizer: &Tokenizer,
    prompt: &[u32],
    config: &GenerationConfig,
) -> Result<TextStream> {
    refuse_several(config)?;
    let plan = config.plan(prompt, model.limits(), Some(tokenizer))?;
    let sequence = Sequence::new(prompt, plan)?;
    let tokens = TokenStream::new(model.clone(), model.new_cache(), sequence)?;
    TextStream::new(tokens, tokenizer.decode_stream(true))
}

/// The text of an answer, in pieces of whole characters, as they become complete. An error ends the
/// stream.
///
/// The pieces continue the prompt: joined to its text they give the text of all tokens, so an
/// answer may begin with a space.
#[derive(Debug)]
pub struct TextStream {
    tokens: TokenStream,
    pieces: TextPieces,
    over: bool,
}

impl TextStream {
    /// The text of `tokens`, decoded by `decoder`, which must be new. The decoder decides whether
    /// special tokens are shown.
    ///
    /// # Errors
    ///
    /// When the decoder refuses a token of the prompt.
    pub fn new(tokens: TokenStream, decoder: DecodeStream) -> Result<Self> {
        let pieces = TextPieces::new(tokens.tokens(), decoder)?;
        Ok(Self { tokens, pieces, over: false })
    }

    /// Ends the text where the stop string begins that ends the answer; see [`TextPieces::trim`].
    #[must_use]
    pub fn trim_stop_strings(mut self) -> Self {
        self.pieces = self.pieces.trim(self.tokens.sequence().plan().stop_strings());
        self
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.tokens.finish_reason()
    }

    /// How long the answer has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.tokens.timings()
    }

    /// A handle that cancels the answer from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.tokens.cancel_handle()
    }

    /// The tokens behind the text.
    #[must_use]
    pub fn token_stream(&self) -> &TokenStream {
        &self.tokens
    }

    /// The tokens behind the text, to carry on the conversation with
    /// [`TokenStream::into_parts`].
    #[must_use]
    pub fn into_token_stream(self) -> TokenStream {
        self.tokens
    }

    /// Runs to the end and returns the rest of the text.
    ///
    /// # Errors
    ///
    /// The first error, if there is one.
    pub fn into_text(self) -> Result<String> {
        self.collect()
    }

    /// Ends the stream and takes its cache, in whose place another is left.
    pub(crate) fn replace_cache(&mut self, empty: KvCache) -> KvCache {
        self.over = true;
        self.tokens.replace_cache(empty)
    }
}

impl Iterator for TextStream {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        while !self.over {
            let piece = match self.tokens.next() {
                Some(token) => {
                    token.and_then(|token| self.pieces.push(token.id, self.finish_reason()))
                }
                None => {
                    self.over = true;
                    self.pieces.finish()
                }
            };
            if piece.is_err() {
                self.tokens.end();
                self.over = true;
            }
            if !matches!(&piece, Ok(piece) if piece.is_empty()) {
                return Some(piece);
            }
        }
        None
    }
}

impl FusedIterator for TextStream {}

/// Turns the tokens of an answer into pieces of text, of whole characters: what [`TextStream`] does, for
/// programs that get their tokens from a [`Stepper`](super::Stepper) or a loop of their own.
#[derive(Debug, Clone)]
pub struct TextPieces {
    decoder: DecodeStream,
    /// Stop strings to cut off.
    trimmed: Vec<String>,
    /// Text that may be the beginning of one.
    held: String,
    /// Whether one was cut off.
    trimmed_off: bool,
}

impl TextPieces {
    /// The text that follows `prompt`, read with `decoder`, which decides about special tokens and must
    /// be new.
    ///
    /// # Errors
    ///
    /// When the decoder refuses a token of the prompt.
    pub fn new(prompt: &[u32], mut decoder: DecodeStream) -> Result<Self> {
        // What a token looks like depends on what comes before it: at the beginning of a text some
        // decoders drop a space. A few tokens are enough to be past the beginning.
        for &id in &prompt[prompt.len().saturating_sub(CONTEXT)..] {
            decoder.push(id)?;
        }
        Ok(Self { decoder, trimmed: Vec::new(), held: String::new(), trimmed_off: false })
    }

    /// Ends the text where the one of these strings begins that ends the answer, instead of after the
    /// token that completes it. Text that may be the beginning of a stop string is then held back until
    /// it is known not to be one. (What a stop string has in the prompt stays, and so does one that
    /// is made of special tokens where these are left out of the text anyway.)
    #[must_use]
    pub fn trim(self, stop_strings: &[String]) -> Self {
        Self { trimmed: stop_strings.to_vec(), ..self }
    }

    /// The text that is certain now that a token has come, maybe none; `finish` says why the answer is
    /// over, if it is.
    ///
    /// # Errors
    ///
    /// When the decoder refuses the token.
    pub fn push(&mut self, token: u32, finish: Option<FinishReason>) -> Result<String> {
        self.held += &self.decoder.push(token)?.unwrap_or_default();
        if finish == Some(FinishReason::StopString) {
            let start = self.trimmed.iter().filter_map(|stop| self.held.find(stop)).min();
            if let Some(start) = start {
                self.held.truncate(start);
                self.trimmed_off = true;
            }
            return Ok(mem::take(&mut self.held));
        }
        let waiting = self.trimmed.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - waiting);
        Ok(mem::replace(&mut self.held, rest))
    }

    /// The text that is left when there are no more tokens.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<String> {
        let rest = self.decoder.finish()?.filter(|_| !self.trimmed_off).unwrap_or_default();
        Ok(mem::take(&mut self.held) + &rest)
    }
}

/// The length of the longest end of `text` with which `stop` begins, except for all of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let mut ends = stop.char_indices().map(|(end, _)| end).rev();
    ends.find(|&end| text.ends_with(&stop[..end])).unwrap_or(0)
}

/// Tokens of the prompt that the decoder sees before the answer.
const CONTEXT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
        assert_eq!(overlap("a st", "stop"), 2);
        assert_eq!(overlap("a stop", "stop"), 0);
        assert_eq!(overlap("é", "éé"), 2);
        assert_eq!(overlap("aab", "aabaab"), 3);
        assert_eq!(overlap("", "x"), 0);
        assert_eq!(overlap("##", "###"), 2);
    }
}
