//! Questions to a service, and whole answers.

use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::generation::{CancelHandle, FinishReason, GenerationConfig, ServedDetails, Timings};
use crate::remote::failure::within;
use crate::remote::fields::generation_fields;
use crate::remote::message::to_wire;
use crate::remote::parts::Parts;
use crate::remote::post::Payload;
use crate::remote::retry::Retry;
use crate::remote::service::Service;
use crate::remote::wire::Chunk;
use crate::tokenizer::chat::{Message, Response};

/// What a service is asked to write.
#[derive(Debug, Clone)]
pub struct Question {
    prompt: Prompt,
    tools: Vec<Value>,
    response_format: Option<Value>,
    generation: GenerationConfig,
    cancel: Option<CancelHandle>,
}

#[derive(Debug, Clone)]
enum Prompt {
    Chat(Vec<Value>),
    Text(String),
}

/// The answers to a question.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answers {
    /// As many as `num_return_sequences` asks for, and why each is over.
    pub answers: Vec<(Response, FinishReason)>,
    /// How long they took, and their tokens together, as the service counts them.
    pub timings: Timings,
    /// The model, as the service calls it.
    pub model: Option<String>,
    /// What the service says about each answer beside its text. What it says about all is with the first.
    pub details: Vec<ServedDetails>,
}

impl Question {
    /// The answer to a chat (`/chat/completions`).
    #[must_use]
    pub fn chat(messages: &[Message]) -> Self {
        Self::of(Prompt::Chat(messages.iter().map(to_wire).collect()))
    }

    /// The continuation of a text (`/completions`), which few services have.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(Prompt::Text(text.into()))
    }

    fn of(prompt: Prompt) -> Self {
        let (tools, generation) = (Vec::new(), GenerationConfig::default());
        Self { prompt, tools, response_format: None, generation, cancel: None }
    }

    /// Functions that the model may call, by their JSON schemas.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Value>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// What form answers have, as the service takes it in `response_format`: `{"type": "json_object"}`, or what
    /// [`json_schema`](Self::json_schema) makes of a schema.
    #[must_use]
    pub fn response_format(mut self, format: Value) -> Self {
        self.response_format = Some(format);
        self
    }

    /// Answers are JSON that follows a schema: `response_format` of the type `json_schema`, and strict. The
    /// `title` of the schema is its name.
    #[must_use]
    pub fn json_schema(self, schema: Value) -> Self {
        let title = schema.get("title").and_then(Value::as_str).unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name: String =
            title.chars().map(|c| if is_plain(c) { c } else { '_' }).take(64).collect();
        let name = if name.is_empty() { "answer".to_owned() } else { name };
        let schema = json!({"name": name, "schema": schema, "strict": true});
        self.response_format(json!({"type": "json_schema", "json_schema": schema}))
    }

    /// How to answer; see [`generation_fields`] for the options that a service can follow.
    #[must_use]
    pub fn generation(mut self, config: GenerationConfig) -> Self {
        self.generation = config;
        self
    }

    /// Ends the answer from another thread, which closes the connection.
    #[must_use]
    pub fn cancel(mut self, handle: CancelHandle) -> Self {
        self.cancel = Some(handle);
        self
    }

    pub(super) fn path(&self) -> &'static str {
        match self.prompt {
            Prompt::Chat(_) => "/chat/completions",
            Prompt::Text(_) => "/completions",
        }
    }

    pub(super) fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone().unwrap_or_default()
    }

    pub(super) fn max_time(&self) -> Result<Option<Duration>> {
        let wrong = |_| Error::option("max_time", "should be a number of seconds, at least 0");
        self.generation.max_time.map(Duration::try_from_secs_f64).transpose().map_err(wrong)
    }

    /// How many answers are asked for.
    pub(super) fn answers(&self) -> Result<usize> {
        match self.generation.num_return_sequences.unwrap_or(1) {
            count if (1..=MOST_ANSWERS).contains(&count) => Ok(count),
            count => {
                let reason = format!("{count} is not between 1 and {MOST_ANSWERS}");
                Err(Error::option("num_return_sequences", reason))
            }
        }
    }

    pub(super) fn payload(&self, service: &Service, streamed: bool) -> Result<Json> {
        self.answers()?;
        let settings = service.settings();
        let mut fields = Map::new();
        fields.insert("model".to_owned(), service.model().into());
        match &self.prompt {
            Prompt::Chat(messages) => fields.insert("messages".to_owned(), json!(messages)),
            Prompt::Text(text) => fields.insert("prompt".to_owned(), json!(text)),
        };
        fields.extend(generation_fields(&self.generation, service.max_tokens_field())?);
        if let Prompt::Text(_) = self.prompt
            && let Some(count) = fields.remove("top_logprobs")
        {
            // As the older interface names it.
            fields.insert("logprobs".to_owned(), count);
        }
        if let Some(format) = &self.response_format {
            fields.insert("response_format".to_owned(), format.clone());
        }
        if !self.tools.is_empty() {
            let tools = self.tools.iter().map(|tool| match tool.get("type") {
                Some(_) => tool.clone(),
                // The function alone, as chat templates take it, too.
                None => json!({"type": "function", "function": tool}),
            });
            fields.insert("tools".to_owned(), tools.collect());
        }
        if streamed {
            fields.insert("stream".to_owned(), json!(true));
            if settings.stream_usage {
                fields.insert("stream_options".to_owned(), json!({"include_usage": true}));
            }
        }
        fields.extend(settings.extra.clone());
        Ok(Json::of(fields))
    }
}

impl Service {
    /// Asks, and waits for all of the answers.
    ///
    /// # Errors
    ///
    /// When an option is one that a service cannot follow; [`Error::Service`] when the service refuses, cannot
    /// be reached, or sends what is no answer.
    pub fn ask(&self, question: &Question) -> Result<Answers> {
        // What has come by then is worth something.
        if question.cancel.is_some() || question.generation.max_time.is_some() {
            return self.stream(question)?.into_answers();
        }
        let started = Instant::now();
        let payload = question.payload(self, false)?;
        let (mut retry, cancel) = (Retry::new(self.settings()), CancelHandle::default());
        let reply = self.post(question.path(), &payload, &mut retry, &cancel, None)?;
        let reply = reply.ok_or(Error::Interrupted)?;
        let (url, id) = (reply.url().to_owned(), reply.request_id());
        let broken = |reason| crate::remote::failure::broken(self, &url, id.clone(), reason);
        let text = reply.text()?.ok_or(Error::Interrupted)?;
        let mut chunk: Chunk = serde_json::from_str(&text)
            .map_err(|error| broken(format!("sent what is no answer: {error}")))?;
        if let Some(error) = chunk.take_error() {
            return Err(within(self, &url, id, &error));
        }
        let count = question.answers()?;
        let mut parts: Vec<Parts> = Vec::new();
        parts.resize_with(count, Parts::default);
        if chunk.choices.len() != count {
            let found = chunk.choices.len();
            return Err(broken(format!("sent {found} answers where {count} were asked for")));
        }
        for choice in std::mem::take(&mut chunk.choices) {
            let Some(part) = parts.get_mut(choice.index) else {
                return Err(broken(format!("sent an answer with the number {}", choice.index)));
            };
            part.add(choice);
        }
        let took = started.elapsed();
        if let Some(first) = parts.first_mut() {
            chunk.add_details(&mut first.details);
        }
        let usage = chunk.usage.map(|usage| usage.usage()).unwrap_or_default();
        let mut timings = Timings { time_to_first_token: took, total: took, ..Timings::default() };
        timings.set_usage(usage);
        Ok(Answers::of(parts, FinishReason::EndOfSequence, timings, chunk.model))
    }
}

impl Answers {
    /// The answers, now that nothing more comes.
    pub(super) fn of(
        parts: Vec<Parts>,
        finish: FinishReason,
        timings: Timings,
        model: Option<String>,
    ) -> Self {
        let answers = parts.into_iter().map(|mut parts| {
            parts.end(finish);
            ((parts.response, parts.finish.unwrap_or(finish)), parts.details)
        });
        let (answers, details) = answers.unzip();
        Self { answers, timings, model, details }
    }
}

const MOST_ANSWERS: usize = 1024;

/// A request in JSON.
#[derive(Debug)]
pub(super) struct Json(Vec<u8>);

impl Json {
    pub(super) fn of(fields: Map<String, Value>) -> Self {
        Self(Value::Object(fields).to_string().into_bytes())
    }
}

impl Payload for Json {
    fn content_type(&self) -> String {
        "application/json".to_owned()
    }

    fn open(&self) -> Result<(Box<dyn Read + '_>, u64)> {
        Ok((Box::new(Cursor::new(&self.0)), self.0.len() as u64))
    }
}
