//! A service that can be asked.

use std::env;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use crate::error::{Error, Result};
use crate::source::http::{NO_CRYPTOGRAPHY, Waits, Way, cryptography, new_agent};
use crate::source::remote::RemoteModel;

/// A model of a service, and the connections to it. Cheap to clone, and used by many threads at once.
#[derive(Clone)]
pub struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    model: RemoteModel,
    base_url: String,
    key: Option<String>,
    headers: HeaderMap,
    /// Those that nobody uses. A call has one of its own, so that it can be cut off without the others.
    agents: Mutex<Vec<Agent>>,
}

impl Service {
    /// Settles what `model` and the environment say. Nothing is sent.
    ///
    /// # Errors
    ///
    /// When the address is no base URL, or would send texts unencrypted to another machine; when OpenAI's own
    /// service is meant and there is no key; when a key cannot be one; when this processor has no TLS.
    pub fn open(model: &RemoteModel) -> Result<Self> {
        let given = |given: &Option<String>, name: &str| match given {
            Some(given) => Some(given.clone()).filter(|given| !given.is_empty()),
            None => variable(name),
        };
        let base_url =
            given(&model.base_url, "OPENAI_BASE_URL").unwrap_or_else(|| OPENAI.to_owned());
        let base_url = base_url.trim().trim_end_matches('/').to_owned();
        let url = check_url(&base_url, model.allow_plain_http)?;
        if model.model.is_empty() {
            return Err(Error::option("model", "a service needs the name of a model"));
        }
        let key = given(&model.api_key, "OPENAI_API_KEY").map(|key| key.trim().to_owned());
        if key.is_none() && is_openai(&url) {
            let reason = "OpenAI's service needs a key: set OPENAI_API_KEY or `RemoteModel::api_key`, or name \
                          another service by OPENAI_BASE_URL or `ModelSource::remote`";
            return Err(Error::option("api_key", reason));
        }
        let mut headers = HeaderMap::new();
        let mut add = |name, option: &str, value: Option<String>| -> Result<()> {
            let Some(value) = value else { return Ok(()) };
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                Error::option(option, "has characters that cannot be sent in a header")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
            Ok(())
        };
        add(header::AUTHORIZATION, "api_key", key.as_ref().map(|key| format!("Bearer {key}")))?;
        add(ORGANIZATION, "organization", given(&model.organization, "OPENAI_ORG_ID"))?;
        add(PROJECT, "project", given(&model.project, "OPENAI_PROJECT_ID"))?;
        if url.scheme_str() == Some("https") && cryptography().is_none() {
            return Err(Error::unsupported(format!("{base_url} {NO_CRYPTOGRAPHY}")));
        }
        let model = RemoteModel { api_key: None, ..model.clone() };
        let agents = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { model, base_url, key, headers, agents }) })
    }

    /// The name of the model.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.shared.model.model
    }

    /// The address, without a `/` at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.shared.base_url
    }

    pub(super) fn settings(&self) -> &RemoteModel {
        &self.shared.model
    }

    /// The key and what else is in every request.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.shared.headers
    }

    pub(super) fn has_key(&self) -> bool {
        self.shared.key.is_some()
    }

    /// The name of the field for the most tokens of an answer.
    pub(super) fn max_tokens_field(&self) -> &str {
        let default = match self.shared.base_url.parse().is_ok_and(|url| is_openai(&url)) {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        self.shared.model.max_tokens_field.as_deref().unwrap_or(default)
    }

    /// Leaves out the key, which a service may repeat in what it says.
    pub(super) fn scrubbed(&self, text: &str) -> String {
        match &self.shared.key {
            Some(key) => text.replace(key, "***"),
            None => text.to_owned(),
        }
    }

    /// Connections for a call of its own, so that it can be cut off without others.
    pub(super) fn take_agent(&self, url: &Uri) -> Agent {
        let kept = self.shared.agents.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| {
            let RemoteModel { connect_timeout, read_timeout, timeout, .. } = self.shared.model;
            let waits = Waits { connect: connect_timeout, read: read_timeout, whole: timeout };
            // No proxy reaches this machine, nor should it see what stays here.
            let way = if is_loopback(url) { Way::Direct } else { Way::to(url) };
            new_agent(waits, way)
        })
    }

    /// Keeps the connections of a call for the next.
    pub(super) fn return_agent(&self, agent: Agent) {
        let mut agents = self.shared.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.len() < MOST_AGENTS {
            agents.push(agent);
        }
    }
}

/// Leaves out the key.
impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("base_url", &self.shared.base_url)
            .field("model", &self.shared.model.model)
            .finish_non_exhaustive()
    }
}

/// Empty is as good as not set.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn check_url(text: &str, allow_plain_http: bool) -> Result<Uri> {
    if text.contains('@') {
        let reason = "a name and a password in the address are not taken; use `api_key`";
        return Err(Error::option("base_url", reason));
    }
    let url = text.parse::<Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.query().is_none()
            && url.host().is_some()
    });
    let Some(url) = url else {
        let wanted = "an address like https://api.openai.com/v1 is expected (OPENAI_BASE_URL)";
        return Err(Error::option("base_url", format!("{text:?}: {wanted}")));
    };
    if url.scheme_str() == Some("http") && !is_loopback(&url) && !allow_plain_http {
        let reason = format!(
            "{text} would send texts and the key unencrypted to another machine: use https, or \
             `RemoteModel::allow_plain_http` in a network that you trust"
        );
        return Err(Error::option("base_url", reason));
    }
    Ok(url)
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_openai(url: &Uri) -> bool {
    url.host().is_some_and(|host| host == "api.openai.com" || host.ends_with(".api.openai.com"))
}

const OPENAI: &str = "https://api.openai.com/v1";
const ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const PROJECT: HeaderName = HeaderName::from_static("openai-project");
/// Calls at once beyond this connect anew.
const MOST_AGENTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ModelSource;

    #[test]
    fn addresses_that_cannot_be() {
        for url in ["", "x", "ftp://a/v1", "http://", "https://a/v1?x=1", "mailto:a"] {
            assert!(
                check_url(url, true).unwrap_err().to_string().contains("OPENAI_BASE_URL"),
                "{url}"
            );
        }
        let error = check_url("https://user:secret@a/v1", true).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in
            ["http://localhost:8000/v1", "http://127.0.0.7/v1", "http://[::1]:80", "https://a/v1"]
        {
            check_url(url, false).unwrap();
        }
        for url in
            ["http://a/v1", "http://localhost.evil/v1", "http://10.0.0.1/v1", "http://127.0.0.1.x"]
        {
            let error = check_url(url, false).unwrap_err().to_string();
            assert!(error.contains("allow_plain_http"), "{error}");
            check_url(url, true).unwrap();
        }
    }

    #[test]
    fn keys() {
        let model = ModelSource::remote("http://localhost:1/v1", "m");
        let error = Service::open(&model.clone().api_key("a\nb")).unwrap_err().to_string();
        assert!(error.contains("api_key") && !error.contains("a\\nb"), "{error}");
        let service = Service::open(&model.api_key("sk-1")).unwrap();
        assert!(!format!("{service:?}").contains("sk-1"));
        assert_eq!(service.scrubbed("key sk-1!"), "key ***!");
        assert_eq!(service.max_tokens_field(), "max_tokens");
    }
}
