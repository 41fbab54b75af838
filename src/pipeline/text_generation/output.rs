//! What comes out, in Hugging Face's shape.

use std::borrow::Cow;

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeMap;

use crate::tokenizer::chat::Message;

/// One continuation. As JSON it is the record of the Python pipeline: `{"generated_text": …}`, or
/// `{"generated_token_ids": …}`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Generated {
    /// A chat with the answer as its last message.
    Chat(Vec<Message>),
    /// A text: the prompt and its continuation, or with `return_full_text: false` the
    /// continuation alone.
    Text(String),
    /// With `return_tensors`: the ids of prompt and continuation.
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

impl Serialize for Generated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_map(Some(1))?;
        match self {
            Self::Chat(messages) => record.serialize_entry("generated_text", messages)?,
            Self::Text(text) => record.serialize_entry("generated_text", text)?,
            Self::TokenIds(ids) => record.serialize_entry("generated_token_ids", ids)?,
        }
        record.end()
    }
}
