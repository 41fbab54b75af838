//! Text, in pieces of whole characters.

use std::borrow::Cow;
use std::iter::FusedIterator;
use std::mem;
use std::sync::Arc;

use crate::error::Result;
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
use crate::generation::healing::{healed, healed_text};
use crate::generation::sequence::Sequence;
use crate::generation::served::ServedAnswer;
use crate::generation::stop::FinishReason;
use crate::generation::stream::{TokenStream, refuse_several};
use crate::generation::timings::Timings;
use crate::models::CausalLm;
use crate::nn::cache::KvCache;
use crate::tokenizer::chat::{ResponseEvent, ResponsePiece};
use crate::tokenizer::{DecodeStream, Tokenizer};

/// Continues `prompt` as text without special tokens. With `token_healing` the text begins with what the last
/// token of the prompt has become beyond what it was.
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
    config.warn_of_what_has_no_effect();
    let healed = healed(model, Some(tokenizer), prompt, config)?;
    let plan = config.plan(&healed, model.limits(), Some(tokenizer))?;
    let sequence = Sequence::new(&healed, plan)?;
    let tokens = TokenStream::new(model.clone(), model.new_cache(), sequence)?;
    let text = TextStream::new(tokens, tokenizer.decode_stream(true))?;
    Ok(match healed {
        Cow::Borrowed(_) => text,
        Cow::Owned(healed) => text.beginning_with(healed_text(tokenizer, prompt, &healed)?),
    })
}

/// The text of an answer, in pieces of whole characters, as they become complete. An error ends the
/// stream.
///
/// The pieces continue the prompt: joined to its text they give the text of all tokens, so an
/// answer may begin with a space.
#[derive(Debug)]
pub struct TextStream {
    source: Source,
    over: bool,
}

#[derive(Debug)]
enum Source {
    /// The model is here.
    Tokens(Box<Tokens>),
    Served(Box<dyn ServedAnswer>),
}

#[derive(Debug)]
struct Tokens {
    stream: TokenStream,
    pieces: TextPieces,
}

/// What a [`TextStream`] is asked for next.
pub(super) enum Piece {
    /// Text that nobody has taken apart.
    Text(String),
    /// What a service says what it is.
    Part(ResponsePiece),
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
        Ok(Self {
            source: Source::Tokens(Box::new(Tokens { stream: tokens, pieces })),
            over: false,
        })
    }

    /// The content of an answer that comes from elsewhere.
    #[must_use]
    pub fn served(answer: impl ServedAnswer + 'static) -> Self {
        Self { source: Source::Served(Box::new(answer)), over: false }
    }

    /// Gives this text first: what healing has added to the prompt.
    pub(crate) fn beginning_with(mut self, text: String) -> Self {
        if let Source::Tokens(tokens) = &mut self.source {
            tokens.pieces.held = text;
        }
        self
    }

    /// Ends the text where the stop string begins that ends the answer; see [`TextPieces::trim`]. A service
    /// does so by itself.
    #[must_use]
    pub fn trim_stop_strings(mut self) -> Self {
        if let Source::Tokens(tokens) = &mut self.source {
            tokens.pieces.set_trimmed(tokens.stream.sequence().plan().stop_strings());
        }
        self
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        match &self.source {
            Source::Tokens(tokens) => tokens.stream.finish_reason(),
            Source::Served(answer) => answer.finish_reason(),
        }
    }

    /// How long the answer has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        match &self.source {
            Source::Tokens(tokens) => tokens.stream.timings(),
            Source::Served(answer) => answer.timings(),
        }
    }

    /// A handle that cancels the answer from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        match &self.source {
            Source::Tokens(tokens) => tokens.stream.cancel_handle(),
            Source::Served(answer) => answer.cancel_handle(),
        }
    }

    /// The tokens behind the text; `None` where they are at a service.
    #[must_use]
    pub fn token_stream(&self) -> Option<&TokenStream> {
        match &self.source {
            Source::Tokens(tokens) => Some(&tokens.stream),
            Source::Served(_) => None,
        }
    }

    /// The tokens behind the text, to carry on the conversation with
    /// [`TokenStream::into_parts`]; `None` where they are at a service.
    #[must_use]
    pub fn into_token_stream(self) -> Option<TokenStream> {
        match self.source {
            Source::Tokens(tokens) => Some(tokens.stream),
            Source::Served(_) => None,
        }
    }

    /// Runs to the end and returns the rest of the text.
    ///
    /// # Errors
    ///
    /// The first error, if there is one.
    pub fn into_text(self) -> Result<String> {
        self.collect()
    }

    /// Ends the stream and takes its cache, in whose place `empty` leaves another, and the tokens in it.
    pub(crate) fn take_cache(
        &mut self,
        empty: impl FnOnce() -> KvCache,
    ) -> Option<(KvCache, Vec<u32>)> {
        self.over = true;
        match &mut self.source {
            Source::Tokens(tokens) => {
                let ids = tokens.stream.tokens().to_vec();
                Some((tokens.stream.replace_cache(empty()), ids))
            }
            Source::Served(_) => None,
        }
    }

    /// The next piece, as far as it is known what it is.
    pub(super) fn next_piece(&mut self) -> Option<Result<Piece>> {
        while !self.over {
            let piece = match &mut self.source {
                Source::Tokens(tokens) => {
                    let (piece, is_last) = tokens.next();
                    self.over = is_last || piece.is_err();
                    piece.map(Piece::Text)
                }
                Source::Served(answer) => match answer.next_piece() {
                    Some(piece) => {
                        self.over = piece.is_err();
                        piece.map(Piece::Part)
                    }
                    None => {
                        self.over = true;
                        return None;
                    }
                },
            };
            if !matches!(&piece, Ok(Piece::Text(text)) if text.is_empty()) {
                return Some(piece);
            }
        }
        None
    }
}

impl Tokens {
    /// Text, maybe none, and whether it is the last.
    fn next(&mut self) -> (Result<String>, bool) {
        let (piece, is_last) = match self.stream.next() {
            Some(token) => {
                let finish = self.stream.finish_reason();
                (token.and_then(|token| self.pieces.push(token.id, finish)), false)
            }
            None => (self.pieces.finish(), true),
        };
        if piece.is_err() {
            self.stream.end();
        }
        (piece, is_last)
    }
}

impl Iterator for TextStream {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        loop {
            let text = match self.next_piece()? {
                Ok(Piece::Text(text)) => text,
                Ok(Piece::Part(part)) => match part.event {
                    ResponseEvent::Content(text) | ResponseEvent::ToolCallBroken { text, .. } => {
                        text
                    }
                    _ => continue,
                },
                Err(error) => return Some(Err(error)),
            };
            if !text.is_empty() {
                return Some(Ok(text));
            }
        }
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
    pub fn trim(mut self, stop_strings: &[String]) -> Self {
        self.set_trimmed(stop_strings);
        self
    }

    fn set_trimmed(&mut self, stop_strings: &[String]) {
        self.trimmed = stop_strings.to_vec();
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
