//! Requests to one repository of the Hub, with an error for each thing that can go wrong.

use std::fs::File;
use std::io::Write;

use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::error::Error;
use crate::source::hub::cache::is_plain_name;
use crate::source::hub::http::{self, Cause, Failure, Patience};
use crate::source::hub::progress::Progress;

#[derive(Debug)]
pub(super) struct Client {
    endpoint: Url,
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
    pub(super) in_xet: bool,
}

impl Client {
    pub(super) fn new(endpoint: &str, id: &str, token: Option<String>) -> Result<Self, Error> {
        let url = Url::parse(endpoint.trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                let wanted = "an address like https://huggingface.co is expected (HF_ENDPOINT)";
                Error::option("endpoint", format!("{endpoint:?}: {wanted}"))
            })?;
        let authorization = token
            .as_ref()
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .map_err(|_| Error::option("token", "has characters that no token has"))?
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        Ok(Self { endpoint: url, id: id.to_owned(), token, authorization })
    }

    pub(super) fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Asks for a file's metadata.
    pub(super) fn look_up(&self, revision: &str, file: &str) -> Result<Lookup, Failure> {
        http::block_on(|| async {
            let mut patience = Patience::default();
            loop {
                match self.head(revision, file).await {
                    // With no server at all the cache is the better answer, and at once.
                    Err(failure) if matches!(failure.cause, Cause::Busy(_)) => {
                        patience.after(failure).await?;
                    }
                    result => return result,
                }
            }
        })
    }

    /// Makes `part` as long as the file, beginning where it ends now.
    pub(super) fn fetch(
        &self,
        file: &str,
        remote: &Remote,
        part: &mut File,
        progress: &Progress,
    ) -> Result<(), Failure> {
        http::block_on(|| async {
            let mut patience = Patience::default();
            loop {
                let had = length(part)?;
                progress.at(had);
                if had == remote.size {
                    return Ok(());
                }
                let result = self.get(file, remote, had, part, progress).await;
                if length(part)? > had {
                    patience = Patience::default();
                }
                match result {
                    Err(failure) if failure.is_transient() => patience.after(failure).await?,
                    result => result?,
                }
            }
        })
    }

    async fn head(&self, revision: &str, file: &str) -> Result<Lookup, Failure> {
        let clients = http::clients()?;
        let mut url = self.url(revision, file)?;
        for _ in 0..http::MAX_REDIRECTS {
            let request = self.authorize(clients.head.request(Method::HEAD, url.clone()));
            let response = request.send().await.map_err(|error| http::unreachable(&url, &error))?;
            // A renamed repository leads elsewhere on the Hub. What leads away from it, to the
            // store of large files, bears the headers itself.
            let headers = response.headers();
            let is_enough = headers.contains_key(LINKED_ETAG) && headers.contains_key(LINKED_SIZE);
            if response.status().is_redirection() && !is_enough {
                let next = http::text(headers, &header::LOCATION).and_then(|to| url.join(to).ok());
                if let Some(next) = next.filter(|next| next.origin() == url.origin()) {
                    url = next;
                    continue;
                }
            }
            return self.read_metadata(&response, revision);
        }
        Err(Failure::broken(format!("{url} redirects in circles")))
    }

    fn read_metadata(&self, response: &Response, revision: &str) -> Result<Lookup, Failure> {
        let headers = response.headers();
        let status = response.status();
        let commit = http::text(headers, &COMMIT).filter(|commit| is_plain_name(commit));
        let commit = commit.map(str::to_owned);
        let code = http::text(headers, &ERROR_CODE);
        if status == StatusCode::NOT_FOUND
            && (code == Some("EntryNotFound") || (code.is_none() && commit.is_some()))
        {
            return Ok(Lookup::Missing { commit });
        }
        if !status.is_success() && !status.is_redirection() {
            return Err(self.refusal(response, revision));
        }
        let no_hub = |what: &str| {
            let url = response.url();
            Failure::broken(format!(
                "{url} answered without {what}: no Hub seems to be at {} (HF_ENDPOINT)",
                self.endpoint()
            ))
        };
        let etag = http::text(headers, &LINKED_ETAG).or_else(|| http::text(headers, &header::ETAG));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        // The length of a redirect is that of its own body.
        let own_size = http::text(headers, &header::CONTENT_LENGTH).filter(|_| status.is_success());
        let size = http::text(headers, &LINKED_SIZE).or(own_size);
        Ok(Lookup::File(Remote {
            commit: commit.ok_or_else(|| no_hub("a commit (X-Repo-Commit)"))?,
            etag: etag.filter(|etag| is_plain_name(etag)).ok_or_else(|| no_hub("an ETag"))?.into(),
            size: size.and_then(|size| size.parse().ok()).ok_or_else(|| no_hub("a size"))?,
            in_xet: headers.contains_key(XET_HASH),
        }))
    }

    /// One request for what is missing.
    async fn get(
        &self,
        file: &str,
        remote: &Remote,
        had: u64,
        part: &mut File,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let url = self.url(&remote.commit, file)?;
        let mut request = self.authorize(http::clients()?.get.request(Method::GET, url.clone()));
        if had > 0 {
            request = request.header(header::RANGE, format!("bytes={had}-"));
        }
        let mut response = request.send().await.map_err(|error| http::unreachable(&url, &error))?;
        let status = response.status();
        let mut done = match status {
            StatusCode::PARTIAL_CONTENT if starts_at(response.headers(), had) => had,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.set_len(0).map_err(Failure::disk)?;
                return Err(Failure::unreachable(format!("{url} sent another range than asked")));
            }
            // Ranges are not known there: from the beginning.
            status if status.is_success() => {
                part.set_len(0).map_err(Failure::disk)?;
                0
            }
            _ => return Err(self.refusal(&response, &remote.commit)),
        };
        while let Some(chunk) =
            response.chunk().await.map_err(|error| http::unreachable(&url, &error))?
        {
            done += chunk.len() as u64;
            if done > remote.size {
                part.set_len(0).map_err(Failure::disk)?;
                return Err(Failure::broken(format!("{url} sent more than {} bytes", remote.size)));
            }
            part.write_all(&chunk).map_err(Failure::disk)?;
            progress.at(done);
        }
        if done == remote.size {
            return Ok(());
        }
        Err(Failure::unreachable(format!("{url} ended after {done} of {} bytes", remote.size)))
    }

    /// An answer that is no success, in the terms of `hf_raise_for_status`.
    fn refusal(&self, response: &Response, revision: &str) -> Failure {
        let status = response.status();
        let headers = response.headers();
        let mut url = response.url().clone();
        // The stores of large files sign their addresses: long, and nobody's business.
        url.set_query(None);
        let page = format!("{}/{}", self.endpoint(), self.id);
        let token = match self.token {
            Some(_) => "the token sent does not give access",
            None => "no token was sent",
        };
        let access = format!("accept the licence at {page} and set HF_TOKEN to a token of yours");
        let (cause, reason) = match (status.as_u16(), http::text(headers, &ERROR_CODE)) {
            (429 | 500 | 502 | 503 | 504, _) => {
                (Cause::Busy(http::wait_asked(headers)), format!("{url} answered {status}"))
            }
            _ if url.origin() != self.endpoint.origin() => {
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
        match http::text(headers, &ERROR_MESSAGE) {
            Some(said) => Failure { cause, reason: format!("{reason} (the Hub says: {said})") },
            None => Failure { cause, reason },
        }
    }

    /// `<endpoint>/<id>/resolve/<revision>/<file>`, escaped.
    fn url(&self, revision: &str, file: &str) -> Result<Url, Failure> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::broken(format!("{} is no base", self.endpoint)))?
            .pop_if_empty()
            .extend(self.id.split('/'))
            .push("resolve")
            .push(revision)
            .extend(file.split('/'));
        Ok(url)
    }

    /// The token goes to the endpoint alone: reqwest drops it where a redirect leads elsewhere.
    fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }
}

fn length(file: &File) -> Result<u64, Failure> {
    Ok(file.metadata().map_err(Failure::disk)?.len())
}

/// Whether `Content-Range: bytes 5-9/10` begins where we asked.
fn starts_at(headers: &HeaderMap, start: u64) -> bool {
    http::text(headers, &header::CONTENT_RANGE)
        .and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok())
        .is_some_and(|begin: u64| begin == start)
}

const COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const XET_HASH: HeaderName = HeaderName::from_static("x-xet-hash");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped() {
        let client = Client::new("https://hub.test/base/", "o/n", None).unwrap();
        let url = client.url("refs/pr/1", "a b/c?d#e%.json").unwrap();
        assert_eq!(
            url.as_str(),
            "https://hub.test/base/o/n/resolve/refs%2Fpr%2F1/a%20b/c%3Fd%23e%25.json"
        );
    }

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
