//! Call options, by their Hugging Face names.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Call options of [`QuestionAnsweringPipeline`](super::QuestionAnsweringPipeline), by their Hugging
/// Face names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct QuestionAnsweringOptions {
    /// Whether an answer is widened to whole words. Default: `true`.
    pub align_to_words: Option<bool>,
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// How many tokens the windows of a long context share. Default: half of `max_seq_len`, at most
    /// 128.
    pub doc_stride: Option<usize>,
    /// Whether "no answer" is one, with an empty text. Default: `false`.
    pub handle_impossible_answer: Option<bool>,
    /// The most tokens of an answer. Default: 15.
    pub max_answer_len: Option<usize>,
    /// Accepted, and without effect, as in transformers with its fast tokenizers: a question is
    /// never cut.
    pub max_question_len: Option<usize>,
    /// The most tokens of a window, question and special tokens included. Default: the tokenizer's
    /// `model_max_length`, at most 384.
    pub max_seq_len: Option<usize>,
    /// Accepted and not needed: padding changes no answer.
    pub padding: Option<Value>,
    /// How many answers, best first. Default: 1.
    pub top_k: Option<usize>,
}

impl QuestionAnsweringOptions {
    pub(super) fn check(&self) -> Result<()> {
        let counts = [("top_k", self.top_k), ("max_answer_len", self.max_answer_len)];
        for (name, count) in counts {
            if count == Some(0) {
                return Err(Error::option(name, "should be at least 1"));
            }
        }
        Ok(())
    }
}
