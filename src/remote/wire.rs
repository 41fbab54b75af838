//! What services send, read leniently: fields may be missing, null or more.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::generation::{ServedDetails, Usage};
use crate::remote::details::add_more;

/// A whole answer, or a piece of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Counted>,
    error: Option<Value>,
    /// Older vLLM's errors are no field but all of it, with the `object` "error".
    object: Option<String>,
    message: Option<String>,
    pub(super) model: Option<String>,
    /// What has no place of its own.
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

impl Chunk {
    /// What it says about all answers. Names of the request itself are left out.
    pub(super) fn add_details(&mut self, details: &mut ServedDetails) {
        let mut more = std::mem::take(&mut self.more);
        for name in ["id", "created"] {
            more.remove(name);
        }
        add_more(details, more);
        let counted = self.usage.as_mut().map(Counted::take_more).filter(|more| !more.is_empty());
        if let Some(counted) = counted {
            details.more.insert("usage".to_owned(), Value::Object(counted));
        }
    }

    /// The error, where it is one.
    pub(super) fn take_error(&mut self) -> Option<Value> {
        let whole = || {
            let message = self.message.take().filter(|_| self.object.as_deref() == Some("error"));
            message.map(Value::String)
        };
        self.error.take().filter(|error| !error.is_null()).or_else(whole)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) index: usize,
    /// Of a chat.
    #[serde(alias = "message")]
    pub(super) delta: Option<Delta>,
    /// Of a text.
    pub(super) text: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) logprobs: Option<Value>,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) content: Content,
    /// DeepSeek's, vLLM's and llama.cpp's name.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reasoning_content: Content,
    /// OpenRouter's and newer vLLM's.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reasoning: Content,
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tool_calls: Vec<CallDelta>,
    #[expect(dead_code, reason = "it says nothing new")]
    role: Option<Value>,
    #[serde(flatten)]
    pub(super) more: Map<String, Value>,
}

/// Text, or parts of which some have text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Value>),
    Other(#[expect(dead_code, reason = "it says nothing")] Value),
}

#[derive(Debug, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<u64>,
    pub(super) id: Option<String>,
    pub(super) function: Option<FunctionDelta>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FunctionDelta {
    pub(super) name: Option<String>,
    /// Text of JSON; some services send the object.
    pub(super) arguments: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Counted {
    #[serde(default, deserialize_with = "or_default")]
    prompt_tokens: usize,
    #[serde(default, deserialize_with = "or_default")]
    completion_tokens: usize,
    prompt_tokens_details: Option<Details>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct Details {
    cached_tokens: Option<usize>,
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Content {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => {
                parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()
            }
            Self::Other(_) => String::new(),
        }
    }
}

impl Counted {
    /// What else is counted, such as tokens of reasoning.
    pub(super) fn take_more(&mut self) -> Map<String, Value> {
        self.more.remove("total_tokens");
        std::mem::take(&mut self.more)
    }

    pub(super) fn usage(&self) -> Usage {
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        Usage {
            prompt_tokens: self.prompt_tokens,
            completion_tokens: self.completion_tokens,
            cached_tokens: cached.unwrap_or(0).min(self.prompt_tokens),
        }
    }
}

/// Null is as good as missing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
