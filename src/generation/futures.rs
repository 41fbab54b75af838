//! Answers as streams of futures, for programs on tokio.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::error::{Error, Result};
use crate::generation::cancel::{CancelHandle, DropGuard};
use crate::generation::response::ResponseStream;
use crate::generation::sampler::Token;
use crate::generation::stop::FinishReason;
use crate::generation::stream::TokenStream;
use crate::generation::text::TextStream;
use crate::generation::timings::Timings;
use crate::tokenizer::chat::ResponsePiece;

/// An answer that is computed on one of tokio's blocking threads. Dropping it cancels the answer: before its
/// next token or, while the prompt is processed, before the next 512 tokens of the prompt.
///
/// The thread waits while [`AHEAD`](Self::AHEAD) items are not taken, so an answer that nobody reads takes no
/// more memory. Made by [`spawn`](Self::spawn), [`TokenStream::into_stream`], [`TextStream::into_stream`] and
/// [`ResponseStream::into_stream`].
#[derive(Debug)]
pub struct FutureStream<T> {
    items: mpsc::Receiver<Result<T>>,
    end: Arc<OnceLock<End>>,
    _cancel: DropGuard,
}

/// How an answer has ended.
type End = (Option<FinishReason>, Timings);

/// A stream of an answer that says how it has ended: what [`FutureStream::spawn`] takes.
pub trait AnswerStream: Iterator<Item = Result<Self::Piece>> {
    /// What it gives.
    type Piece: Send + 'static;

    /// Why it has ended; `None` while it is running, and after an error.
    fn finish_reason(&self) -> Option<FinishReason>;

    /// How long it has taken so far.
    fn timings(&self) -> Timings;
}

impl<T: Send + 'static> FutureStream<T> {
    /// Items that are computed ahead of the reader.
    pub const AHEAD: usize = 16;

    /// Runs `make` and the stream that it returns on a blocking thread, so that neither the reading of the
    /// prompt nor the model holds up the runtime. `cancel` is the handle of the answer, to be given to it by
    /// `make`; dropping the stream cancels by it.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime. What `make` returns is the stream's first item.
    pub fn spawn<S, F>(cancel: CancelHandle, make: F) -> Result<Self>
    where
        S: AnswerStream<Piece = T>,
        F: FnOnce() -> Result<S> + Send + 'static,
    {
        let runtime = Handle::try_current().map_err(|_| {
            Error::input("there is no tokio runtime here; take the stream as an iterator instead")
        })?;
        let (sender, items) = mpsc::channel(Self::AHEAD);
        let end = Arc::new(OnceLock::new());
        let ended = Arc::clone(&end);
        runtime.spawn_blocking(move || {
            let mut stream = match make() {
                Ok(stream) => stream,
                Err(error) => return drop(sender.blocking_send(Err(error))),
            };
            for item in stream.by_ref() {
                if sender.blocking_send(item).is_err() {
                    return;
                }
            }
            // Before the sender goes, which is what ends the stream for its reader.
            let _first = ended.set((stream.finish_reason(), stream.timings()));
        });
        Ok(Self { items, end, _cancel: cancel.drop_guard() })
    }

    /// The next item; `None` at the end. As `StreamExt::next`, without an extension trait.
    pub async fn next(&mut self) -> Option<Result<T>> {
        self.items.recv().await
    }

    /// Why the answer has ended; `None` while it is running, and after an error.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.end.get()?.0
    }

    /// How long the answer took; `None` while it is running, and where it could not begin.
    #[must_use]
    pub fn timings(&self) -> Option<Timings> {
        self.end.get().map(|(_, timings)| *timings)
    }
}

impl<T> Stream for FutureStream<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.items.poll_recv(context)
    }
}

/// The two methods that all streams of answers have, and the way into futures.
macro_rules! answer_stream {
    ($stream:ident, $piece:ty) => {
        impl AnswerStream for $stream {
            type Piece = $piece;

            fn finish_reason(&self) -> Option<FinishReason> {
                Self::finish_reason(self)
            }

            fn timings(&self) -> Timings {
                Self::timings(self)
            }
        }

        impl $stream {
            /// The same as a stream of futures, computed on one of tokio's blocking threads. Dropping it
            /// cancels the answer.
            ///
            /// # Errors
            ///
            /// Outside of a tokio runtime.
            pub fn into_stream(self) -> Result<FutureStream<$piece>> {
                FutureStream::spawn(self.cancel_handle(), move || Ok(self))
            }
        }
    };
}

answer_stream!(TokenStream, Token);
answer_stream!(TextStream, String);
answer_stream!(ResponseStream, ResponsePiece);
