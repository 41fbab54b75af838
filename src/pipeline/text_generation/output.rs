//! What comes out, in Hugging Face's shape.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::generation::{self, FinishReason, ServedDetails, StepOutput, Timings, Token, Usage};
use crate::tokenizer::chat::{Message, Response};

/// One continuation. As JSON it is the record of the Python pipeline: `{"generated_text": …}`, or
/// `{"generated_token_ids": …}`, with `details` where they are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Generated {
    /// What came out.
    #[serde(flatten)]
    pub output: GeneratedOutput,
    /// How it came about; with the option `details`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<GenerationDetails>,
}

/// A continuation in the shape that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Record")]
#[non_exhaustive]
pub enum GeneratedOutput {
    /// A chat with the answer as its last message.
    #[serde(rename = "generated_text")]
    Chat(Vec<Message>),
    /// A text: the prompt and its continuation, or with `return_full_text: false` the
    /// continuation alone.
    #[serde(rename = "generated_text")]
    Text(String),
    /// With `return_tensors`: the ids of prompt and continuation.
    #[serde(rename = "generated_token_ids")]
    TokenIds(Vec<u32>),
}

/// How an answer came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GenerationDetails {
    /// Why it is over.
    pub finish_reason: FinishReason,
    /// Tokens of prompt and answer. A service counts all answers to a prompt together; where it does not
    /// count, they are 0.
    pub usage: Usage,
    /// The tokens of the answer with their log-probabilities, and with as many of the likeliest others as
    /// `top_logprobs` asks for. None where a service wrote it: see `details.served`.
    pub tokens: Vec<Token>,
    /// What a service says about an answer that it wrote: tokens with their log-probabilities where
    /// `top_logprobs` asks for them, and fields that have no place here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedDetails>,
    /// How long it took.
    pub timings: Timings,
    /// The messages of the chat that were left out because they did not fit
    /// ([`LongGeneration::Roll`](super::LongGeneration::Roll)).
    #[serde(default, skip_serializing_if = "Range::is_empty")]
    pub dropped_messages: Range<usize>,
    /// What the step of each token has computed, as the options `output_scores`, `output_logits`,
    /// `output_hidden_states` and `output_attentions` ask for. No part of the JSON.
    #[serde(skip)]
    pub outputs: Vec<StepOutput>,
}

impl Generated {
    /// The text, or the last message's; `None` for token ids.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match &self.output {
            GeneratedOutput::Chat(messages) => Some(messages.last()?.text()),
            GeneratedOutput::Text(text) => Some(Cow::Borrowed(text)),
            GeneratedOutput::TokenIds(_) => None,
        }
    }

    /// The text read as JSON: what `json_schema` asks a service for.
    ///
    /// # Errors
    ///
    /// When the text is no JSON, such as where it was cut at `max_new_tokens`, or there is none.
    pub fn json(&self) -> Result<Value> {
        let text = self.text().ok_or_else(|| Error::input("the answer is no text"))?;
        serde_json::from_str(&text).map_err(|error| {
            let beginning: String = text.chars().take(80).collect();
            Error::input(format!("the answer is no JSON ({error}): {beginning:?}"))
        })
    }

    /// The answer to a chat; `None` where the prompt was none.
    #[must_use]
    pub fn message(&self) -> Option<&Message> {
        match &self.output {
            GeneratedOutput::Chat(messages) => messages.last(),
            _ => None,
        }
    }
}

impl GenerationDetails {
    /// Of an answer that a service wrote, whose tokens are not known here.
    #[cfg(feature = "remote")]
    pub(super) fn served(
        finish_reason: FinishReason,
        timings: Timings,
        served: ServedDetails,
    ) -> Self {
        Self {
            finish_reason,
            usage: timings.usage(),
            tokens: Vec::new(),
            served: Some(served),
            timings,
            dropped_messages: 0..0,
            outputs: Vec::new(),
        }
    }

    pub(super) fn new(answer: generation::Generated, dropped_messages: Range<usize>) -> Self {
        let generation::Generated { tokens, finish_reason, timings, outputs, .. } = answer;
        let (usage, served) = (timings.usage(), None);
        Self { finish_reason, usage, tokens, served, timings, dropped_messages, outputs }
    }
}

/// The record of the Python pipeline, of which the value says what it is.
#[derive(Deserialize)]
enum Record {
    #[serde(rename = "generated_text")]
    Text(Said),
    #[serde(rename = "generated_token_ids")]
    TokenIds(Vec<u32>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Chat(Vec<Message>),
    Text(String),
}

impl From<Record> for GeneratedOutput {
    fn from(record: Record) -> Self {
        match record {
            Record::Text(Said::Chat(messages)) => Self::Chat(messages),
            Record::Text(Said::Text(text)) => Self::Text(text),
            Record::TokenIds(ids) => Self::TokenIds(ids),
        }
    }
}

/// The chat with its answer: a new message, or the end of the last one.
pub(super) fn answered(messages: &[Message], new: &Response, continues: bool) -> Vec<Message> {
    let mut messages = messages.to_vec();
    let mut answer = new.to_message();
    if let Some(last) = messages.pop_if(|_| continues) {
        let text = format!("{}{}", last.text(), new.content);
        let fields = answer.as_json().clone().into_iter();
        let new = fields.filter(|(field, _)| field != "role" && field != "content");
        let continued = Message::new(last.role(), text);
        answer = new.fold(continued, |message, (field, value)| message.with(field, value));
    }
    messages.push(answer);
    messages
}
