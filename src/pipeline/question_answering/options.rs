//! Call options, by their Hugging Face names.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::pipeline::options::task_options;

task_options! {
    /// Call options of [`QuestionAnsweringPipeline`](super::QuestionAnsweringPipeline), by their Hugging
    /// Face names.
    QuestionAnsweringOptions {
        /// Whether an answer is widened to whole words. Default: `true`.
        align_to_words: bool,
        /// How many tokens the windows of a long context share. Default: half of `max_seq_len`, at most
        /// 128.
        doc_stride: usize,
        /// Whether "no answer" is one, with an empty text. Default: `false`.
        handle_impossible_answer: bool,
        /// The most tokens of an answer. Default: 15.
        max_answer_len: usize,
        /// Accepted, and without effect, as in transformers with its fast tokenizers: a question is
        /// never cut.
        max_question_len: usize,
        /// The most tokens of a window, question and special tokens included. Default: the tokenizer's
        /// `model_max_length`, at most 384.
        max_seq_len: usize,
        /// Accepted and not needed: padding changes no answer.
        padding: Value,
        /// How many answers, best first. Default: 1.
        top_k: usize,
    }
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
