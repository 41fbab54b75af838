//! What comes out.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::generation::Generated;

/// One summary, translation or other text. [`Pipeline::call`](crate::Pipeline::call) returns it as the record of the
/// Python pipeline: `{"summary_text": …}`, `{"translation_text": …}` or `{"generated_text": …}`, or `…_token_ids`,
/// with `details` where they are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WrittenText {
    /// What came out.
    pub output: WrittenOutput,
    /// With the option `details`, how it came about: tokens with their log-probabilities and the likeliest others
    /// (`top_logprobs`), scores of beams, and with `return_dict_in_generate` what decoder and encoder have computed
    /// (`output_scores`, `output_hidden_states`, `output_attentions`). One, or one for each part of a text that
    /// `split_long_texts` has split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Generated>,
}

/// A text in the form that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum WrittenOutput {
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
        match &self.output {
            WrittenOutput::Text(text) => Some(text),
            WrittenOutput::TokenIds(_) => None,
        }
    }

    /// Joins what became of the next part of a text.
    pub(super) fn join(&mut self, part: Self) {
        if let (WrittenOutput::Text(text), WrittenOutput::Text(more)) =
            (&mut self.output, part.output)
        {
            text.push(' ');
            text.push_str(more.trim_start());
        }
        self.details.extend(part.details);
    }

    /// Makes the ids of one text's records as many.
    pub(super) fn pad(records: &mut [Self], padding: u32) {
        let ids = records.iter_mut().filter_map(|record| match &mut record.output {
            WrittenOutput::TokenIds(ids) => Some(ids),
            WrittenOutput::Text(_) => None,
        });
        let ids: Vec<_> = ids.collect();
        let longest = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        ids.into_iter().for_each(|ids| ids.resize(longest, padding));
    }

    /// The record of the Python pipeline whose fields begin so.
    pub(super) fn into_record(self, return_name: &str) -> Result<Value> {
        let form = match &self.output {
            WrittenOutput::Text(_) => "text",
            WrittenOutput::TokenIds(_) => "token_ids",
        };
        let mut record = json!({ format!("{return_name}_{form}"): self.output });
        if !self.details.is_empty() {
            record["details"] = serde_json::to_value(self.details)
                .map_err(|error| Error::option("details", error.to_string()))?;
        }
        Ok(record)
    }
}
