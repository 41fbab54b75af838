//! What a service says when it refuses.

use std::time::Duration;

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, StatusCode, header};

use crate::error::{Error, ServiceFailure};
use crate::remote::service::Service;
use crate::remote::waits::{may_be_repeated, wait_asked};
use crate::source::http::text;

/// A request without the answer that was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    error: Box<Error>,
    pub(super) may_be_repeated: bool,
    /// How long the service asks to wait.
    pub(super) asked: Option<Duration>,
}

impl Failure {
    /// What another try does not mend.
    pub(super) fn fatal(error: Error) -> Self {
        Self { error: Box::new(error), may_be_repeated: false, asked: None }
    }

    /// No answer, or one that was cut.
    pub(super) fn unreachable(service: &Service, url: &str, reason: String) -> Self {
        let failure = Said::default().failure(service, url, None, reason, true);
        Self { error: Box::new(failure), may_be_repeated: true, asked: None }
    }

    /// An answer that was cut before anything of it came.
    pub(super) fn cut(error: Error) -> Self {
        Self { error: Box::new(error), may_be_repeated: true, asked: None }
    }

    /// An answer whose status is no success, with what there is of its body.
    pub(super) fn refusal(
        service: &Service,
        url: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &str,
    ) -> Self {
        let mut said = Said::read(body);
        said.request_id = text(headers, &REQUEST_ID).map(str::to_owned);
        if status.is_redirection() {
            let to = text(headers, &header::LOCATION).unwrap_or("nowhere");
            let to = to.split(['?', '#']).next().unwrap_or(to);
            let reason = format!(
                "redirects to {to}; redirects are not followed, so that the key stays with the address it \
                 was given for: if you trust that one, make it the base URL"
            );
            return Self::fatal(said.failure(service, url, Some(status), reason, false));
        }
        let again = may_be_repeated(status.as_u16(), headers);
        let advice = advice(status, service, &said);
        let message = said.message.take().unwrap_or_else(|| format!("answered {status}"));
        let reason = format!("{}{advice}", message.trim());
        let error = said.failure(service, url, Some(status), reason, again);
        Self { error: Box::new(error), may_be_repeated: again, asked: wait_asked(headers) }
    }

    /// The error, with one more thing to do about it.
    pub(super) fn error(self, advice: &str) -> Error {
        match *self.error {
            Error::Service(mut failure) if !advice.is_empty() => {
                failure.reason += "; ";
                failure.reason += advice;
                Error::Service(failure)
            }
            error => error,
        }
    }
}

/// The error that stands in the middle of a stream, or in an answer whose status says success.
pub(super) fn within(
    service: &Service,
    url: &str,
    request_id: Option<String>,
    error: &Value,
) -> Error {
    let mut said = Said::of(error);
    said.request_id = request_id;
    let message = said.message.take().unwrap_or_else(|| error.to_string());
    let named = [&said.kind, &said.code].into_iter().flatten();
    let again = named.into_iter().any(|name| PASSING.iter().any(|passing| name.contains(passing)));
    said.failure(service, url, None, message, again)
}

/// What a service should not have sent.
pub(super) fn broken(
    service: &Service,
    url: &str,
    request_id: Option<String>,
    reason: String,
) -> Error {
    let said = Said { request_id, ..Said::default() };
    said.failure(service, url, None, reason, false)
}

/// An answer that ended before its time.
pub(super) fn cut(
    service: &Service,
    url: &str,
    request_id: Option<String>,
    reason: String,
) -> Error {
    let said = Said { request_id, ..Said::default() };
    said.failure(service, url, None, reason, true)
}

/// The parts of an error object, in the shapes that services have for it.
#[derive(Default)]
struct Said {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    request_id: Option<String>,
}

impl Said {
    fn read(body: &str) -> Self {
        match serde_json::from_str::<Value>(body) {
            Ok(json) => {
                Self::of(json.get("error").filter(|error| !error.is_null()).unwrap_or(&json))
            }
            // A page of a proxy says less than its status.
            Err(_) if body.trim_start().starts_with('<') => Self::default(),
            Err(_) => {
                let line: String = body.trim().chars().take(LONGEST_PLAIN).collect();
                Self { message: Some(line).filter(|line| !line.is_empty()), ..Self::default() }
            }
        }
    }

    fn of(error: &Value) -> Self {
        let text = |name: &str| match error.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let message = match error {
            Value::String(text) => Some(text.clone()),
            // FastAPI's, also of wrong fields.
            _ => text("message").or_else(|| text("detail")).or_else(|| {
                error.get("detail").filter(|detail| !detail.is_null()).map(Value::to_string)
            }),
        };
        Self { message, kind: text("type"), code: text("code"), request_id: None }
    }

    fn failure(
        self,
        service: &Service,
        url: &str,
        status: Option<StatusCode>,
        reason: String,
        transient: bool,
    ) -> Error {
        let scrubbed = |text: Option<String>| text.map(|text| service.scrubbed(&text));
        Error::Service(Box::new(ServiceFailure {
            url: url.to_owned(),
            status: status.map(|status| status.as_u16()),
            kind: scrubbed(self.kind),
            code: scrubbed(self.code),
            request_id: scrubbed(self.request_id),
            reason: service.scrubbed(&reason),
            transient,
        }))
    }
}

/// What to do about a status.
fn advice(status: StatusCode, service: &Service, said: &Said) -> String {
    let model = service.model();
    match (status.as_u16(), service.has_key()) {
        (401, false) => {
            "; no key was sent: set OPENAI_API_KEY or `RemoteModel::api_key`".to_owned()
        }
        (401, true) => {
            "; the key that was sent is not valid there (OPENAI_API_KEY, `RemoteModel::api_key`)"
                .to_owned()
        }
        (403, _) => {
            "; the key, or the country or project it belongs to, may not do this".to_owned()
        }
        (404, _) => format!(
            "; is the model {model:?} there, and is {} the base URL (it often ends in /v1)?",
            service.base_url()
        ),
        (429, _) if said.code.as_deref() == Some("insufficient_quota") => {
            "; the account has nothing left: see its plan and billing".to_owned()
        }
        _ => String::new(),
    }
}

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Types and codes of errors that pass.
const PASSING: &[&str] = &["overloaded", "rate_limit", "server_error", "timeout", "unavailable"];
/// Characters of one that is no JSON.
const LONGEST_PLAIN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_all_their_shapes() {
        for (body, message, kind, code) in [
            (
                r#"{"error": {"message": "No.", "type": "t", "param": null, "code": "c"}}"#,
                Some("No."),
                Some("t"),
                Some("c"),
            ),
            (r#"{"error": "No."}"#, Some("No."), None, None),
            (
                r#"{"object": "error", "message": "No.", "code": 40001}"#,
                Some("No."),
                None,
                Some("40001"),
            ),
            (r#"{"detail": "Not Found"}"#, Some("Not Found"), None, None),
            (r#"{"detail": [{"loc": ["n"]}]}"#, Some(r#"[{"loc":["n"]}]"#), None, None),
            ("overloaded", Some("overloaded"), None, None),
            ("<html><h1>502</h1></html>", None, None, None),
            ("", None, None, None),
            (r#"{"error": null}"#, None, None, None),
        ] {
            let said = Said::read(body);
            let found = (said.message.as_deref(), said.kind.as_deref(), said.code.as_deref());
            assert_eq!(found, (message, kind, code), "{body}");
        }
    }
}
