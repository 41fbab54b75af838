//! Answers as streams of futures, within a tokio runtime.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::Stream;
use sconce::Result;
use sconce::generation::{
    CancelHandle, FinishReason, FutureStream, GenerationConfig, TokenStream, generate,
    generate_text,
};
use sconce::models::{AutoModel, CausalLm};
use sconce::tokenizer::Tokenizer;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama-gqa-tiny")
}

fn model() -> Arc<dyn CausalLm> {
    AutoModel::open(folder(), &Default::default()).unwrap()
}

fn config(new: usize) -> GenerationConfig {
    GenerationConfig::default().max_new_tokens(new)
}

const PROMPT: [u32; 4] = [3, 40, 77, 12];

async fn next<T>(stream: &mut FutureStream<T>) -> Option<Result<T>>
where
    T: Send + 'static,
{
    let mut stream = pin!(stream);
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

#[tokio::test]
async fn tokens_and_text_are_those_of_the_iterator() {
    let model = model();
    let expected: Vec<_> =
        generate(&model, &PROMPT, &config(30)).unwrap().map(|it| it.unwrap().id).collect();
    let mut stream = generate(&model, &PROMPT, &config(30)).unwrap().into_stream().unwrap();
    assert_eq!(stream.finish_reason(), None);
    let mut found = Vec::new();
    while let Some(token) = next(&mut stream).await {
        found.push(token.unwrap().id);
    }
    assert_eq!(found, expected);
    assert_eq!(stream.finish_reason(), Some(FinishReason::Length));
    assert_eq!(stream.timings().unwrap().generated_tokens, 30);
    assert!(next(&mut stream).await.is_none());

    let tokenizer = Tokenizer::open(folder()).unwrap();
    let text = || generate_text(&model, &tokenizer, &PROMPT, &config(30)).unwrap();
    let mut stream = text().into_stream().unwrap();
    let mut found = String::new();
    while let Some(piece) = stream.next().await {
        found += &piece.unwrap();
    }
    assert_eq!(found, text().into_text().unwrap());
}

/// Dropping it ends the answer, also before anything was read, and leaves the runtime free.
#[tokio::test(flavor = "current_thread")]
async fn dropped_is_cancelled() {
    let model = model();
    for read in [0, 3] {
        let answer = generate(&model, &PROMPT, &config(120)).unwrap();
        let handle = answer.cancel_handle();
        let mut stream = answer.into_stream().unwrap();
        for _ in 0..read {
            next(&mut stream).await.unwrap().unwrap();
        }
        drop(stream);
        assert!(handle.is_cancelled());
    }
    // A task that is aborted drops its stream.
    let answer = generate(&model, &PROMPT, &config(120)).unwrap();
    let handle = answer.cancel_handle();
    let task = tokio::spawn(async move {
        let mut stream = answer.into_stream().unwrap();
        while next(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert!(handle.is_cancelled());
}

/// Nobody reads: the thread waits with what fits the channel, and the runtime goes on.
#[tokio::test(flavor = "current_thread")]
async fn unread_answers_wait() {
    let model = model();
    let (sender, computed) = std::sync::mpsc::channel();
    let cancel = CancelHandle::default();
    let given = cancel.clone();
    let mut stream = FutureStream::spawn(cancel, move || {
        let plan = config(100).plan(&PROMPT, model.limits(), None)?;
        let plan = plan.with_stopping_criterion(Box::new(Counting(sender)));
        let sequence = sconce::generation::Sequence::new(&PROMPT, plan)?.with_cancel_handle(given);
        TokenStream::new(model.clone(), model.new_cache(), sequence)
    })
    .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ahead = computed.try_iter().count();
    assert!(ahead <= FutureStream::<sconce::generation::Token>::AHEAD + 1, "{ahead} tokens");
    let mut read = 0;
    while let Some(token) = next(&mut stream).await {
        token.unwrap();
        read += 1;
    }
    assert_eq!(read, 100);
}

#[derive(Debug, Clone)]
struct Counting(std::sync::mpsc::Sender<()>);

impl sconce::generation::StoppingCriterion for Counting {
    fn is_met(&mut self, _tokens: &[u32]) -> Result<bool> {
        let _nobody = self.0.send(());
        Ok(false)
    }
}

#[tokio::test]
async fn what_cannot_begin_is_the_first_item() {
    let mut stream: FutureStream<_> = FutureStream::spawn(CancelHandle::default(), || {
        let nothing: &[u32] = &[];
        generate(&model(), nothing, &config(1))
    })
    .unwrap();
    assert!(next(&mut stream).await.unwrap().is_err());
    assert!(next(&mut stream).await.is_none());
    assert_eq!(stream.finish_reason(), None);
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    let error = generate(&model(), &PROMPT, &config(3)).unwrap().into_stream().unwrap_err();
    assert!(error.to_string().contains("tokio"), "{error}");
}

/// A runtime that ends does not wait for answers whose streams are gone.
#[test]
fn the_runtime_can_end() {
    let started = Instant::now();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let model = model();
        let _streams: Vec<_> = (0..4)
            .map(|_| generate(&model, &PROMPT, &config(120)).unwrap().into_stream().unwrap())
            .collect();
    });
    drop(runtime);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// Nor for those that somebody holds, and does not read: they are cancelled.
#[test]
fn a_runtime_that_ends_cancels_its_answers() {
    for runtime in [
        tokio::runtime::Runtime::new().unwrap(),
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
    ] {
        let (answer, stream) = runtime.block_on(async {
            let answer = generate(&model(), &PROMPT, &config(120)).unwrap();
            (answer.cancel_handle(), answer.into_stream().unwrap())
        });
        drop(runtime);
        assert!(answer.is_cancelled());
        // Where it was: between two tokens, or with one that waits for its reader.
        let reason = stream.finish_reason();
        assert!(matches!(reason, None | Some(FinishReason::Cancelled)), "{reason:?}");
    }
}

/// The handle of an answer that is over may be another's, too.
#[tokio::test]
async fn what_is_over_cancels_nothing() {
    let answer = generate(&model(), &PROMPT, &config(2)).unwrap();
    let handle = answer.cancel_handle();
    let mut stream = answer.into_stream().unwrap();
    while next(&mut stream).await.is_some() {}
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!handle.is_cancelled());
}

#[derive(Debug, Clone)]
struct Panics(usize);

impl sconce::generation::LogitsProcessor for Panics {
    fn process(&mut self, tokens: &[u32], _logits: &mut [f32]) -> Result<()> {
        assert!(tokens.len() < self.0, "{} tokens", tokens.len());
        Ok(())
    }
}

/// It would end like any other otherwise.
#[tokio::test]
async fn a_panic_is_an_error() {
    let answer = generate(&model(), &PROMPT, &config(9)).unwrap();
    let answer = answer.with_processor(Box::new(Panics(PROMPT.len() + 2)));
    let mut stream = answer.into_stream().unwrap();
    for _ in 0..2 {
        next(&mut stream).await.unwrap().unwrap();
    }
    let error = next(&mut stream).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("panic") && error.contains("6 tokens"), "{error}");
    assert!(next(&mut stream).await.is_none());
    assert_eq!(stream.finish_reason(), None);
}
