//! What went wrong at a service.

use std::fmt;

/// What a [service](crate::source::remote) answered in place of what was asked for, or why no answer came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceFailure {
    /// The address that was asked.
    pub url: String,
    /// The HTTP status; `None` where there was no answer, and for an error within a stream.
    pub status: Option<u16>,
    /// The service's `type` of the error, such as `insufficient_quota`.
    pub kind: Option<String>,
    /// The service's `code`, such as `context_length_exceeded`.
    pub code: Option<String>,
    /// The service's number of the request (`x-request-id`), for its support.
    pub request_id: Option<String>,
    /// The service's own message or what happened, and what to do about it.
    pub reason: String,
    /// Whether the same call may succeed later (network down, rate limit, overload).
    pub transient: bool,
}

impl ServiceFailure {
    /// Whether the request itself is what the service does not take.
    pub(super) fn is_caller_error(&self) -> bool {
        matches!(self.status, Some(400 | 413 | 422))
    }
}

impl fmt::Display for ServiceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, status, kind, code, request_id, reason, .. } = self;
        let status = status.map(|status| format!("HTTP {status}"));
        let named = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name} {value}"))
        };
        let about =
            [status, named("type", kind), named("code", code), named("request", request_id)];
        let about: Vec<_> = about.into_iter().flatten().collect();
        match about.is_empty() {
            true => write!(f, "the service at {url}: {reason}"),
            false => write!(f, "the service at {url} ({}): {reason}", about.join(", ")),
        }
    }
}
