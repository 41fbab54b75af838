//! Conversations that keep what they computed.

use std::mem;

use crate::error::Result;
use crate::generation::{CancelHandle, FinishReason, TextStream, Timings, TokenStream};
use crate::nn::cache::KvCache;
use crate::pipeline::text_generation::output::answered;
use crate::pipeline::text_generation::{Prompt, TextGenerationOptions, TextGenerationPipeline};
use crate::tokenizer::chat::Message;

/// A conversation that keeps its cache between turns, so that each turn processes only what is new.
/// Made by [`TextGenerationPipeline::chat_session`].
///
/// Each turn puts all messages through the chat template, as
/// [`TextGenerationPipeline::stream_text`] does, and gives the same answer as there. The longest
/// common beginning of the new ids and the cached ids is reused; the rest is processed again. That
/// happens if the template leaves out earlier reasoning or prints the time, if messages were
/// [changed](Self::set_messages), if the text of an answer tokenizes differently from the generated
/// tokens, and if the model's keys depend on the length of the sequence.
///
/// ```no_run
/// use sconce::Pipeline;
/// use sconce::tokenizer::chat::Message;
///
/// let pipeline = Pipeline::text_generation("HuggingFaceTB/SmolLM2-135M-Instruct").build()?;
/// let mut chat = pipeline.chat_session();
/// for question in ["Why is the sky blue?", "And at dusk?"] {
///     let mut reply = chat.send(Message::user(question))?;
///     for piece in &mut reply {
///         print!("{}", piece?);
///     }
///     println!("\n{}", reply.timings());
/// }
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug)]
pub struct ChatSession {
    pipeline: TextGenerationPipeline,
    messages: Vec<Message>,
    cache: KvCache,
    /// The tokens in the cache, and maybe some more.
    tokens: Vec<u32>,
}

impl TextGenerationPipeline {
    /// A conversation that keeps what the model has read between its turns.
    #[must_use]
    pub fn chat_session(&self) -> ChatSession {
        ChatSession {
            pipeline: self.clone(),
            messages: Vec::new(),
            cache: self.model.new_cache(),
            tokens: Vec::new(),
        }
    }
}

impl ChatSession {
    /// The conversation so far.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replaces the conversation: to start with a system message, to edit or remove messages, to
    /// start over. The cache keeps the common beginning.
    pub fn set_messages(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.messages = messages.into_iter().collect();
    }

    /// Sends a message and streams the answer.
    ///
    /// # Errors
    ///
    /// As [`TextGenerationPipeline::run`]. The conversation is then as it was before.
    pub fn send(&mut self, message: Message) -> Result<ChatReply<'_>> {
        self.send_with([message], &TextGenerationOptions::default())
    }

    /// As [`send`](Self::send), with any number of messages (such as the results of several tools)
    /// and with options.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_with(
        &mut self,
        messages: impl IntoIterator<Item = Message>,
        options: &TextGenerationOptions,
    ) -> Result<ChatReply<'_>> {
        let said = self.messages.len();
        self.messages.extend(messages);
        let Self { pipeline, messages, cache, tokens } = self;
        let started = pipeline.prepare(Prompt::Chat(messages.clone()), options).and_then(|turn| {
            let empty = pipeline.model.new_cache();
            let cached = || (mem::replace(cache, empty), mem::take(tokens));
            Ok((pipeline.stream_from(&turn, options, cached)?, turn.continues))
        });
        match started {
            Ok((stream, continues)) => Ok(ChatReply {
                session: self,
                said,
                continues,
                stream,
                text: String::new(),
                failed: false,
            }),
            Err(error) => {
                self.messages.truncate(said);
                Err(error)
            }
        }
    }
}

/// The answer of a turn, in pieces of whole characters, as they become complete. An error ends the
/// stream.
///
/// When the reply is dropped, its text so far becomes the assistant's message. A turn that failed,
/// or ended before its first token, is removed.
#[derive(Debug)]
pub struct ChatReply<'a> {
    session: &'a mut ChatSession,
    /// The messages there were before the turn.
    said: usize,
    /// Whether the last message is continued.
    continues: bool,
    stream: TextStream,
    text: String,
    failed: bool,
}

impl ChatReply<'_> {
    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.stream.finish_reason()
    }

    /// Timings so far, with the tokens that were processed and those that were cached.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.stream.timings()
    }

    /// A handle that cancels the answer from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.stream.cancel_handle()
    }

    /// The tokens behind the text.
    #[must_use]
    pub fn token_stream(&self) -> &TokenStream {
        self.stream.token_stream()
    }

    /// Runs to the end and returns the rest of the text.
    ///
    /// # Errors
    ///
    /// The first error, if there is one.
    pub fn into_text(mut self) -> Result<String> {
        self.by_ref().collect()
    }
}

impl Iterator for ChatReply<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        let piece = self.stream.next();
        match &piece {
            Some(Ok(piece)) => self.text.push_str(piece),
            Some(Err(_)) => self.failed = true,
            None => {}
        }
        piece
    }
}

impl Drop for ChatReply<'_> {
    fn drop(&mut self) {
        let session = &mut *self.session;
        if self.failed || self.stream.token_stream().generated().is_empty() {
            session.messages.truncate(self.said);
        } else {
            let answer = mem::take(&mut self.text);
            session.messages = answered(&session.messages, answer, self.continues);
        }
        session.tokens = self.stream.token_stream().tokens().to_vec();
        session.cache = self.stream.replace_cache(session.pipeline.model.new_cache());
    }
}
