//! The HTTP client below [`Client`](super::client::Client): failures and patience.

use std::io;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use ureq::{Agent, Body};

use crate::source::http::{
    NO_CRYPTOGRAPHY, Waits, Way, cryptography, new_agent, retry_after, shown, text, unreached,
};
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
    pub(super) fn after(&mut self, failure: Failure) -> Result<(), Failure> {
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
        thread::sleep(wait);
        Ok(())
    }
}

/// Gives the answer to a request, whatever its status; redirects are not followed.
pub(super) fn send(request: Request<()>) -> Result<Response<Body>, Failure> {
    let url = request.uri().clone();
    if url.scheme_str() == Some("https") && cryptography().is_none() {
        let reason =
            format!("{} {NO_CRYPTOGRAPHY}, or fetch the model with `hf download`", shown(&url));
        return Err(Failure::broken(reason));
    }
    agent(&request).run(request).map_err(|error| unreachable(&url, error))
}

/// One pool of connections for the process for each wait and proxy, which the environment tells once.
fn agent(request: &Request<()>) -> &'static Agent {
    static AGENTS: LazyLock<[[Agent; 3]; 2]> = LazyLock::new(|| {
        ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"].map(|name| {
            let wait = env::seconds(name, 10);
            let waits = Waits { connect: wait, read: wait, whole: None };
            [Way::Direct, Way::Http, Way::Https].map(|way| new_agent(waits, way))
        })
    });
    let way = Way::to(request.uri());
    &AGENTS[usize::from(request.method() != Method::HEAD)][way as usize]
}

/// No answer, or one that ended before its time.
pub(super) fn unreachable(url: &Uri, error: impl Into<ureq::Error>) -> Failure {
    Failure::unreachable(unreached(url, &error.into()))
}

/// `Retry-After`; else the seconds until the Hub's own rate limit opens again, `RateLimit: "api";r=0;t=55`.
pub(super) fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    if headers.contains_key(header::RETRY_AFTER) {
        return retry_after(headers);
    }
    text(headers, &RATE_LIMIT)?.split(';').find_map(|field| {
        field.trim().strip_prefix("t=")?.trim().parse().ok().map(Duration::from_secs)
    })
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

const ATTEMPTS: u32 = 5;
/// Doubled after each failure: at most 3.75 s of waiting in all.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// Whoever asks to wait longer gets an error instead of a program that seems to hang.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn waits_that_servers_ask_for() {
        let asked = |name: &'static str, value: &str| {
            let value = value.parse().unwrap();
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
