//! What ends an answer from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends an answer from any thread: before its next token or, while the prompt is processed, before
/// the next 512 tokens of the prompt.
///
/// ```
/// use sconce::generation::CancelHandle;
///
/// let handle = CancelHandle::default();
/// let guard = handle.clone().drop_guard();
/// drop(guard); // the client has gone
/// assert!(handle.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelHandle(Arc<AtomicBool>);

impl CancelHandle {
    /// Ends the answer. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// A guard that cancels when it is dropped: for a task that waits for an answer from another
    /// thread and may be dropped itself.
    #[must_use]
    pub fn drop_guard(self) -> DropGuard {
        DropGuard(self)
    }
}

/// Cancels an answer when it is dropped; see [`CancelHandle::drop_guard`].
#[derive(Debug)]
pub struct DropGuard(CancelHandle);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
