//! Answers into reasoning, content and tool calls, whole or as they come: the other way round than a chat
//! template.
//!
//! Formats follow llama.cpp's `common/chat.cpp` and the tool parsers of vLLM 0.11. Unlike these, nothing of
//! an answer is ever lost.

mod block;
mod format;
mod json;
mod look;
mod parser;
mod python;
mod xml;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use format::ResponseFormat;
pub use parser::{ResponseEvent, ResponseParser, ResponsePiece};

use crate::tokenizer::chat::message::Message;

/// An answer in its parts.
///
/// ```
/// use sconce::tokenizer::chat::{Response, ResponseFormat};
///
/// let text = "<think>\nThe weather.\n</think>\n\nLet me look.\n<tool_call>\n\
///             {\"name\": \"weather\", \"arguments\": {\"town\": \"Paris\"}}\n</tool_call>";
/// let response = Response::parse(text, ResponseFormat::named("hermes")?);
/// assert_eq!(response.reasoning.as_deref(), Some("The weather."));
/// assert_eq!(response.content, "Let me look.");
/// assert_eq!(response.tool_calls[0].name, "weather");
/// assert_eq!(response.tool_calls[0].arguments["town"], "Paris");
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Response {
    /// What is for the reader, tool calls that are broken included.
    pub content: String,
    /// What the model thought before it answered; `None` where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The functions that the model calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The calls that could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenToolCall>,
}

/// A function that the model calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolCall {
    /// What the result is told apart by: the model's own in Mistral's formats, or else one that is made up,
    /// nine letters and digits, as Mistral's templates want it.
    pub id: String,
    /// The function.
    pub name: String,
    /// What it is called with, by the names of its parameters.
    pub arguments: Map<String, Value>,
}

/// A tool call that could not be read. Its text is part of the content too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BrokenToolCall {
    /// As the model wrote it.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Response {
    /// Takes a whole answer apart.
    #[must_use]
    pub fn parse(text: &str, format: ResponseFormat) -> Self {
        ResponseParser::new(format).parse(text)
    }

    /// Adds what has come.
    pub fn add(&mut self, event: ResponseEvent) {
        match event {
            ResponseEvent::Content(text) => self.content += &text,
            ResponseEvent::Reasoning(text) => *self.reasoning.get_or_insert_default() += &text,
            ResponseEvent::ToolCallFinished { call, .. } => self.tool_calls.push(call),
            ResponseEvent::ToolCallBroken { text, reason, .. } => {
                self.content += &text;
                self.broken.push(BrokenToolCall { text, reason });
            }
            ResponseEvent::Markup
            | ResponseEvent::ToolCallBegun { .. }
            | ResponseEvent::ToolCallArguments { .. } => {}
        }
    }

    /// The assistant's message as chat templates take it: `content`, and `reasoning_content` and
    /// `tool_calls` where there are any.
    #[must_use]
    pub fn to_message(&self) -> Message {
        let mut message = Message::assistant(self.content.as_str());
        if let Some(reasoning) = &self.reasoning {
            message = message.with("reasoning_content", reasoning.as_str());
        }
        if !self.tool_calls.is_empty() {
            let calls: Vec<_> = self.tool_calls.iter().map(ToolCall::to_json).collect();
            message = message.with("tool_calls", calls);
        }
        message
    }
}

impl ToolCall {
    /// As templates and APIs have it: `{"id": …, "type": "function", "function": {"name": …, "arguments":
    /// {…}}}`. (OpenAI's API has the arguments as text.)
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        })
    }
}
