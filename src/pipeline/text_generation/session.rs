//! Conversations that keep what they computed.

use std::mem;

use crate::error::Result;
use crate::generation::{CancelHandle, FinishReason, TextStream, Timings, TokenStream};
use crate::nn::cache::KvCache;
use crate::pipeline::text_generation::output::answered;
use crate::pipeline::text_generation::{Prompt, TextGenerationOptions, TextGenerationPipeline};
use crate::tokenizer::chat::Message;

/// A conversation that keeps what the model has read between its turns, so that each turn reads only
/// what is new. Made by [`TextGenerationPipeline::chat_session`].
///
/// Each turn puts all messages through the chat template, as [`TextGenerationPipeline::stream_text`]
/// does, and gives the same answer as there. What the new ids have in common with those read and
/// generated before stays in the cache, from the beginning on; the rest is read again: where a template
/// leaves out earlier reasoning or tells the time, where messages were
/// [changed](Self::set_messages), where an answer's text has other tokens than those generated,
/// and where the model's keys depend on the length of the whole.
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

    /// Replaces the conversation: to begin with a system message, to take back or change what was
    /// said, to begin anew. What was read stays as far as it is the same.
    pub fn set_messages(&mut self, messages: impl IntoIterator<Item = Message>) {
        self.messages = messages.into_iter().collect();
    }

    /// Says something and streams the answer.
    ///
    /// # Errors
    ///
    /// As [`TextGenerationPipeline::run`]. The conversation is then as it was before.
    pub fn send(&mut self, message: Message) -> Result<ChatReply<'_>> {
        self.send_with([message], &TextGenerationOptions::default())
    }

    /// As [`send`](Self::send), of any number of messages (the results of several tools, say) and with
    /// options.
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

/// The answer of a turn, in pieces of whole characters, as they come. An error ends it.
///
/// When it is dropped, what came of it becomes the assistant's message. A turn that failed, or was
/// over before its first token, is taken back.
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
    /// Why the answer is over; `None` while it is not, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.stream.finish_reason()
    }

    /// What it took so far: tokens that were read, and that needed not be.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.stream.timings()
    }

    /// What ends the answer from elsewhere.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.stream.cancel_handle()
    }

    /// The tokens behind the text.
    #[must_use]
    pub fn token_stream(&self) -> &TokenStream {
        self.stream.token_stream()
    }

    /// Runs to the end and returns all the text that has not come yet.
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
