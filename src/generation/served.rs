//! Answers that are written elsewhere.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::generation::cancel::CancelHandle;
use crate::generation::sampler::logprob_json;
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::tokenizer::chat::ResponsePiece;

/// An answer whose model is not here but at a service: what [`TextStream`](super::TextStream) and
/// [`ResponseStream`](super::ResponseStream) read in place of tokens.
pub trait ServedAnswer: fmt::Debug + Send {
    /// The next piece; `None` at the end. An error is the last.
    fn next_piece(&mut self) -> Option<Result<ResponsePiece>>;

    /// Why the answer has ended; `None` while it is running, and after an error.
    fn finish_reason(&self) -> Option<FinishReason>;

    /// What else the service has said about the answer so far.
    fn details(&self) -> ServedDetails {
        ServedDetails::default()
    }

    /// How long the answer has taken so far, and its tokens as far as the service has counted them.
    fn timings(&self) -> Timings;

    /// A handle that cancels the answer from any thread.
    fn cancel_handle(&self) -> CancelHandle;
}

/// What a service says about an answer beside its text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServedDetails {
    /// The tokens of the answer, where log-probabilities are asked for
    /// ([`top_logprobs`](super::GenerationConfig#structfield.top_logprobs)) and the service gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ServedToken>,
    /// Fields of the service's that have no place of their own here, by their names: `system_fingerprint`,
    /// `service_tier`, `annotations` and so on. Of a stream, the last of each name; lists are joined.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub more: Map<String, Value>,
}

/// A token that a service wrote. Its id is not known here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServedToken {
    /// Its text; what is no whole characters is as the service writes it.
    pub token: String,
    /// The logarithm of its probability; minus infinity is `null` in JSON.
    #[serde(with = "logprob_json")]
    pub logprob: f32,
    /// Its bytes in UTF-8, where the service gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens in its place, the likeliest first, as many as were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<Self>,
}
