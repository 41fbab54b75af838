//! The HTTP client below [`Client`](super::client::Client): connections, failures, patience.

use std::env::var;
use std::io::{self, ErrorKind};
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::crypto::CryptoProvider;
use ureq::http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use crate::source::hub::address::shown;
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
        return Err(Failure::broken(format!("{} {NO_CRYPTOGRAPHY}", shown(&url))));
    }
    agent(&request).run(request).map_err(|error| unreachable(&url, error))
}

/// One pool of connections for the process for each wait and proxy, which the environment tells once.
fn agent(request: &Request<()>) -> &'static Agent {
    static AGENTS: LazyLock<[[Agent; 3]; 2]> = LazyLock::new(|| {
        ["HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"].map(|name| {
            let wait = env::seconds(name, 10);
            [None, proxy("http"), proxy("https")].map(|proxy| new_agent(wait, proxy))
        })
    });
    let url = request.uri();
    let is_direct = Proxy::try_from_env().is_none_or(|proxy| proxy.is_no_proxy(url));
    let proxy = match url.scheme_str() {
        _ if is_direct => 0,
        Some("https") => 2,
        _ => 1,
    };
    &AGENTS[usize::from(request.method() != Method::HEAD)][proxy]
}

fn new_agent(wait: Duration, proxy: Option<Proxy>) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let tls = match cryptography() {
        Some(provider) => tls.unversioned_rustls_crypto_provider(provider),
        None => tls,
    };
    Agent::config_builder()
        .tls_config(tls.build())
        .proxy(proxy)
        .timeout_resolve(Some(wait))
        .timeout_connect(Some(wait))
        .timeout_per_read(Some(wait))
        .user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")))
        // Sizes are those of the files, not of what a compressed transfer takes.
        .accept_encoding("identity")
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .new_agent()
}

/// The provider that the program installed for its process, else our own where the processor has
/// all that it needs: graviola panics elsewhere.
fn cryptography() -> Option<Arc<CryptoProvider>> {
    static OWN: LazyLock<Option<Arc<CryptoProvider>>> = LazyLock::new(|| {
        #[cfg(target_arch = "x86_64")]
        return (is_x86_feature_detected!("aes")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("adx")
            && is_x86_feature_detected!("avx")
            && is_x86_feature_detected!("avx2"))
        .then(|| Arc::new(rustls_graviola::default_provider()));
        #[cfg(target_arch = "aarch64")]
        return (std::arch::is_aarch64_feature_detected!("neon")
            && std::arch::is_aarch64_feature_detected!("aes")
            && std::arch::is_aarch64_feature_detected!("pmull")
            && std::arch::is_aarch64_feature_detected!("sha2"))
        .then(|| Arc::new(rustls_graviola::default_provider()));
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        None
    });
    CryptoProvider::get_default().cloned().or_else(|| OWN.clone())
}

/// The proxy for addresses of a scheme; ureq's own reading takes one for all.
fn proxy(scheme: &str) -> Option<Proxy> {
    let names = [scheme, "all"].map(|name| format!("{name}_proxy"));
    let mut both = names.iter().flat_map(|name| [name.to_ascii_uppercase(), name.clone()]);
    let named = both.find_map(|name| var(name).ok().filter(|proxy| !proxy.is_empty()))?;
    Proxy::new(&named).ok()
}

/// No answer, or one that ended before its time.
pub(super) fn unreachable(url: &Uri, error: impl Into<ureq::Error>) -> Failure {
    let error = error.into();
    let was_cut = |kind| {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    let what = match &error {
        ureq::Error::Timeout(_) => "did not answer in time",
        ureq::Error::Io(error) if was_cut(error.kind()) => "was cut",
        ureq::Error::Protocol(_) => "was cut",
        _ => "cannot be reached",
    };
    Failure::unreachable(format!("{} {what}: {error}", shown(url)))
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

const NO_CRYPTOGRAPHY: &str = "needs TLS, whose cryptography here (graviola) wants a processor with AES, \
    AVX2 and ADX (x86-64) or with AES and SHA-2 (ARM): install another provider of rustls 0.23 for the \
    process (`CryptoProvider::install_default`), or fetch the model with `hf download`";
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
