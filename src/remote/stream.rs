//! Answers, piece by piece.

use std::collections::VecDeque;
use std::io;
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::generation::{CancelHandle, FinishReason, ServedAnswer, ServedDetails, Timings, Usage};
use crate::remote::answer::{Answers, Json, Question};
use crate::remote::events::Events;
use crate::remote::failure::{Failure, broken, within};
use crate::remote::parts::Parts;
use crate::remote::reply::Reply;
use crate::remote::retry::Retry;
use crate::remote::service::Service;
use crate::remote::wire::Chunk;
use crate::tokenizer::chat::{Response, ResponsePiece};

/// An answer that a service writes, in pieces that say what they are. An error ends it; what came before was
/// given out by then. Dropping it closes the connection, by which services learn that nobody listens.
#[derive(Debug)]
pub struct AnswerStream {
    service: Service,
    path: &'static str,
    payload: Json,
    retry: Retry,
    cancel: CancelHandle,
    deadline: Option<Instant>,
    events: Option<Events<Reply>>,
    parts: Vec<Parts>,
    waiting: VecDeque<ResponsePiece>,
    /// Whether anything of the answer has come.
    has_begun: bool,
    model: Option<String>,
    usage: Usage,
    started: Instant,
    first: Option<Duration>,
    total: Option<Duration>,
    finish: Option<FinishReason>,
}

impl Service {
    /// Asks, and returns as soon as the service begins to answer.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn stream(&self, question: &Question) -> Result<AnswerStream> {
        let started = Instant::now();
        let count = question.answers()?;
        let mut parts = Vec::new();
        parts.resize_with(count, Parts::default);
        let mut stream = AnswerStream {
            service: self.clone(),
            path: question.path(),
            payload: question.payload(self, true)?,
            retry: Retry::new(self.settings()),
            cancel: question.cancel_handle(),
            deadline: question.max_time()?.and_then(|most| started.checked_add(most)),
            events: None,
            parts,
            waiting: VecDeque::new(),
            has_begun: false,
            model: None,
            usage: Usage::default(),
            started,
            first: None,
            total: None,
            finish: None,
        };
        stream.open()?;
        Ok(stream)
    }
}

impl AnswerStream {
    fn open(&mut self) -> Result<()> {
        let limit = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if limit.is_some_and(|limit| limit.is_zero()) {
            self.end(FinishReason::Time);
            return Ok(());
        }
        let Self { service, path, payload, retry, cancel, .. } = self;
        match service.post(path, payload, retry, cancel, limit) {
            Ok(Some(reply)) if reply.is_event_stream() => self.events = Some(Events::new(reply)),
            // One that knows no streams.
            Ok(Some(reply)) => self.read_whole(reply)?,
            Ok(None) => self.end(FinishReason::Cancelled),
            Err(_) if self.is_late() => self.end(FinishReason::Time),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read_whole(&mut self, reply: Reply) -> Result<()> {
        let (url, id) = (reply.url().to_owned(), reply.request_id());
        match reply.text()? {
            None => self.end(FinishReason::Cancelled),
            Some(text) => {
                self.add(&text, &url, id)?;
                self.end(FinishReason::EndOfSequence);
            }
        }
        Ok(())
    }

    /// What has come so far of the first answer.
    #[must_use]
    pub fn response(&self) -> &Response {
        // There is always one.
        static NONE: std::sync::LazyLock<Response> = std::sync::LazyLock::new(Response::default);
        self.parts.first().map_or(&NONE, |parts| &parts.response)
    }

    /// The model, as the service calls it; known with the first piece.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Waits for all of the answers.
    ///
    /// # Errors
    ///
    /// The first error, if there is one.
    pub fn into_answers(mut self) -> Result<Answers> {
        while let Some(pieces) = self.pull().transpose() {
            pieces?;
        }
        let timings = self.timings();
        let finish = self.finish.unwrap_or(FinishReason::EndOfSequence);
        Ok(Answers::of(self.parts, finish, timings, self.model))
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|end| Instant::now() >= end)
    }

    /// Reads one event; `None` at the end.
    fn pull(&mut self) -> Result<Option<()>> {
        let Some(events) = &mut self.events else { return Ok(None) };
        let next = events.next();
        if self.cancel.is_cancelled() {
            self.end(FinishReason::Cancelled);
            return Ok(Some(()));
        }
        let (url, id) = (events.source().url().to_owned(), events.source().request_id());
        match next {
            Ok(Some(data)) if data.trim_start().starts_with("[DONE]") => {
                self.end(FinishReason::EndOfSequence);
            }
            Ok(Some(data)) if data.trim().is_empty() => {}
            Ok(Some(data)) => {
                if let Err(error) = self.add(&data, &url, id) {
                    self.events = None;
                    return Err(error);
                }
            }
            // The count of tokens may be missing, but nothing of the answer is.
            _ if self.parts.iter().all(|parts| parts.finish.is_some()) => {
                self.end(FinishReason::EndOfSequence);
            }
            Err(_) if self.is_late() => self.end(FinishReason::Time),
            Ok(None) => {
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, "the stream has no end");
                self.broke(&error)?;
            }
            Err(error) => self.broke(&error)?,
        }
        Ok(Some(()))
    }

    /// Begins anew where nothing has come yet.
    fn broke(&mut self, error: &io::Error) -> Result<()> {
        let Some(events) = self.events.take() else { return Ok(()) };
        let reply = events.into_source();
        let error = reply.interrupted(error);
        drop(reply);
        if self.has_begun || !error.is_transient() {
            return Err(error);
        }
        self.retry.after(Failure::cut(error), &self.cancel)?;
        self.open()
    }

    fn add(&mut self, data: &str, url: &str, request_id: Option<String>) -> Result<()> {
        let Self { service, parts, .. } = self;
        let mut chunk: Chunk = serde_json::from_str(data).map_err(|error| {
            let reason = format!("sent what is no piece of an answer: {error}");
            broken(service, url, request_id.clone(), reason)
        })?;
        if let Some(error) = chunk.take_error() {
            return Err(within(service, url, request_id, &error));
        }
        if let Some(first) = parts.first_mut() {
            chunk.add_details(&mut first.details);
        }
        for choice in chunk.choices {
            let index = choice.index;
            let Some(of) = parts.get_mut(index) else {
                let reason = format!("sent a piece of an answer with the number {index}");
                return Err(broken(service, url, request_id, reason));
            };
            let pieces = of.add(choice);
            if !pieces.is_empty() {
                self.has_begun = true;
                self.first.get_or_insert_with(|| self.started.elapsed());
            }
            if index == 0 {
                self.waiting.extend(pieces);
            }
        }
        self.usage = chunk.usage.map_or(self.usage, |usage| usage.usage());
        self.model = self.model.take().or(chunk.model);
        Ok(())
    }

    /// Closes the connection, and passes on what is left.
    fn end(&mut self, finish: FinishReason) {
        self.events = None;
        self.total = Some(self.started.elapsed());
        for (index, parts) in self.parts.iter_mut().enumerate() {
            let pieces = parts.end(finish);
            if index == 0 {
                self.waiting.extend(pieces);
            }
        }
        self.finish = self.parts.first().and_then(|parts| parts.finish);
    }
}

impl Iterator for AnswerStream {
    type Item = Result<ResponsePiece>;

    fn next(&mut self) -> Option<Result<ResponsePiece>> {
        loop {
            if self.cancel.is_cancelled() && self.events.is_some() {
                self.end(FinishReason::Cancelled);
            }
            if let Some(piece) = self.waiting.pop_front() {
                return Some(Ok(piece));
            }
            match self.pull() {
                Ok(Some(())) => {}
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl FusedIterator for AnswerStream {}

impl ServedAnswer for AnswerStream {
    fn next_piece(&mut self) -> Option<Result<ResponsePiece>> {
        self.next()
    }

    fn finish_reason(&self) -> Option<FinishReason> {
        self.finish.filter(|_| self.waiting.is_empty())
    }

    fn details(&self) -> ServedDetails {
        self.parts.first().map(|parts| parts.details.clone()).unwrap_or_default()
    }

    fn timings(&self) -> Timings {
        let mut timings = Timings {
            time_to_first_token: self.first.unwrap_or_default(),
            total: self.total.unwrap_or_else(|| self.started.elapsed()),
            ..Timings::default()
        };
        timings.set_usage(self.usage);
        timings
    }

    fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }
}
