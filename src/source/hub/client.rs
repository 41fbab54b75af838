//! Requests to one repository of the Hub, with an error for each thing that can go wrong.

use std::fs::File;
use std::io::{Read, Write};

use ureq::Body;
use ureq::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};

use crate::error::Error;
use crate::source::http::{origin, shown, text};
use crate::source::hub::address;
use crate::source::hub::cache::is_plain_name;
use crate::source::hub::http::{self, Cause, Failure, Patience};
use crate::source::hub::progress::Progress;

#[derive(Debug)]
pub(super) struct Client {
    endpoint: String,
    id: String,
    token: Option<String>,
    authorization: Option<HeaderValue>,
}

/// What the Hub says about a file.
#[derive(Debug)]
pub(super) enum Lookup {
    File(Remote),
    /// The repository has no such file at this commit.
    Missing {
        commit: Option<String>,
    },
}

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) commit: String,
    /// The name of the blob.
    pub(super) etag: String,
    pub(super) size: u64,
    #[cfg(feature = "xet")]
    pub(super) in_xet: bool,
}

impl Client {
    pub(super) fn new(endpoint: &str, id: &str, token: Option<String>) -> Result<Self, Error> {
        let endpoint = endpoint.trim_end_matches('/');
        let is_web = |url: &Uri| matches!(url.scheme_str(), Some("http" | "https"));
        if !endpoint.parse().is_ok_and(|url| is_web(&url) && url.query().is_none()) {
            let wanted = "an address like https://huggingface.co is expected (HF_ENDPOINT)";
            return Err(Error::option("endpoint", format!("{endpoint:?}: {wanted}")));
        }
        let authorization = token
            .as_ref()
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .map_err(|_| Error::option("token", "has characters that no token has"))?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Ok(Self { endpoint: endpoint.to_owned(), id: id.to_owned(), token, authorization })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    #[cfg(feature = "xet")]
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    #[cfg(feature = "xet")]
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Asks for a file's metadata.
    pub(super) fn look_up(&self, revision: &str, file: &str) -> Result<Lookup, Failure> {
        let mut patience = Patience::default();
        loop {
            match self.head(revision, file) {
                // With no server at all the cache is the better answer, and at once.
                Err(failure) if matches!(failure.cause, Cause::Busy(_)) => {
                    patience.after(failure)?;
                }
                result => return result,
            }
        }
    }

    /// Makes `part` as long as the file, beginning where it ends now.
    pub(super) fn fetch(
        &self,
        file: &str,
        remote: &Remote,
        part: &mut File,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let mut patience = Patience::default();
        loop {
            let had = length(part)?;
            progress.at(had);
            if had == remote.size {
                return Ok(());
            }
            let result = self.get(file, remote, had, part, progress);
            if length(part)? > had {
                patience = Patience::default();
            }
            match result {
                Err(failure) if failure.is_transient() => patience.after(failure)?,
                result => result?,
            }
        }
    }

    /// Asks for a file, from a byte of its content on, or for its metadata; follows redirects. Those of
    /// metadata lead to where a renamed repository is now, elsewhere on the Hub; what leads away from
    /// it, to the store of large files, bears the headers itself.
    fn ask(
        &self,
        revision: &str,
        file: &str,
        from: Option<u64>,
    ) -> Result<(Uri, Response<Body>), Failure> {
        let names = self.id.split('/').chain(["resolve", revision]).chain(file.split('/'));
        let first = address::below(&self.endpoint, names)
            .ok_or_else(|| Failure::broken(format!("{} is not a base address", self.endpoint)))?;
        let mut url = first.clone();
        for _ in 0..MAX_REDIRECTS {
            let method = if from.is_none() { Method::HEAD } else { Method::GET };
            let mut request = Request::builder().method(method).uri(&url);
            if let Some(from) = from.filter(|&from| from > 0) {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            // The token goes to the endpoint alone.
            let is_hub = origin(&url) == origin(&first);
            if let Some(value) = self.authorization.as_ref().filter(|_| is_hub) {
                request = request.header(header::AUTHORIZATION, value);
            }
            let request = request.body(()).map_err(|error| Failure::broken(error.to_string()))?;
            let response = http::send(request)?;
            let headers = response.headers();
            let is_enough = from.is_none()
                && (headers.contains_key(LINKED_ETAG) && headers.contains_key(LINKED_SIZE));
            let is_redirect = response.status().is_redirection() && !is_enough;
            let location = text(headers, &header::LOCATION).filter(|_| is_redirect);
            match location.and_then(|to| address::follow(&url, to)) {
                Some(next) if from.is_some() || origin(&next) == origin(&url) => {
                    url = next;
                }
                _ => return Ok((url, response)),
            }
        }
        Err(Failure::broken(format!("{} redirects in circles", shown(&url))))
    }

    fn head(&self, revision: &str, file: &str) -> Result<Lookup, Failure> {
        let (url, response) = self.ask(revision, file, None)?;
        let headers = response.headers();
        let status = response.status();
        let commit = text(headers, &COMMIT).filter(|commit| is_plain_name(commit));
        let commit = commit.map(str::to_owned);
        let code = text(headers, &ERROR_CODE);
        if status == StatusCode::NOT_FOUND
            && (code == Some("EntryNotFound") || (code.is_none() && commit.is_some()))
        {
            return Ok(Lookup::Missing { commit });
        }
        if !status.is_success() && !status.is_redirection() {
            return Err(self.refusal(&url, &response, revision));
        }
        let no_hub = |what: &str| {
            let (url, endpoint) = (shown(&url), &self.endpoint);
            Failure::broken(format!(
                "{url} answered without {what}: no Hub seems to be at {endpoint} (HF_ENDPOINT)"
            ))
        };
        let etag = text(headers, &LINKED_ETAG).or_else(|| text(headers, &header::ETAG));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        // The length of a redirect is that of its own body.
        let own_size = text(headers, &header::CONTENT_LENGTH).filter(|_| status.is_success());
        let size = text(headers, &LINKED_SIZE).or(own_size);
        Ok(Lookup::File(Remote {
            commit: commit.ok_or_else(|| no_hub("a commit (X-Repo-Commit)"))?,
            etag: etag.filter(|etag| is_plain_name(etag)).ok_or_else(|| no_hub("an ETag"))?.into(),
            size: size.and_then(|size| size.parse().ok()).ok_or_else(|| no_hub("a size"))?,
            #[cfg(feature = "xet")]
            in_xet: headers.contains_key(XET_HASH),
        }))
    }

    /// One request for what is missing.
    fn get(
        &self,
        file: &str,
        remote: &Remote,
        had: u64,
        part: &mut File,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let (url, mut response) = self.ask(&remote.commit, file, Some(had))?;
        let status = response.status();
        let mut done = match status {
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), had) => had,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.set_len(0).map_err(Failure::disk)?;
                return Err(Failure::unreachable(format!(
                    "{} sent another range than asked",
                    shown(&url)
                )));
            }
            // Ranges are not known there: from the beginning.
            status if status.is_success() => {
                part.set_len(0).map_err(Failure::disk)?;
                0
            }
            _ => return Err(self.refusal(&url, &response, &remote.commit)),
        };
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = body.read(&mut buffer).map_err(|error| http::unreachable(&url, error))?;
            if read == 0 {
                break;
            }
            done += read as u64;
            if done > remote.size {
                part.set_len(0).map_err(Failure::disk)?;
                let url = shown(&url);
                return Err(Failure::broken(format!("{url} sent more than {} bytes", remote.size)));
            }
            part.write_all(&buffer[..read]).map_err(Failure::disk)?;
            progress.at(done);
        }
        if done == remote.size {
            return Ok(());
        }
        let url = shown(&url);
        Err(Failure::unreachable(format!("{url} ended after {done} of {} bytes", remote.size)))
    }

    /// An answer that is no success, in the terms of `hf_raise_for_status`.
    fn refusal(&self, url: &Uri, response: &Response<Body>, revision: &str) -> Failure {
        let status = response.status();
        let headers = response.headers();
        let is_hub = self.endpoint.parse().is_ok_and(|hub| origin(url) == origin(&hub));
        let url = shown(url);
        let page = format!("{}/{}", self.endpoint(), self.id);
        let token = match self.token {
            Some(_) => "the token sent does not give access",
            None => "no token was sent",
        };
        let access = format!("accept the licence at {page} and set HF_TOKEN to a token of yours");
        let (cause, reason) = match (status.as_u16(), text(headers, &ERROR_CODE)) {
            (429 | 500 | 502 | 503 | 504, _) => {
                (Cause::Busy(http::wait_asked(headers)), format!("{url} answered {status}"))
            }
            _ if !is_hub => {
                (Cause::Broken, format!("{url}, where the Hub redirects to, answered {status}"))
            }
            (_, Some("RevisionNotFound")) => {
                let reason =
                    format!("there is no branch, tag or commit {revision:?}; see {page}/tree/main");
                (Cause::NoRevision, reason)
            }
            (_, Some("GatedRepo")) => {
                (Cause::Denied, format!("the repository is gated and {token}: {access}"))
            }
            (401 | 404, _) | (_, Some("RepoNotFound")) => {
                let or_else = format!(
                    "there is no repository {:?} (check the spelling), or it is private or gated and \
                     {token} (then {access})",
                    self.id
                );
                // To a token it knows, the Hub answers 404.
                let reason = match (status.as_u16(), &self.token) {
                    (401, Some(_)) => format!(
                        "{url} answered {status}: the token that was sent is most likely not valid \
                         (mistyped, expired or revoked; make a new one at {}/settings/tokens, or unset \
                         HF_TOKEN and `hf auth logout` where none is needed). Else {or_else}",
                        self.endpoint()
                    ),
                    _ => format!("{url} answered {status}: either {or_else}"),
                };
                (Cause::Denied, reason)
            }
            (403, _) => (Cause::Denied, format!("{url} answered {status}, {token}: {access}")),
            _ => (Cause::Broken, format!("{url} answered {status}")),
        };
        match text(headers, &ERROR_MESSAGE) {
            Some(said) => Failure { cause, reason: format!("{reason} (the Hub says: {said})") },
            None => Failure { cause, reason },
        }
    }
}

fn length(file: &File) -> Result<u64, Failure> {
    Ok(file.metadata().map_err(Failure::disk)?.len())
}

/// Whether `Content-Range: bytes 5-9/10` begins where we asked.
fn starts_at(headers: &HeaderMap, start: u64) -> bool {
    text(headers, &header::CONTENT_RANGE)
        .and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok())
        .is_some_and(|begin: u64| begin == start)
}

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const MAX_REDIRECTS: usize = 10;
#[cfg(feature = "xet")]
const XET_HASH: HeaderName = HeaderName::from_static("x-xet-hash");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_tokens_that_cannot_be() {
        for endpoint in ["", "hub.test", "file:///etc", "mailto:a@b", "http://"] {
            let error = Client::new(endpoint, "o/n", None).unwrap_err().to_string();
            assert!(error.contains("HF_ENDPOINT"), "{error}");
        }
        let error = Client::new("http://a", "o/n", Some("hf_secret\n".into())).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
