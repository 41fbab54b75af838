//! Answers taken apart while they come.

use std::collections::VecDeque;
use std::iter::FusedIterator;

use crate::error::Result;
use crate::generation::cancel::CancelHandle;
use crate::generation::served::ServedAnswer;
use crate::generation::stop::FinishReason;
use crate::generation::text::{Piece, TextStream};
use crate::generation::timings::Timings;
use crate::nn::cache::KvCache;
use crate::tokenizer::chat::{Response, ResponseParser, ResponsePiece};

/// An answer in pieces that say what they are: content, reasoning, tool calls. An error ends the stream.
#[derive(Debug)]
pub struct ResponseStream {
    text: TextStream,
    /// `None` where a service takes the answer apart.
    parser: Option<ResponseParser>,
    pieces: VecDeque<ResponsePiece>,
    response: Response,
    over: bool,
}

impl ResponseStream {
    /// Takes `text` apart. It must have been decoded with
    /// [`Tokenizer::response_stream`](crate::tokenizer::Tokenizer::response_stream), which leaves the markers
    /// in.
    #[must_use]
    pub fn new(text: TextStream, parser: ResponseParser) -> Self {
        Self::of(text, Some(parser))
    }

    /// An answer that a service takes apart.
    #[must_use]
    pub fn served(answer: impl ServedAnswer + 'static) -> Self {
        Self::of(TextStream::served(answer), None)
    }

    fn of(text: TextStream, parser: Option<ResponseParser>) -> Self {
        Self { text, parser, pieces: VecDeque::new(), response: Response::default(), over: false }
    }

    /// As [`TextStream::take_cache`].
    pub(crate) fn take_cache(
        &mut self,
        empty: impl FnOnce() -> KvCache,
    ) -> Option<(KvCache, Vec<u32>)> {
        self.text.take_cache(empty)
    }

    /// Ends the stream: what was held back in case a marker follows is part of the response.
    pub(crate) fn end(&mut self) -> &Response {
        if !self.over {
            self.over = true;
            self.finish_parser();
        }
        self.pieces.drain(..).for_each(|piece| self.response.add(piece.event));
        &self.response
    }

    fn finish_parser(&mut self) {
        self.pieces.extend(self.parser.as_mut().map(ResponseParser::finish).into_iter().flatten());
    }

    /// What has come so far.
    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// Runs to the end and returns the answer in its parts.
    ///
    /// # Errors
    ///
    /// The first error, if there is one.
    pub fn into_response(mut self) -> Result<Response> {
        self.by_ref().try_for_each(|piece| piece.map(drop))?;
        Ok(self.response)
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.text.finish_reason()
    }

    /// How long the answer has taken so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.text.timings()
    }

    /// A handle that cancels the answer from any thread.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.text.cancel_handle()
    }

    /// The text behind the pieces.
    #[must_use]
    pub fn text_stream(&self) -> &TextStream {
        &self.text
    }
}

impl Iterator for ResponseStream {
    type Item = Result<ResponsePiece>;

    fn next(&mut self) -> Option<Result<ResponsePiece>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                self.response.add(piece.event.clone());
                return Some(Ok(piece));
            }
            if self.over {
                return None;
            }
            match self.text.next_piece() {
                Some(Ok(Piece::Part(piece))) => self.pieces.push_back(piece),
                Some(Ok(Piece::Text(text))) => {
                    self.pieces.extend(
                        self.parser.as_mut().map(|parser| parser.push(&text)).into_iter().flatten(),
                    );
                }
                Some(Err(error)) => {
                    self.over = true;
                    return Some(Err(error));
                }
                None => {
                    self.over = true;
                    self.finish_parser();
                }
            }
        }
    }
}

impl FusedIterator for ResponseStream {}
