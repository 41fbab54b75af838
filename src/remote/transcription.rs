//! Speech to text at a service (`/audio/transcriptions`).

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::fields::options;
use crate::generation::CancelHandle;
use crate::remote::failure::{broken, within};
use crate::remote::form::{Content, Form};
use crate::remote::retry::Retry;
use crate::remote::service::Service;

/// Sound in a file of any format that the service knows.
#[derive(Debug, Clone)]
pub struct Recording {
    name: String,
    content: Content,
}

options! {
    /// How a recording is transcribed. What is not set is up to the service.
    TranscriptionOptions {
        /// The language that is spoken, as `en`.
        language: String,
        /// Text that might have come before, for names and style.
        prompt: String,
        /// How freely words are chosen, from 0 to 1.
        temperature: f64,
        /// Whether to ask for the times of words, too.
        word_timestamps: bool,
        /// The format of the answer, such as `json` or `diarized_json`. Default: `verbose_json`, which has
        /// segments and which not every model gives.
        response_format: String,
        /// Ends the call from another thread.
        #[serde(skip)]
        cancel: CancelHandle,
    }
}

/// What is said in a recording. Times are seconds from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transcription {
    /// All of it.
    pub text: String,
    /// The language, as the service names it.
    #[serde(default)]
    pub language: Option<String>,
    /// The length of the recording.
    #[serde(default)]
    pub duration: Option<f64>,
    /// The text in pieces with times; none where the service gives none.
    #[serde(default, deserialize_with = "or_none")]
    pub segments: Vec<TranscriptionSegment>,
    /// Its words with times, where they were asked for.
    #[serde(default, deserialize_with = "or_none")]
    pub words: Vec<TranscriptionWord>,
}

/// A piece of a transcript.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TranscriptionSegment {
    /// When it begins.
    pub start: f64,
    /// When it ends.
    pub end: f64,
    /// What is said.
    pub text: String,
    /// Who speaks, where the service tells speakers apart.
    #[serde(default)]
    pub speaker: Option<String>,
    /// The mean log-probability of its tokens.
    #[serde(default)]
    pub avg_logprob: Option<f64>,
    /// How probable it is that nothing is said.
    #[serde(default)]
    pub no_speech_prob: Option<f64>,
}

/// A word of a transcript.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TranscriptionWord {
    /// The word.
    pub word: String,
    /// When it begins.
    pub start: f64,
    /// When it ends.
    pub end: f64,
}

impl Recording {
    /// A file, which is read while it is sent.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self { name: name.unwrap_or_default(), content: Content::File(path) }
    }

    /// The bytes of a file. By the ending of `name` services tell its format.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: Content::Bytes(Arc::new(bytes.into())) }
    }
}

impl Service {
    /// Transcribes a recording.
    ///
    /// # Errors
    ///
    /// When a file cannot be read; [`Error::Service`] when the service refuses, cannot be reached, or sends
    /// what is no transcript; [`Error::Interrupted`] when the call is cancelled.
    pub fn transcribe(
        &self,
        recording: &Recording,
        options: &TranscriptionOptions,
    ) -> Result<Transcription> {
        let format = options.response_format.as_deref().unwrap_or("verbose_json");
        let mut fields =
            vec![("model", self.model().to_owned()), ("response_format", format.to_owned())];
        let optional = [("language", &options.language), ("prompt", &options.prompt)];
        fields
            .extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        fields.extend(options.temperature.map(|value| ("temperature", value.to_string())));
        if options.word_timestamps == Some(true) {
            fields.extend(
                ["segment", "word"].map(|kind| ("timestamp_granularities[]", kind.to_owned())),
            );
        }
        let extra = self.settings().extra.iter().map(|(name, value)| {
            (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        fields.extend(extra);
        let form = Form::new(&fields, &recording.name, recording.content.clone());
        let cancel = options.cancel.clone().unwrap_or_default();
        let mut retry = Retry::new(self.settings());
        let reply = self.post("/audio/transcriptions", &form, &mut retry, &cancel, None)?;
        let reply = reply.ok_or(Error::Interrupted)?;
        let (url, id) = (reply.url().to_owned(), reply.request_id());
        let text = reply.text()?.ok_or(Error::Interrupted)?;
        let wrong = |error: serde_json::Error| {
            broken(self, &url, id.clone(), format!("sent what is no transcript: {error}"))
        };
        let json: Value = serde_json::from_str(&text).map_err(wrong)?;
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            return Err(within(self, &url, id, error));
        }
        serde_json::from_value(json).map_err(wrong)
    }
}

/// Null is as good as missing.
fn or_none<'de, D, T>(from: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
