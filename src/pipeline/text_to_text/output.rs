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
    /// With `return_tensors`: the ids of the decoder, from the token that it begins with. All of a text are as
    /// long as its longest, padded behind.
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

    /// Makes the ids of one text's records as many.
    pub(super) fn pad(records: &mut [Self], padding: u32) {
        let ids = records.iter_mut().filter_map(|record| match record {
            Self::TokenIds(ids) => Some(ids),
            Self::Text(_) => None,
        });
        let ids: Vec<_> = ids.collect();
        let longest = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        ids.into_iter().for_each(|ids| ids.resize(longest, padding));
    }

    /// The record of the Python pipeline whose fields begin so.
    pub(super) fn into_record(self, return_name: &str) -> Value {
        match self {
            Self::Text(text) => json!({ format!("{return_name}_text"): text }),
            Self::TokenIds(ids) => json!({ format!("{return_name}_token_ids"): ids }),
        }
    }
}
