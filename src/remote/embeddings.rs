//! Vectors of texts from a service (`/embeddings`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::generation::{CancelHandle, Usage};
use crate::remote::answer::Json;
use crate::remote::failure::{broken, within};
use crate::remote::retry::Retry;
use crate::remote::service::Service;

options! {
    /// How texts are embedded. What is not set is up to the service.
    EmbeddingOptions {
        /// The length of vectors, for models that can shorten them.
        dimensions: usize,
        /// Ends the call from another thread.
        #[serde(skip)]
        cancel: CancelHandle,
    }
}

/// Vectors of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Embeddings {
    /// One for each text, in their order, all of one length.
    pub vectors: Vec<Vec<f32>>,
    /// The model, as the service calls it.
    pub model: Option<String>,
    /// The tokens that the service counts.
    pub usage: Usage,
}

/// What comes back. An error may come with the status of a success.
#[derive(Deserialize)]
struct Answer {
    data: Option<Vec<Embedded>>,
    model: Option<String>,
    usage: Option<Counted>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Embedded {
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct Counted {
    prompt_tokens: Option<usize>,
}

impl Service {
    /// Embeds texts, all in one request: services take so many at once as they say (OpenAI's 2,048).
    ///
    /// # Errors
    ///
    /// When there is no text, or an empty one, which services refuse without saying which;
    /// [`Error::Service`] when the service refuses, cannot be reached, or sends what is no vector for each text;
    /// [`Error::Interrupted`] when the call is cancelled.
    pub fn embed(&self, texts: &[String], options: &EmbeddingOptions) -> Result<Embeddings> {
        if let Some(place) = texts.iter().position(String::is_empty) {
            return Err(Error::input(format!("text {place} is empty: a service embeds none")));
        }
        if texts.is_empty() {
            return Err(Error::input("no texts to embed"));
        }
        let mut fields = Map::new();
        fields.insert("model".to_owned(), self.model().into());
        fields.insert("input".to_owned(), json!(texts));
        fields.insert("encoding_format".to_owned(), "float".into());
        if let Some(dimensions) = options.dimensions {
            fields.insert("dimensions".to_owned(), dimensions.into());
        }
        fields.extend(self.settings().extra.clone());
        let payload = Json::of(fields);
        let cancel = options.cancel.clone().unwrap_or_default();
        let mut retry = Retry::new(self.settings());
        let reply = self.post("/embeddings", &payload, &mut retry, &cancel, None)?;
        let reply = reply.ok_or(Error::Interrupted)?;
        let (url, id) = (reply.url().to_owned(), reply.request_id());
        let text = reply.text()?.ok_or(Error::Interrupted)?;
        let broken = |reason: String| broken(self, &url, id.clone(), reason);
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|error| broken(format!("sent what are no vectors: {error}")))?;
        if let Some(error) = answer.error.filter(|error| !error.is_null()) {
            return Err(within(self, &url, id.clone(), &error));
        }
        let vectors = ordered(answer.data.unwrap_or_default(), texts.len()).map_err(broken)?;
        let prompt_tokens = answer.usage.and_then(|usage| usage.prompt_tokens).unwrap_or(0);
        let usage = Usage { prompt_tokens, ..Usage::default() };
        Ok(Embeddings { vectors, model: answer.model, usage })
    }
}

/// The vectors in the order of their numbers; those without have the order in which they come.
fn ordered(data: Vec<Embedded>, texts: usize) -> std::result::Result<Vec<Vec<f32>>, String> {
    let mut vectors = vec![Vec::new(); texts];
    for (place, embedded) in data.into_iter().enumerate() {
        let number = embedded.index.unwrap_or(place);
        let Some(vector) = vectors.get_mut(number).filter(|vector| vector.is_empty()) else {
            return Err(format!("sent a vector with the number {number}"));
        };
        *vector = embedded.embedding;
    }
    let length = vectors.first().map_or(0, Vec::len);
    match vectors.iter().position(|vector| vector.is_empty() || vector.len() != length) {
        Some(place) => Err(format!("sent no vector of {length} numbers for text {place}")),
        None => Ok(vectors),
    }
}
