//! Services and their faults, played by a local server.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test")]

mod chats;
mod details;
mod ends;
mod environment;
mod fake_service;
mod faults;
#[cfg(feature = "audio")]
mod minutes;
mod options;
mod transcripts;

use std::time::Duration;

use fake_service::Server;
use sconce::Pipeline;
use sconce::error::{Error, ServiceFailure};
use sconce::pipeline::TextGenerationPipeline;
use sconce::source::remote::RemoteModel;
use sconce::tokenizer::chat::Message;

const KEY: &str = "sk-secret-0123456789";

/// The model of a server, asked without long waits.
fn model(server: &Server) -> RemoteModel {
    sconce::ModelSource::remote(format!("{}/v1", server.url), "frontier-1")
        .api_key(KEY)
        .backoff(Duration::from_millis(1))
        .read_timeout(Duration::from_secs(20))
}

fn pipeline(server: &Server) -> TextGenerationPipeline {
    Pipeline::text_generation(model(server)).build().unwrap()
}

fn question() -> [Message; 1] {
    [Message::user("Why is the sky blue?")]
}

/// What a service said, and that the key is nowhere in it.
fn failure(error: &Error) -> &ServiceFailure {
    let printed = format!("{error} {error:?}");
    assert!(!printed.contains("secret"), "{printed}");
    let Error::Service(failure) = error else { panic!("{error:?}") };
    assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
    failure
}
