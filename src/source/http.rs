//! How servers are reached: connections, TLS, proxies, and what failures are called.

use std::env::var;
use std::io::ErrorKind;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::crypto::CryptoProvider;
use ureq::http::{HeaderMap, HeaderName, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Proxy};

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    /// For the address of a name, and for a connection.
    pub(crate) connect: Duration,
    /// For anything more to come.
    pub(crate) read: Duration,
    /// For all of an answer.
    pub(crate) whole: Option<Duration>,
}

/// Past the proxies of the environment, or through one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Http,
    Https,
}

impl Way {
    pub(crate) fn to(url: &Uri) -> Self {
        let is_direct = Proxy::try_from_env().is_none_or(|proxy| proxy.is_no_proxy(url));
        match url.scheme_str() {
            _ if is_direct => Self::Direct,
            Some("https") => Self::Https,
            _ => Self::Http,
        }
    }

    /// The proxy for addresses of a scheme; ureq's own reading takes one for all.
    fn proxy(self) -> Option<Proxy> {
        let scheme = match self {
            Self::Direct => return None,
            Self::Http => "http",
            Self::Https => "https",
        };
        let names = [scheme, "all"].map(|name| format!("{name}_proxy"));
        let mut both = names.iter().flat_map(|name| [name.to_ascii_uppercase(), name.clone()]);
        let named = both.find_map(|name| var(name).ok().filter(|proxy| !proxy.is_empty()))?;
        Proxy::new(&named).ok()
    }
}

/// A pool of connections. Redirects are not followed, and a status of failure is an answer like others.
pub(crate) fn new_agent(waits: Waits, way: Way) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let tls = match cryptography() {
        Some(provider) => tls.unversioned_rustls_crypto_provider(provider),
        None => tls,
    };
    Agent::config_builder()
        .tls_config(tls.build())
        .proxy(way.proxy())
        .timeout_resolve(Some(waits.connect))
        .timeout_connect(Some(waits.connect))
        .timeout_per_read(Some(waits.read))
        .timeout_global(waits.whole)
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
pub(crate) fn cryptography() -> Option<Arc<CryptoProvider>> {
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

/// What happened, where no answer came, or one that ended before its time.
pub(crate) fn unreached(url: &Uri, error: &ureq::Error) -> String {
    let was_cut = |kind| {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
    };
    let what = match error {
        ureq::Error::Timeout(_) => "did not answer in time",
        ureq::Error::Io(error) if was_cut(error.kind()) => "was cut",
        ureq::Error::Protocol(_) => "was cut",
        _ => "cannot be reached",
    };
    format!("{} {what}: {error}", shown(url))
}

/// `Retry-After`, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let after = text(headers, &header::RETRY_AFTER)?.trim();
    let seconds = after.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.or_else(|| {
        let date = DateTime::parse_from_rfc2822(after).ok()?;
        Some((date.to_utc() - Utc::now()).to_std().unwrap_or_default())
    })
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a token is for: scheme, host and port.
pub(crate) fn origin(url: &Uri) -> Option<(&str, String, u16)> {
    let scheme = url.scheme_str()?;
    let port = if scheme == "https" { 443 } else { 80 };
    Some((scheme, url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(port)))
}

/// For messages. The stores of large files sign their addresses: long, and nobody's business.
pub(crate) fn shown(url: &Uri) -> String {
    let text = url.to_string();
    text.split_once('?').map_or(text.as_str(), |(address, _)| address).to_owned()
}

/// Goes on after an address.
pub(crate) const NO_CRYPTOGRAPHY: &str = "needs TLS, whose cryptography here (graviola) wants a processor \
    with AES, AVX2 and ADX (x86-64) or with AES and SHA-2 (ARM): install another provider of rustls 0.23 for \
    the process (`CryptoProvider::install_default`)";
