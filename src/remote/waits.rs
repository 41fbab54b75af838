//! What headers say about another try.

use std::time::Duration;

use ureq::http::{HeaderMap, HeaderName};

use crate::source::http::{retry_after, text};

/// `retry-after-ms`, else `Retry-After`.
pub(super) fn wait_asked(headers: &HeaderMap) -> Option<Duration> {
    let milliseconds = text(headers, &RETRY_AFTER_MS).and_then(|text| text.trim().parse().ok());
    let asked = milliseconds.and_then(|ms: f64| Duration::try_from_secs_f64(ms / 1000.0).ok());
    asked.or_else(|| retry_after(headers)).filter(|wait| !wait.is_zero())
}

/// Whether a status is worth another try; a service may say so itself.
pub(super) fn may_be_repeated(status: u16, headers: &HeaderMap) -> bool {
    match text(headers, &SHOULD_RETRY) {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 408 | 409 | 429 | 500..),
    }
}

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn waits_that_services_ask_for() {
        let wait = |pairs: &[(&'static str, &str)]| wait_asked(&headers(pairs));
        assert_eq!(wait(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        let both = [("retry-after", "7"), ("retry-after-ms", "250")];
        assert_eq!(wait(&both), Some(Duration::from_millis(250)));
        for nothing in ["0", "-1", "soon", "nan", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(wait(&[("retry-after", nothing)]), None, "{nothing}");
        }
    }

    #[test]
    fn statuses_worth_another_try() {
        for (status, said, expected) in [
            (408, "", true),
            (409, "", true),
            (429, "", true),
            (500, "", true),
            (529, "", true),
            (400, "", false),
            (401, "", false),
            (404, "", false),
            (400, "true", true),
            (503, "false", false),
        ] {
            assert_eq!(may_be_repeated(status, &headers(&[("x-should-retry", said)])), expected);
        }
    }
}
