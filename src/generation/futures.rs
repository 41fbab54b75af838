//! Answers as streams of futures, for programs on tokio.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

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
/// more memory. A runtime that shuts down cancels its answers. A panic on the thread, of a processor of your
/// own say, is the last item, as an error. Made by [`spawn`](Self::spawn), [`TokenStream::into_stream`], [`TextStream::into_stream`] and
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
    /// Outside of a tokio runtime. An error of `make` is the stream's first item.
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
        // A task goes with its runtime, which then waits for its threads.
        let (mut alive, gone) = oneshot::channel();
        let guard = cancel.clone().drop_guard();
        runtime.spawn(async move {
            alive.closed().await;
            guard.disarm();
        });
        let mut reader = Reader { items: sender, runtime: runtime.clone(), gone };
        let ended = Arc::clone(&end);
        runtime.spawn_blocking(move || {
            let answer = AssertUnwindSafe(|| reader.read(make, &ended));
            if let Err(panic) = catch_unwind(answer) {
                reader.send(Err(panicked(&*panic)));
            }
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

/// Who reads an answer, as its thread sees them.
struct Reader<T> {
    items: mpsc::Sender<Result<T>>,
    runtime: Handle,
    /// Is closed when the runtime shuts down.
    gone: oneshot::Receiver<()>,
}

impl<T> Reader<T> {
    /// Sends all of an answer, and then how it has ended.
    fn read<S: AnswerStream<Piece = T>>(
        &mut self,
        make: impl FnOnce() -> Result<S>,
        end: &OnceLock<End>,
    ) {
        let mut stream = match make() {
            Ok(stream) => stream,
            Err(error) => {
                self.send(Err(error));
                return;
            }
        };
        for item in stream.by_ref() {
            if !self.send(item) {
                return;
            }
        }
        // Before the sender goes, which is what ends the stream for its reader.
        let _first = end.set((stream.finish_reason(), stream.timings()));
    }

    /// Waits until there is room; `false` if nobody reads any more.
    fn send(&mut self, item: Result<T>) -> bool {
        let mut room = pin!(self.items.reserve());
        let gone = &mut self.gone;
        let room =
            self.runtime.block_on(poll_fn(|context| match Pin::new(&mut *gone).poll(context) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => room.as_mut().poll(context).map(Result::ok),
            }));
        room.map(|room| room.send(item)).is_some()
    }
}

/// The error that a panic becomes.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    let literal = panic.downcast_ref::<&str>().copied();
    let message = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::input(format!(
        "a panic ended the answer, in a part of your own or in this crate: {}",
        message.unwrap_or("without a message")
    ))
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
