//! Models behind services that speak OpenAI's HTTP interface: OpenAI's own, vLLM, llama.cpp's server, Ollama
//! and many more (feature `remote`).
//!
//! # Environment
//!
//! As the official Python client reads it. Empty is as good as not set, and what is set on
//! [`RemoteModel`] wins.
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `OPENAI_BASE_URL` | the service's address | `https://api.openai.com/v1` |
//! | `OPENAI_API_KEY` | the key | none |
//! | `OPENAI_ORG_ID` | the organization that requests count for | none |
//! | `OPENAI_PROJECT_ID` | the project that requests count for | none |
//! | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies | none |
//!
//! TLS is that of the [Hub](crate::source::hub).

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// A model behind a service, and how the service is reached. What is not set here comes from the environment,
/// see the [module](crate::source::remote).
///
/// ```
/// use std::time::Duration;
///
/// use sconce::ModelSource;
///
/// let _frontier = ModelSource::openai("gpt-4o-mini");
/// let _local = ModelSource::remote("http://localhost:8000/v1", "Qwen/Qwen3-8B")
///     .read_timeout(Duration::from_secs(30))
///     .extra_field("chat_template_kwargs", serde_json::json!({"enable_thinking": false}));
/// ```
#[derive(Clone)]
pub struct RemoteModel {
    pub(crate) model: String,
    pub(crate) base_url: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_retries: u32,
    pub(crate) backoff: Duration,
    pub(crate) allow_plain_http: bool,
    pub(crate) max_tokens_field: Option<String>,
    pub(crate) stream_usage: bool,
    pub(crate) extra: Map<String, Value>,
}

impl RemoteModel {
    pub(in crate::source) fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            base_url: None,
            api_key: None,
            organization: None,
            project: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(600),
            timeout: None,
            max_retries: 2,
            backoff: Duration::from_millis(500),
            allow_plain_http: false,
            max_tokens_field: None,
            stream_usage: true,
            extra: Map::new(),
        }
    }

    /// The name of the model, as the service knows it.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The address under which the service has `/chat/completions`. By default `OPENAI_BASE_URL`, else
    /// `https://api.openai.com/v1`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// The key; an empty one sends none. By default `OPENAI_API_KEY`. It is sent to the base URL only and
    /// printed nowhere.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// The organization that requests count for. By default `OPENAI_ORG_ID`.
    #[must_use]
    pub fn organization(mut self, id: impl Into<String>) -> Self {
        self.organization = Some(id.into());
        self
    }

    /// The project that requests count for. By default `OPENAI_PROJECT_ID`.
    #[must_use]
    pub fn project(mut self, id: impl Into<String>) -> Self {
        self.project = Some(id.into());
        self
    }

    /// How long to wait for a connection. By default 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, wait: Duration) -> Self {
        self.connect_timeout = wait;
        self
    }

    /// How long to wait for the first piece of an answer, and from each piece to the next. By default 10
    /// minutes: a service may think for long before it says anything.
    #[must_use]
    pub fn read_timeout(mut self, wait: Duration) -> Self {
        self.read_timeout = wait;
        self
    }

    /// How long a whole answer may take, from the connection to its last byte. By default without limit.
    #[must_use]
    pub fn timeout(mut self, wait: Duration) -> Self {
        self.timeout = Some(wait);
        self
    }

    /// How often a request is repeated that was not answered, or with 408, 409, 429 or 5xx. By default 2.
    /// Nothing is repeated once a piece of an answer was given out.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// The wait before the first repetition where the service asks for none; it doubles each time, up to 16
    /// times this, and up to a quarter less by chance. By default 0.5 s.
    #[must_use]
    pub fn backoff(mut self, wait: Duration) -> Self {
        self.backoff = wait;
        self
    }

    /// Whether to send texts and the key unencrypted to another machine. Without this, `http` is for this
    /// machine alone (`localhost`, `127.0.0.1`, `[::1]`).
    #[must_use]
    pub fn allow_plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// The field that has `max_new_tokens`. By default `max_completion_tokens` for OpenAI's own service, and
    /// `max_tokens`, which all others know, elsewhere.
    #[must_use]
    pub fn max_tokens_field(mut self, name: impl Into<String>) -> Self {
        self.max_tokens_field = Some(name.into());
        self
    }

    /// Whether streams ask for the count of tokens (`stream_options`), which a few services refuse. By default
    /// `true`.
    #[must_use]
    pub fn stream_usage(mut self, ask: bool) -> Self {
        self.stream_usage = ask;
        self
    }

    /// Adds a field to the JSON of every request, for what services have beyond the options of this crate:
    /// `reasoning_effort`, say, or `top_k` and `chat_template_kwargs` of vLLM. It wins over a field of the same
    /// name.
    #[must_use]
    pub fn extra_field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }
}

/// Leaves out the key, which must not end up in a log.
impl fmt::Debug for RemoteModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteModel")
            .field("model", &self.model)
            .field("base_url", &self.base_url)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("organization", &self.organization)
            .field("project", &self.project)
            .field("max_retries", &self.max_retries)
            .finish_non_exhaustive()
    }
}

/// For messages: as in the text that names it.
impl fmt::Display for RemoteModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.model)?;
        match &self.base_url {
            Some(url) => write!(f, " at {url}"),
            None => Ok(()),
        }
    }
}

/// What a text begins with that names a model of the service.
pub(super) const PREFIX: &str = "openai:";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ModelSource;

    #[test]
    fn the_key_is_not_printed() {
        let model = RemoteModel::new("m").api_key("sk-secret");
        let printed = format!("{model:?} {model} {:?}", ModelSource::from(model.clone()));
        assert!(!printed.contains("secret"), "{printed}");
    }

    #[cfg(not(feature = "remote"))]
    #[test]
    fn a_build_without_the_feature_says_so() {
        let error = ModelSource::from("openai:gpt-4o-mini").open().unwrap_err();
        let named = matches!(error, crate::Error::FeatureDisabled { feature: "remote" });
        assert!(named, "{error:?}");
    }
}
