//! What writes minutes.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::generation::{FinishReason, GenerationConfig};
use crate::pipeline::{TextGenerationOptions, TextGenerationPipeline};
use crate::tokenizer::chat::Message;

/// A language model that answers chats, here or at a service: [`TextGenerationPipeline`] is one.
pub trait Writer {
    /// The tokens of a text, or at least as many.
    ///
    /// # Errors
    ///
    /// When the tokenizer refuses the text.
    fn count_tokens(&self, text: &str) -> Result<usize>;

    /// The most tokens of question and answer together; `None` where that is not known.
    fn context(&self) -> Option<usize>;

    /// Answers a chat, and gives each piece to `piece` as it comes.
    ///
    /// # Errors
    ///
    /// When the model or the service fails.
    fn write(
        &self,
        messages: &[Message],
        generation: &GenerationConfig,
        piece: &mut dyn FnMut(&str),
    ) -> Result<Written>;
}

/// An answer of a [`Writer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Written {
    /// All of it.
    pub text: String,
    /// Whether it ended at its limit.
    pub is_cut: bool,
}

impl Written {
    /// An answer, and whether it ended at its limit.
    #[must_use]
    pub fn new(text: impl Into<String>, is_cut: bool) -> Self {
        Self { text: text.into(), is_cut }
    }
}

impl Writer for TextGenerationPipeline {
    /// At a service, a token is taken to have three bytes, which is on the safe side for most writing.
    fn count_tokens(&self, text: &str) -> Result<usize> {
        match self.tokenizer() {
            Ok(tokenizer) => Ok(tokenizer.encode(text)?.ids.len()),
            Err(_) => Ok(text.len().div_ceil(3)),
        }
    }

    fn context(&self) -> Option<usize> {
        self.model().ok().map(|model| model.limits().context)
    }

    fn write(
        &self,
        messages: &[Message],
        generation: &GenerationConfig,
        piece: &mut dyn FnMut(&str),
    ) -> Result<Written> {
        let options = TextGenerationOptions::from(generation.clone());
        // What a model thinks first is no part of the minutes.
        let mut stream = self.stream_response(messages, &options)?;
        for part in stream.by_ref() {
            use crate::tokenizer::chat::ResponseEvent::{Content, ToolCallBroken};
            if let Content(text) | ToolCallBroken { text, .. } = part?.event {
                piece(&text);
            }
        }
        let is_cut = stream.finish_reason() == Some(FinishReason::Length);
        Ok(Written { text: stream.response().content.clone(), is_cut })
    }
}
