//! Keeps panics of other crates that are caught from being printed.

use std::any::Any;
use std::cell::Cell;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

/// Runs `work`; what it panics with is returned, and not printed as well.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    HOOK.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // `false` also where the thread is ending and its variables are gone.
            if !QUIET.try_with(Cell::get).unwrap_or(false) {
                hook(panic);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    done
}

/// The program's own hook, if any, goes on working: this one is put in front of it.
static HOOK: Once = Once::new();

thread_local! {
    /// Whether a panic of this thread will be caught here.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}
