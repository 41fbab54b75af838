//! Conversations that keep what they computed.

use std::ops::Range;

use crate::error::Result;
use crate::generation::{CancelHandle, FinishReason, ResponseStream, Timings, TokenStream};
use crate::nn::cache::KvCache;
use crate::pipeline::text_generation::output::answered;
use crate::pipeline::text_generation::roll::dropped_messages;
use crate::pipeline::text_generation::{
    Engine, Prompt, TextGenerationOptions, TextGenerationPipeline,
};
use crate::tokenizer::chat::{Message, Response, ResponseEvent, ResponseFormat, ResponsePiece};

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
    /// The cache, and the tokens in it and maybe some more; `None` where the model is at a service.
    read: Option<(KvCache, Vec<u32>)>,
    /// Messages up to here, but for the system prompt, are left out.
    dropped: usize,
}

impl TextGenerationPipeline {
    /// A conversation that keeps what the model has read between its turns.
    #[must_use]
    pub fn chat_session(&self) -> ChatSession {
        ChatSession { pipeline: self.clone(), messages: Vec::new(), read: None, dropped: 0 }
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
        self.dropped = 0;
    }

    /// The messages that the model no longer sees because they did not fit, with
    /// [`LongGeneration::Roll`](super::LongGeneration::Roll). They are still among
    /// [`messages`](Self::messages).
    #[must_use]
    pub fn dropped(&self) -> Range<usize> {
        dropped_messages(&self.messages, self.dropped)
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
        let before = self.dropped;
        match self.start(options) {
            Ok((stream, continues)) => {
                Ok(ChatReply { session: self, said, continues, stream, before, failed: false })
            }
            Err(error) => {
                self.messages.truncate(said);
                Err(error)
            }
        }
    }
}

impl ChatSession {
    /// The answer to the conversation as it is, and whether it continues the last message.
    fn start(&mut self, options: &TextGenerationOptions) -> Result<(ResponseStream, bool)> {
        let Self { pipeline, messages, read, dropped } = self;
        let prompt = Prompt::Chat(messages.clone());
        match &pipeline.engine {
            Engine::Local(local) => {
                let turn = local.prepare_after(prompt, options, *dropped)?;
                let empty = || (local.model.new_cache(), Vec::new());
                let text =
                    local.stream_from(&turn, options, || read.take().unwrap_or_else(empty))?;
                let format = options.response_format.unwrap_or(ResponseFormat::PLAIN);
                let parser = local.response_parser(&turn.ids, format, options)?;
                *dropped = turn.dropped.end;
                Ok((ResponseStream::new(text, parser), turn.continues))
            }
            #[cfg(feature = "remote")]
            Engine::Served(served) => {
                Ok((ResponseStream::served(served.stream(&prompt, options)?), false))
            }
        }
    }
}

/// The answer of a turn, in pieces of whole characters, as they become complete. An error ends the
/// stream. With the option `response_format` they are the content alone, and
/// [`next_piece`](Self::next_piece) gives reasoning and tool calls, too.
///
/// When the reply is dropped, what has come so far becomes the assistant's message. A turn that failed,
/// or ended before its first token, is removed.
#[derive(Debug)]
pub struct ChatReply<'a> {
    session: &'a mut ChatSession,
    /// The messages there were before the turn.
    said: usize,
    /// Whether the last message is continued.
    continues: bool,
    stream: ResponseStream,
    /// What was left out of the conversation before the turn.
    before: usize,
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

    /// The tokens behind the text; `None` where they are at a service.
    #[must_use]
    pub fn token_stream(&self) -> Option<&TokenStream> {
        self.stream.text_stream().token_stream()
    }

    /// What has come so far, in its parts.
    #[must_use]
    pub fn response(&self) -> &Response {
        self.stream.response()
    }

    /// The messages that this turn has left out because they did not fit, with
    /// [`LongGeneration::Roll`](super::LongGeneration::Roll); [`ChatSession::dropped`] tells of all.
    #[must_use]
    pub fn dropped(&self) -> Range<usize> {
        let dropped = self.session.dropped();
        dropped.start.max(self.before)..dropped.end
    }

    /// The next piece of any kind: content, reasoning, a part of a tool call.
    pub fn next_piece(&mut self) -> Option<Result<ResponsePiece>> {
        let piece = self.stream.next();
        self.failed |= matches!(piece, Some(Err(_)));
        piece
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
        loop {
            match self.next_piece()?.map(|piece| piece.event) {
                Err(error) => return Some(Err(error)),
                Ok(ResponseEvent::Content(text) | ResponseEvent::ToolCallBroken { text, .. }) => {
                    return Some(Ok(text));
                }
                Ok(_) => {}
            }
        }
    }
}

impl Drop for ChatReply<'_> {
    fn drop(&mut self) {
        let session = &mut *self.session;
        let tokens = self.stream.text_stream().token_stream();
        let is_empty = tokens.map(|tokens| tokens.generated().is_empty());
        let answer = self.stream.end();
        if self.failed || is_empty.unwrap_or_else(|| *answer == Response::default()) {
            session.messages.truncate(self.said);
            session.dropped = self.before;
        } else {
            session.messages = answered(&session.messages, answer, self.continues);
        }
        match &session.pipeline.engine {
            Engine::Local(local) => {
                session.read = self.stream.take_cache(|| local.model.new_cache());
            }
            #[cfg(feature = "remote")]
            Engine::Served(_) => {}
        }
    }
}
