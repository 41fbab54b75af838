//! What to render besides the messages.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What to render besides the messages: the arguments of transformers' `apply_chat_template`.
///
/// ```
/// use sconce::tokenizer::chat::ChatOptions;
///
/// let options = ChatOptions::default()
///     .add_generation_prompt(true)
///     .variable("enable_thinking", false);
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ChatOptions {
    /// JSON schemas of the functions that the model may call, handed to the template as they are.
    /// Empty is transformers' `None`.
    pub tools: Vec<Value>,
    /// Documents to answer from, objects with `title` and `text`. Empty is transformers' `None`.
    pub documents: Vec<Value>,
    /// The name of one of several templates, or else the text of a whole Jinja template to use
    /// instead of the model's: transformers' `chat_template` argument.
    pub template: Option<String>,
    /// Whether to end with what begins the model's answer.
    pub add_generation_prompt: bool,
    /// Whether to end inside the last message, so that the model continues it. Excludes
    /// [`add_generation_prompt`](Self::add_generation_prompt).
    pub continue_final_message: bool,
    /// Further variables that the template reads: `enable_thinking`, `date_string`, …. They win
    /// over the special tokens.
    pub variables: Map<String, Value>,
    /// The longest text in bytes; a longer one is an error, found while rendering. `None`, and the
    /// upper limit, is 16 MiB.
    pub max_bytes: Option<usize>,
    /// The time that the template's `strftime_now` returns, in the local time zone; `None` is now.
    pub now: Option<SystemTime>,
}

impl ChatOptions {
    /// Sets [`tools`](Self::tools).
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Value>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// Sets [`documents`](Self::documents).
    #[must_use]
    pub fn documents(mut self, documents: impl IntoIterator<Item = Value>) -> Self {
        self.documents = documents.into_iter().collect();
        self
    }

    /// Sets [`template`](Self::template).
    #[must_use]
    pub fn template(mut self, name_or_jinja: impl Into<String>) -> Self {
        self.template = Some(name_or_jinja.into());
        self
    }

    /// Sets [`add_generation_prompt`](Self::add_generation_prompt).
    #[must_use]
    pub fn add_generation_prompt(mut self, yes: bool) -> Self {
        self.add_generation_prompt = yes;
        self
    }

    /// Sets [`continue_final_message`](Self::continue_final_message).
    #[must_use]
    pub fn continue_final_message(mut self, yes: bool) -> Self {
        self.continue_final_message = yes;
        self
    }

    /// Adds one of [`variables`](Self::variables).
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Sets [`now`](Self::now).
    #[must_use]
    pub fn now(mut self, time: SystemTime) -> Self {
        self.now = Some(time);
        self
    }
}
