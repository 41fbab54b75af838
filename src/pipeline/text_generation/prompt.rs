//! What is continued.

use serde_json::Value;

use crate::error::{Error, Result, quoted};
use crate::pipeline::arguments;
use crate::pipeline::skeleton::from_text;
use crate::tokenizer::chat::Message;

/// What to continue.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Prompt {
    /// A conversation, put into the model's chat template. One that ends with the assistant is
    /// continued in that message, any other is answered.
    Chat(Vec<Message>),
    /// A text.
    Text(String),
}

impl Prompt {
    /// A chat as JSON has it.
    pub(super) fn chat(messages: &Value) -> Result<Self> {
        let wrong =
            || arguments::misshapen(messages, "a text or a chat, which is a list of messages,");
        let messages = messages.as_array().ok_or_else(wrong)?;
        let messages = messages.iter().cloned().map(Message::from_json);
        messages.collect::<Result<Vec<_>>>().map(Self::Chat)
    }
}

/// Refuses messages without content as the reference's `Chat` does: the key must be there, and may be
/// null.
pub(super) fn check_contents(messages: &[Message]) -> Result<()> {
    let without = |message: &Message| !message.as_json().contains_key("content");
    let Some(number) = messages.iter().position(without) else { return Ok(()) };
    let message = &messages[number];
    let keys: Vec<_> = message.as_json().keys().map(String::as_str).collect();
    Err(Error::input(format!(
        "message {number} of the chat (of {}) has no `content`, only {}; where there is nothing to say, \
         beside `tool_calls` say, give it `\"content\": null`",
        quoted(message.role()),
        quoted(&keys.join(", ")),
    )))
}

from_text!(Prompt);

impl From<&String> for Prompt {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&[Message]> for Prompt {
    fn from(messages: &[Message]) -> Self {
        Self::Chat(messages.to_vec())
    }
}

impl<const N: usize> From<&[Message; N]> for Prompt {
    fn from(messages: &[Message; N]) -> Self {
        Self::Chat(messages.to_vec())
    }
}

impl From<&Vec<Message>> for Prompt {
    fn from(messages: &Vec<Message>) -> Self {
        Self::Chat(messages.clone())
    }
}

impl From<Vec<Message>> for Prompt {
    fn from(messages: Vec<Message>) -> Self {
        Self::Chat(messages)
    }
}
