//! What a caller should know though there is a result.

use std::sync::OnceLock;

use crate::error::brief;

type Hook = Box<dyn Fn(&str) + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Decides, once per program, where warnings go: texts that were cut, targets that are no token, a
/// model that was not made for its task. By default they are printed on stderr. Returns whether this
/// was the first call; later ones change nothing.
pub fn on_warning(hook: impl Fn(&str) + Send + Sync + 'static) -> bool {
    HOOK.set(Box::new(hook)).is_ok()
}

pub(crate) fn warn(message: &str) {
    let message = &*brief(message);
    match HOOK.get() {
        Some(hook) => hook(message),
        None => eprintln!("warning: {message}"),
    }
}
