//! The HTTP client below [`Client`](super::client::Client): connections, failures, patience.

use std::future::Future;
use std::io;
use std::panic;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use tokio::runtime::{Builder, Runtime};

use crate::source::hub::env;

#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What happened and what to do about it.
    pub(super) reason: String,
    pub(super) cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No server, no answer in time, a cut connection.
    Unreachable,
    /// 429 or 5xx; it may have said how long to wait.
    Busy(Option<Duration>),
    /// No such repository, or not for this token.
    Denied,
    /// No such branch, tag or commit.
    NoRevision,
    /// An answer that makes no sense, or a disk that cannot be written.
    Broken,
}

impl Failure {
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.cause, Cause::Unreachable | Cause::Busy(_))
    }

    pub(super) fn broken(reason: String) -> Self {
        Self { reason, cause: Cause::Broken }
    }

    pub(super) fn unreachable(reason: String) -> Self {
        Self { reason, cause: Cause::Unreachable }
    }

    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(super) fn disk(error: io::Error) -> Self {
        Self::broken(format!("the cache cannot be written: {error}"))
    }
}

/// Failures in a row without anything gained.
#[derive(Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Waits before the next attempt, or gives the failure back.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<(), Failure> {
        self.failures += 1;
        let wait = match failure.cause {
            Cause::Busy(Some(asked)) => asked,
            _ => FIRST_WAIT * 2_u32.pow(self.failures - 1),
        };
        let Failure { reason, cause } = failure;
        let count = self.failures;
        if wait > LONGEST_WAIT {
            let seconds = wait.as_secs();
            let reason = format!("{reason} and asks to wait {seconds} s; try again then");
            return Err(Failure { reason, cause });
        }
        if count == ATTEMPTS {
            let reason = format!("{reason}; tried {count} times, try again later");
            return Err(Failure { reason, cause });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

pub(super) struct Clients {
    /// Follows no redirect.
    pub(super) head: reqwest::Client,
    pub(super) get: reqwest::Client,
}

/// One pool of connections for the process.
pub(super) fn clients() -> Result<&'static Clients, Failure> {
    static CLIENTS: LazyLock<reqwest::Result<Clients>> = LazyLock::new(|| {
        let metadata_timeout = env::seconds("HF_HUB_ETAG_TIMEOUT", 10);
        let transfer_timeout = env::seconds("HF_HUB_DOWNLOAD_TIMEOUT", 10);
        let builder = |timeout| {
            // Sizes are those of the files, not of what a compressed transfer takes.
            let identity = HeaderValue::from_static("identity");
            reqwest::Client::builder()
                .user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")))
                .default_headers(HeaderMap::from_iter([(header::ACCEPT_ENCODING, identity)]))
                .connect_timeout(timeout)
                .read_timeout(timeout)
        };
        Ok(Clients {
            head: builder(metadata_timeout).redirect(Policy::none()).build()?,
            get: builder(transfer_timeout).redirect(Policy::limited(MAX_REDIRECTS)).build()?,
        })
    });
    CLIENTS.as_ref().map_err(|error| Failure::broken(format!("no HTTP client: {error}")))
}

/// Runs a future to its end on a thread of its own, so that the caller may be inside another
/// runtime. Connections live on a runtime that is never dropped, which would panic there.
pub(super) fn block_on<T, F>(future: impl FnOnce() -> F + Send) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
    T: Send,
{
    static RUNTIME: LazyLock<io::Result<Runtime>> =
        LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build());
    let no_thread = |error: &io::Error| Failure::broken(format!("no thread: {error}"));
    let runtime = RUNTIME.as_ref().map_err(no_thread)?;
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, || runtime.block_on(future()))
            .map_err(|error| no_thread(&error))?
            .join()
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    })
}

/// The whole chain of causes: reqwest's own text is "error sending request".
pub(super) fn unreachable(url: &Url, error: &reqwest::Error) -> Failure {
    let mut causes = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        causes.push_str(": ");
        causes.push_str(&error.to_string());
        source = error.source();
    }
    let what = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "cannot be reached"
    } else {
        "was cut"
    };
    Failure::unreachable(format!("{url} {what}{causes}"))
}

/// `Retry-After` in seconds or as a date; else the seconds until the Hub's own rate limit opens
/// again, `RateLimit: "api";r=0;t=55`.
pub(super) fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse().ok().map(Duration::from_secs);
    if let Some(after) = text(headers, &header::RETRY_AFTER) {
        return seconds(after).or_else(|| {
            let date = DateTime::parse_from_rfc2822(after).ok()?;
            Some((date.to_utc() - Utc::now()).to_std().unwrap_or_default())
        });
    }
    text(headers, &RATE_LIMIT)?
        .split(';')
        .find_map(|field| seconds(field.trim().strip_prefix("t=")?))
}

pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

pub(super) const MAX_REDIRECTS: usize = 10;
const ATTEMPTS: u32 = 5;
/// Doubled after each failure: at most 3.75 s of waiting in all.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Whoever asks to wait longer gets an error instead of a program that seems to hang.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_servers_ask_for() {
        let asked = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            wait_asked(&HeaderMap::from_iter([(HeaderName::from_static(name), value)]))
        };
        assert_eq!(asked("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("retry-after", "soon"), None);
        assert_eq!(asked("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let later = (Utc::now() + Duration::from_secs(90)).to_rfc2822();
        let wait = asked("retry-after", &later).unwrap();
        assert!((85..=90).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(asked("ratelimit", r#""api";r=0;t=55"#), Some(Duration::from_secs(55)));
        assert_eq!(wait_asked(&HeaderMap::new()), None);
    }
}
