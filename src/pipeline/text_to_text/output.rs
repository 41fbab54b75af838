//! What comes out.

use serde::Serialize;
use serde_json::{Value, json};

/// One summary, translation or other text. As JSON it is the record of the Python pipeline:
/// `{"summary_text": …}`, `{"translation_text": …}` or `{"generated_text": …}`, or `…_token_ids`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum WrittenText {
    /// A text.
    Text(String),
    /// With `return_tensors`: the ids of the decoder, from the token that it begins with.
    TokenIds(Vec<u32>),
}

impl WrittenText {
    /// The text; `None` for token ids.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::TokenIds(_) => None,
        }
    }

    /// The record of the Python pipeline whose fields begin so.
    pub(super) fn into_record(self, return_name: &str) -> Value {
        match self {
            Self::Text(text) => json!({ format!("{return_name}_text"): text }),
            Self::TokenIds(ids) => json!({ format!("{return_name}_token_ids"): ids }),
        }
    }
}
