//! A chat message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::read::{described, read};

/// A chat message: a JSON object with `role`, `content` and whatever else a template reads
/// (`tool_calls`, `tool_call_id`, `name`, `reasoning_content`, …), in the order given.
///
/// ```
/// use sconce::tokenizer::chat::Message;
///
/// let messages = [
///     Message::system("Answer in one word."),
///     Message::user("What is the capital of France?"),
///     Message::assistant("Paris").with("reasoning_content", "Everybody knows that."),
/// ];
/// assert_eq!(messages[2].role(), "assistant");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(#[serde(deserialize_with = "with_role")] Map<String, Value>);

impl Message {
    /// A message of any role; `content` is text, a list of parts, or null.
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<Value>) -> Self {
        let mut fields = Map::new();
        fields.insert(ROLE.to_owned(), Value::String(role.into()));
        fields.insert(CONTENT.to_owned(), content.into());
        Self(fields)
    }

    /// Instructions for the whole conversation.
    #[must_use]
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content.into())
    }

    /// What the user says.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content.into())
    }

    /// What the model said.
    #[must_use]
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content.into())
    }

    /// The result of a tool. Most templates also read `name` or `tool_call_id` (see
    /// [`with`](Self::with)).
    #[must_use]
    pub fn tool(content: impl Into<String>) -> Self {
        Self::new("tool", content.into())
    }

    /// Sets a field, `role` and `content` included.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// Who speaks.
    #[must_use]
    pub fn role(&self) -> &str {
        self.0.get(ROLE).and_then(Value::as_str).unwrap_or_default()
    }

    /// The content, where it is text.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        self.0.get(CONTENT)?.as_str()
    }

    /// The text of the content: itself, or its text parts one after the other.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.0.get(CONTENT) {
            Some(Value::String(text)) => Cow::Borrowed(text),
            Some(Value::Array(parts)) => {
                Cow::Owned(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect())
            }
            _ => Cow::Borrowed(""),
        }
    }

    /// Takes a message as the API's JSON has it.
    ///
    /// # Errors
    ///
    /// When the value is no object, or has no `role` that is text.
    pub fn from_json(value: Value) -> Result<Self> {
        read(&value).map_err(|wrong| Error::input(format!("message: {wrong}")))
    }

    /// The message as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Map<String, Value> {
        &self.0
    }

    pub(super) fn content_mut(&mut self) -> Option<&mut Value> {
        self.0.get_mut(CONTENT)
    }
}

fn with_role<'de, D>(deserializer: D) -> std::result::Result<Map<String, Value>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let fields = Map::deserialize(deserializer)?;
    match fields.get(ROLE) {
        Some(Value::String(_)) => Ok(fields),
        Some(other) => {
            let found = described(other);
            Err(serde::de::Error::custom(format!("`role`: {found} where a text is wanted")))
        }
        None => Err(serde::de::Error::missing_field("role")),
    }
}

const ROLE: &str = "role";
const CONTENT: &str = "content";

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    #[test]
    fn keeps_fields_and_their_order() {
        let json = r#"{"zeta":1,"role":"tool","content":null,"alpha":[1.0]}"#;
        let message: Message = serde_json::from_str(json).unwrap();
        assert_eq!(message.role(), "tool");
        assert_eq!(message.content(), None);
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
    }

    #[test]
    fn refuses_what_is_no_message() {
        for (json, expected) in [
            (json!([]), "message: a list where an object is wanted"),
            (json!({"content": "x"}), "message: `role`: is missing"),
            (json!({"role": 1}), "message: `role`: 1 where a text is wanted"),
        ] {
            let error = Message::from_json(json).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{error}");
        }
    }

    #[test]
    fn joins_text_parts() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]);
        assert_eq!(Message::new("user", parts).text(), "ab");
    }
}
