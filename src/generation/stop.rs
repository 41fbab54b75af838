//! When an answer ends.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::de::{self, IntoDeserializer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tokenizer::{DecodeStream, Tokenizer};

/// Why an answer has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// [`CancelHandle::cancel`](super::CancelHandle::cancel) was called. While the prompt is
    /// processed, this ends the answer before its first token.
    Cancelled,
    /// A service held back the rest of it.
    ContentFilter,
    /// The model ended it, with one of `eos_token_id`.
    EndOfSequence,
    /// `max_new_tokens`, `max_length` or the model's context is reached.
    Length,
    /// A [`StoppingCriterion`] is met.
    StoppingCriterion,
    /// The answer contains one of `stop_strings`.
    StopString,
    /// `max_time` is over. While the prompt is processed, this ends the answer before its first
    /// token.
    Time,
}

/// The name, as in JSON: `end_of_sequence`, say.
impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for FinishReason {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let wrong = |error: de::value::Error| Error::option("finish_reason", error.to_string());
        Self::deserialize(name.into_deserializer()).map_err(wrong)
    }
}

/// Says when an answer is over: transformers' `StoppingCriteria`.
///
/// It may keep state of the answer; what is given to a pipeline is cloned for each.
pub trait StoppingCriterion: CloneCriterion + fmt::Debug + Send + Sync {
    /// Whether the last of `tokens`, the prompt's included, ends the answer. Asked after each new token.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from telling, which ends the answer as an error.
    fn is_met(&mut self, tokens: &[u32]) -> Result<bool>;
}

/// How a [`StoppingCriterion`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneCriterion {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn StoppingCriterion>;
}

impl<T: StoppingCriterion + Clone + 'static> CloneCriterion for T {
    fn boxed_clone(&self) -> Box<dyn StoppingCriterion> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn StoppingCriterion> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

/// The rules that end one answer.
#[derive(Debug, Clone)]
pub(super) struct StopRules {
    /// Tokens that are not part of the answer.
    pub(super) prompt: usize,
    /// The most tokens, prompt included.
    pub(super) length: usize,
    pub(super) eos: Vec<u32>,
    pub(super) strings: Option<StopStrings>,
    pub(super) criteria: Vec<Box<dyn StoppingCriterion>>,
    /// What `time` counts from.
    pub(super) start: Instant,
    /// `max_time`.
    pub(super) time: Option<Duration>,
}

impl StopRules {
    /// Whether the last of `tokens`, the prompt's included, ends the answer.
    pub(super) fn check(&mut self, tokens: &[u32]) -> Result<Option<FinishReason>> {
        let Some(&last) = tokens.get(self.prompt..).and_then(<[u32]>::last) else {
            return Ok(None);
        };
        let stopped = match &mut self.strings {
            Some(strings) => strings.completed_by(tokens)?,
            None => false,
        };
        let mut is_met = false;
        for criterion in &mut self.criteria {
            is_met |= criterion.is_met(tokens)?;
        }
        Ok(if self.eos.contains(&last) {
            Some(FinishReason::EndOfSequence)
        } else if stopped {
            Some(FinishReason::StopString)
        } else if tokens.len() >= self.length {
            Some(FinishReason::Length)
        } else if is_met {
            Some(FinishReason::StoppingCriterion)
        } else {
            self.is_late().then_some(FinishReason::Time)
        })
    }

    /// Whether `max_time` is over.
    pub(super) fn is_late(&self) -> bool {
        self.time.is_some_and(|time| self.start.elapsed() > time)
    }
}

/// Finds strings in the text of tokens as they come, special tokens included
/// (`StopStringCriteria`): one counts when some of it is in the last token, wherever in the token it
/// ends, and it may begin in the prompt.
#[derive(Debug, Clone)]
pub(super) struct StopStrings {
    strings: Vec<String>,
    decoder: DecodeStream,
    /// Tokens the decoder has seen.
    seen: usize,
    tail: Tail,
}

impl StopStrings {
    pub(super) fn new(strings: &[String], tokenizer: &Tokenizer, prompt: &[u32]) -> Result<Self> {
        let longest = strings.iter().map(String::len).max().unwrap_or(0);
        let mut found = Self {
            strings: strings.to_vec(),
            decoder: tokenizer.decode_stream(false),
            // A string of so many bytes has at most so many tokens. The one before them is there
            // because some decoders drop the space that a text begins with.
            seen: prompt.len().saturating_sub(longest + 1),
            tail: Tail { text: String::new(), longest },
        };
        found.completed_by(prompt)?;
        Ok(found)
    }

    pub(super) fn strings(&self) -> &[String] {
        &self.strings
    }

    fn completed_by(&mut self, tokens: &[u32]) -> Result<bool> {
        let mut completed = false;
        for &id in tokens.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            completed = match self.decoder.push(id)? {
                Some(text) => self.tail.push(&text, &self.strings),
                None => false,
            };
        }
        Ok(completed)
    }
}

/// The end of a text, as long as the beginning of a stop string may be.
#[derive(Debug, Clone)]
struct Tail {
    text: String,
    /// Bytes of the longest string looked for.
    longest: usize,
}

impl Tail {
    /// Whether one of `strings` ends in `new`.
    fn push(&mut self, new: &str, strings: &[String]) -> bool {
        let old = self.text.len();
        self.text.push_str(new);
        let bytes = self.text.as_bytes();
        let found = strings.iter().any(|string| {
            let from = (old + 1).saturating_sub(string.len());
            bytes[from..].windows(string.len()).any(|window| window == string.as_bytes())
        });
        let mut surplus = self.text.len().saturating_sub(self.longest);
        while !self.text.is_char_boundary(surplus) {
            surplus -= 1;
        }
        self.text.drain(..surplus);
        found
    }
}

/// An error for stop strings that cannot be.
pub(super) fn refuse_empty(strings: &[String]) -> Result<()> {
    if strings.iter().any(String::is_empty) {
        return Err(Error::option("stop_strings", "the empty string would stop every answer"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        stop_strings: Vec<String>,
        pieces: Vec<String>,
        stops: Vec<bool>,
    }

    #[test]
    fn as_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/logits/stop_strings.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() > 50);
        for case in cases {
            let longest = case.stop_strings.iter().map(String::len).max().unwrap();
            let mut tail = Tail { text: String::new(), longest };
            let found: Vec<_> =
                case.pieces.iter().map(|piece| tail.push(piece, &case.stop_strings)).collect();
            assert_eq!(found, case.stops, "{:?} in {:?}", case.stop_strings, case.pieces);
        }
    }
}
