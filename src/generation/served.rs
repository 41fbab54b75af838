//! Answers that are written elsewhere.

use std::fmt;

use crate::error::Result;
use crate::generation::cancel::CancelHandle;
use crate::generation::stop::FinishReason;
use crate::generation::timings::Timings;
use crate::tokenizer::chat::ResponsePiece;

/// An answer whose model is not here but at a service: what [`TextStream`](super::TextStream) and
/// [`ResponseStream`](super::ResponseStream) read in place of tokens.
pub trait ServedAnswer: fmt::Debug + Send {
    /// The next piece; `None` at the end. An error is the last.
    fn next_piece(&mut self) -> Option<Result<ResponsePiece>>;

    /// Why the answer has ended; `None` while it is running, and after an error.
    fn finish_reason(&self) -> Option<FinishReason>;

    /// How long the answer has taken so far, and its tokens as far as the service has counted them.
    fn timings(&self) -> Timings;

    /// A handle that cancels the answer from any thread.
    fn cancel_handle(&self) -> CancelHandle;
}
