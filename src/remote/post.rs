//! Requests, and their repetitions.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use ureq::SendBody;
use ureq::http::{HeaderName, Request, Uri, header};

use crate::error::{Error, Result};
use crate::generation::CancelHandle;
use crate::remote::failure::Failure;
use crate::remote::reply::Reply;
use crate::remote::retry::Retry;
use crate::remote::service::Service;
use crate::source::http::{shown, unreached};

/// What is sent.
pub(super) trait Payload {
    fn content_type(&self) -> String;

    /// From the beginning, and its length in bytes.
    fn open(&self) -> Result<(Box<dyn Read + '_>, u64)>;
}

impl Service {
    /// Sends a request, again as often as `retry` allows, and returns an answer whose status says success;
    /// `None` where the call is cancelled. `limit` is what is left of the time for all of it.
    pub(super) fn post(
        &self,
        path: &str,
        payload: &dyn Payload,
        retry: &mut Retry,
        cancel: &CancelHandle,
        limit: Option<Duration>,
    ) -> Result<Option<Reply>> {
        loop {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            let failure = match self.attempt(path, payload, retry.taken(), cancel, limit) {
                Ok(reply) => return Ok(Some(reply)),
                Err(_) if cancel.is_cancelled() => return Ok(None),
                Err(failure) => failure,
            };
            retry.after(failure, cancel)?;
        }
    }

    fn attempt(
        &self,
        path: &str,
        payload: &dyn Payload,
        taken: u32,
        cancel: &CancelHandle,
        limit: Option<Duration>,
    ) -> Result<Reply, Failure> {
        let text = format!("{}{path}", self.base_url());
        let wrong = |error: &dyn fmt::Display| Failure::fatal(Error::option("base_url", error));
        let url: Uri = text.parse().map_err(|error| wrong(&error))?;
        let (mut body, length) = payload.open().map_err(Failure::fatal)?;
        let mut request = Request::post(&url)
            .header(header::CONTENT_TYPE, payload.content_type())
            .header(header::CONTENT_LENGTH, length)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(RETRY_COUNT, taken);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers().clone());
        }
        let request =
            request.body(SendBody::from_reader(&mut body)).map_err(|error| wrong(&error))?;
        let agent = self.take_agent(&url);
        let hook = cancel.on_cancel({
            let agent = agent.clone();
            move || agent.shutdown()
        });
        let whole = match (self.settings().timeout, limit) {
            (Some(whole), Some(limit)) => Some(whole.min(limit)),
            (whole, limit) => whole.or(limit),
        };
        let request = agent.configure_request(request).timeout_global(whole).build();
        match agent.run(request) {
            Ok(response) => {
                let reply = Reply::new(self.clone(), response, agent, hook, cancel.clone(), url);
                if reply.status().is_success() { Ok(reply) } else { Err(refusal(reply)) }
            }
            Err(error) => {
                let reason = format!(
                    "{}; is it running, and is the address right?",
                    unreached(&url, &error)
                );
                Err(Failure::unreachable(self, &shown(&url), reason))
            }
        }
    }
}

/// An answer whose status is no success.
fn refusal(mut reply: Reply) -> Failure {
    let body = reply.beginning(LONGEST_MESSAGE);
    Failure::refusal(reply.service(), reply.url(), reply.status(), reply.headers(), &body)
}

/// As the official clients count, for the service's statistics.
const RETRY_COUNT: HeaderName = HeaderName::from_static("x-stainless-retry-count");
/// Bytes of an error that are read.
const LONGEST_MESSAGE: u64 = 64 << 10;
