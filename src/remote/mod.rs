//! Services that speak OpenAI's HTTP interface: answers of chats and transcripts.
//!
//! `Pipeline::text_generation("openai:gpt-4o-mini")` is built on this, and is what most programs want. How a
//! service is found and reached is said in [`source::remote`](crate::source::remote).
//!
//! Requests follow OpenAI's API reference; environment, repetitions and waits follow its Python client
//! (openai 3.57.0). Nothing that a service sends is trusted: sizes are bounded, and what is cut, no JSON or
//! no answer is an error that keeps what was said before it.

mod answer;
mod details;
mod embeddings;
mod events;
mod failure;
mod fields;
mod form;
mod message;
mod parts;
mod post;
mod reply;
mod retry;
mod service;
mod stream;
mod transcription;
mod waits;
mod wire;

pub use answer::{Answers, Question};
pub use embeddings::{EmbeddingOptions, Embeddings};
pub use fields::generation_fields;
pub(crate) use fields::refused;
pub use service::Service;
pub use stream::AnswerStream;
pub use transcription::{
    Recording, Transcription, TranscriptionOptions, TranscriptionSegment, TranscriptionWord,
};
