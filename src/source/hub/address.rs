//! Addresses on the Hub: made of names, followed.

use ureq::http::Uri;

/// `<endpoint>/<segments>`, each escaped as Python's `quote(…, safe="")` does it.
pub(super) fn below<'a>(
    endpoint: &str,
    segments: impl IntoIterator<Item = &'a str>,
) -> Option<Uri> {
    let mut address = endpoint.trim_end_matches('/').to_owned();
    for segment in segments {
        address.push('/');
        for byte in segment.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    address.push(byte.into());
                }
                _ => address.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    address.parse().ok()
}

/// Where a redirect from `url` leads: a whole address, one on the same server, or one beside it.
pub(super) fn follow(url: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    let is_whole = ["http://", "https://"].iter().any(|scheme| location.starts_with(scheme));
    let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    match location {
        whole if is_whole => whole.parse().ok(),
        other if other.starts_with("//") => format!("{scheme}:{other}").parse().ok(),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}").parse().ok(),
        beside => format!("{scheme}://{authority}{folder}/{beside}").parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::http::origin;

    #[test]
    fn addresses_are_escaped() {
        let segments = ["o", "n", "resolve", "refs/pr/1", "a b", "c?d#e%.json"];
        let url = below("https://hub.test/base/", segments).unwrap();
        assert_eq!(
            url.to_string(),
            "https://hub.test/base/o/n/resolve/refs%2Fpr%2F1/a%20b/c%3Fd%23e%25.json"
        );
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let url = "http://hub.test:8080/a/b?c".parse().unwrap();
        for (location, expected) in [
            ("https://store.test/x?Signature=s", "https://store.test/x?Signature=s"),
            ("//store.test/x", "http://store.test/x"),
            ("/x/y", "http://hub.test:8080/x/y"),
            ("x", "http://hub.test:8080/a/x"),
        ] {
            assert_eq!(follow(&url, location).unwrap().to_string(), expected);
        }
        assert!(follow(&url, "http://").is_none() && follow(&url, "/a b").is_none());
        let same = |a: &str, b: &str| origin(&a.parse().unwrap()) == origin(&b.parse().unwrap());
        assert!(same("https://Hub.test/a", "https://hub.test:443/b"));
        assert!(!same("https://hub.test", "http://hub.test"));
        assert!(!same("https://hub.test", "https://hub.test.evil"));
    }
}
