//! An answer of a service, as it comes.

use std::io::{self, Read};

use ureq::http::{HeaderMap, Response, StatusCode, Uri, header, response};
use ureq::{Agent, Body, BodyReader};

use crate::error::Error;
use crate::generation::{CancelHandle, OnCancel};
use crate::remote::failure::{REQUEST_ID, broken, cut};
use crate::remote::service::Service;
use crate::source::http::{shown, text};

/// The body of an answer. Dropping it closes the connection, if anything of the answer is left.
pub(super) struct Reply {
    service: Service,
    url: String,
    head: response::Parts,
    body: Option<BodyReader<'static>>,
    agent: Option<Agent>,
    hook: Option<OnCancel>,
    cancel: CancelHandle,
    read: u64,
    most: u64,
}

impl Reply {
    pub(super) fn new(
        service: Service,
        response: Response<Body>,
        agent: Agent,
        hook: OnCancel,
        cancel: CancelHandle,
        url: Uri,
    ) -> Self {
        let (head, body) = response.into_parts();
        let body = Some(body.into_reader());
        let url = shown(&url);
        let (agent, hook, most) = (Some(agent), Some(hook), LONGEST_STREAM);
        Self { service, url, head, body, agent, hook, cancel, read: 0, most }
    }

    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(super) fn request_id(&self) -> Option<String> {
        text(self.headers(), &REQUEST_ID).map(str::to_owned)
    }

    pub(super) fn is_event_stream(&self) -> bool {
        text(self.headers(), &header::CONTENT_TYPE).is_some_and(|kind| {
            kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
        })
    }

    /// The beginning of the text, as far as it comes.
    pub(super) fn beginning(&mut self, most: u64) -> String {
        let mut bytes = Vec::new();
        let _as_far_as_it_comes = self.take(most).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All of the text; `None` where the call is cancelled.
    pub(super) fn text(mut self) -> Result<Option<String>, Error> {
        self.most = LONGEST_TEXT;
        let mut bytes = Vec::new();
        match self.by_ref().read_to_end(&mut bytes) {
            _ if self.cancel.is_cancelled() => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.interrupted(&error)),
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| self.broken("sent what is no UTF-8".to_owned()))?;
        Ok(Some(text))
    }

    pub(super) fn broken(&self, reason: String) -> Error {
        broken(&self.service, &self.url, self.request_id(), reason)
    }

    /// The error for an answer that did not come to its end.
    pub(super) fn interrupted(&self, error: &io::Error) -> Error {
        let reason = match error.kind() {
            io::ErrorKind::FileTooLarge => return self.broken(error.to_string()),
            _ if is_late(error) => "nothing more came in time",
            _ => "the connection was cut",
        };
        let reason = format!("{reason} after {} bytes of the answer: {error}", self.read);
        cut(&self.service, &self.url, self.request_id(), reason)
    }
}

fn is_late(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    error.kind() == io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)))
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(body) = &mut self.body else { return Ok(0) };
        let read = body.read(buffer)?;
        self.read += read as u64;
        if self.read > self.most {
            let reason = format!("the answer has more than {} MiB", self.most >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        Ok(read)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        drop(self.body.take());
        // In this order: a call that is cancelled now leaves its agent alone.
        drop(self.hook.take());
        if let Some(agent) = self.agent.take().filter(|_| !self.cancel.is_cancelled()) {
            self.service.return_agent(agent);
        }
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("url", &self.url).field("status", &self.head.status).finish()
    }
}

/// Bytes of an answer that comes as one.
const LONGEST_TEXT: u64 = 64 << 20;
/// And of one in events, which take some 200 bytes for a token.
const LONGEST_STREAM: u64 = 512 << 20;
