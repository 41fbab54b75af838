//! What ends an answer from outside.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
pub struct CancelHandle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    hooks: Mutex<Hooks>,
}

#[derive(Default)]
struct Hooks {
    /// The number of the next.
    next: u64,
    waiting: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl CancelHandle {
    /// Ends the answer. It cannot be taken back.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
        let waiting = std::mem::take(&mut self.0.hooks().waiting);
        waiting.into_iter().for_each(|(_, hook)| hook());
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Calls `hook` on the thread that cancels, or at once where that has happened: for what waits for
    /// something else than the processor, and has to be woken. No longer once the guard is dropped.
    #[must_use]
    pub fn on_cancel(&self, hook: impl FnOnce() + Send + 'static) -> OnCancel {
        let mut hooks = self.0.hooks();
        let number = hooks.next;
        hooks.next += 1;
        // Under the lock, which who cancels takes after the flag is set.
        if self.is_cancelled() {
            drop(hooks);
            hook();
        } else {
            hooks.waiting.push((number, Box::new(hook)));
        }
        OnCancel { handle: self.clone(), number }
    }

    /// A guard that cancels when it is dropped: for a task that waits for an answer from another
    /// thread and may be dropped itself.
    #[must_use]
    pub fn drop_guard(self) -> DropGuard {
        DropGuard(Some(self))
    }
}

impl Shared {
    fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cancelled.fmt(f)
    }
}

/// Keeps what is called when an answer is cancelled; see [`CancelHandle::on_cancel`].
#[derive(Debug)]
pub struct OnCancel {
    handle: CancelHandle,
    number: u64,
}

impl Drop for OnCancel {
    fn drop(&mut self) {
        self.handle.0.hooks().waiting.retain(|(number, _)| *number != self.number);
    }
}

/// Cancels an answer when it is dropped; see [`CancelHandle::drop_guard`].
#[derive(Debug)]
pub struct DropGuard(Option<CancelHandle>);

impl DropGuard {
    /// Goes without cancelling: what it has guarded is over.
    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.iter().for_each(CancelHandle::cancel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn hooks_are_called_once_and_only_while_they_are_kept() {
        let (handle, called) = (CancelHandle::default(), Arc::new(AtomicUsize::new(0)));
        let hook = |amount: usize| {
            let called = called.clone();
            move || {
                called.fetch_add(amount, Ordering::Relaxed);
            }
        };
        let _kept = handle.on_cancel(hook(1));
        drop(handle.on_cancel(hook(10)));
        handle.cancel();
        handle.cancel();
        assert_eq!(called.load(Ordering::Relaxed), 1);
        let _late = handle.on_cancel(hook(100));
        assert_eq!(called.load(Ordering::Relaxed), 101);
    }
}
