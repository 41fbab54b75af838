//! What a caller should know though there is a result.

use std::sync::OnceLock;

use crate::error::brief;

type Hook = Box<dyn Fn(&str) + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Takes warnings, once per program, in one that has no logging: texts that were cut, targets that are no
/// token, a model that was not made for its task. Returns whether this was the first call; later ones
/// change nothing.
///
/// Every warning is an event of [`tracing`](https://docs.rs/tracing) with the target `sconce`, on the thread
/// of the call that it is about and so within the caller's spans; where no subscriber is set, it is a
/// record of [`log`](https://docs.rs/log). Only where nobody listens at all is it printed on stderr.
pub fn on_warning(hook: impl Fn(&str) + Send + Sync + 'static) -> bool {
    HOOK.set(Box::new(hook)).is_ok()
}

pub(crate) fn warn(message: &str) {
    let message = &*brief(message);
    tracing::warn!(target: "sconce", "{message}");
    let is_heard = tracing::dispatcher::has_been_set() || log::max_level() != log::LevelFilter::Off;
    match HOOK.get() {
        Some(hook) => hook(message),
        None if is_heard => {}
        None => eprintln!("warning: {message}"),
    }
}
