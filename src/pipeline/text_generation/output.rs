//! What comes out, in Hugging Face's shape.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::tokenizer::chat::Message;

/// One continuation. As JSON it is the record of the Python pipeline: `{"generated_text": …}`, or
/// `{"generated_token_ids": …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Record")]
#[non_exhaustive]
pub enum Generated {
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

impl Generated {
    /// The text, or the last message's; `None` for token ids.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Chat(messages) => Some(messages.last()?.text()),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::TokenIds(_) => None,
        }
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

impl From<Record> for Generated {
    fn from(record: Record) -> Self {
        match record {
            Record::Text(Said::Chat(messages)) => Self::Chat(messages),
            Record::Text(Said::Text(text)) => Self::Text(text),
            Record::TokenIds(ids) => Self::TokenIds(ids),
        }
    }
}

/// The chat with its answer: a new message, or the end of the last one.
pub(super) fn answered(messages: &[Message], new: String, continues: bool) -> Vec<Message> {
    let mut messages = messages.to_vec();
    match messages.pop_if(|_| continues) {
        None => messages.push(Message::assistant(new)),
        Some(last) => {
            let text = format!("{}{new}", last.text());
            messages.push(Message::new(last.role(), text));
        }
    }
    messages
}
