//! Answers that are ended from this side.

use std::thread;
use std::time::{Duration, Instant};

use sconce::generation::{CancelHandle, FinishReason, GenerationConfig};
use sconce::pipeline::TextGenerationOptions;
use serde_json::json;

use crate::fake_service::{Reply, Server, answer, said};
use crate::{pipeline, question};

fn begun() -> Server {
    Server::always(Reply::events(&[said("It ")]).hold())
}

#[test]
fn dropping_a_stream_closes_the_connection() {
    let server = begun();
    let mut stream = pipeline(&server).stream_text(&question()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "It ");
    drop(stream);
    server.wait_for_hanging_up();
}

#[test]
fn cancelling_closes_the_connection_while_it_waits() {
    let server = begun();
    let pipeline = pipeline(&server);
    let mut stream = pipeline.stream_text(&question()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "It ");
    let handle = stream.cancel_handle();
    thread::scope(|scope| {
        let reader = scope.spawn(|| (stream.next().is_none(), stream.finish_reason()));
        // Before or while it reads.
        thread::sleep(Duration::from_millis(30));
        handle.cancel();
        assert_eq!(reader.join().unwrap(), (true, Some(FinishReason::Cancelled)));
    });
    server.wait_for_hanging_up();
    // The pipeline is not harmed.
    let mut stream = pipeline.stream_text(&question()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "It ");
}

#[test]
fn a_call_that_is_cancelled_returns_what_has_come() {
    let server = begun();
    let cancel = CancelHandle::default();
    let options = TextGenerationOptions::default()
        .cancel(cancel.clone())
        .details(true)
        .return_full_text(false);
    let pipeline = pipeline(&server);
    thread::scope(|scope| {
        let call = scope.spawn(|| pipeline.run_with(&question(), &options));
        thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        let found = call.join().unwrap().unwrap().remove(0);
        assert_eq!(found.text().unwrap(), "It ");
        assert_eq!(found.details.unwrap().finish_reason, FinishReason::Cancelled);
    });
    server.wait_for_hanging_up();
    // And one that was before it began sends nothing.
    let found = pipeline.run_with(&question(), &options).unwrap().remove(0);
    assert_eq!(found.text().unwrap(), "");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn cancelling_ends_the_wait_between_attempts() {
    let server = Server::always(Reply::error(429, "Wait.").header("Retry-After", 60));
    let cancel = CancelHandle::default();
    let options = TextGenerationOptions::default().cancel(cancel.clone());
    let started = Instant::now();
    let pipeline = pipeline(&server);
    thread::scope(|scope| {
        let call = scope.spawn(|| pipeline.run_with(&question(), &options));
        thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        assert_eq!(call.join().unwrap().unwrap()[0].text().unwrap(), "");
    });
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn max_time_ends_an_answer_with_what_has_come() {
    let server = begun();
    let options: TextGenerationOptions = GenerationConfig::default().max_time(0.15).into();
    let mut stream = pipeline(&server).stream_text_with(&question(), &options).unwrap();
    let text: String = stream.by_ref().map(Result::unwrap).collect();
    assert_eq!((text.as_str(), stream.finish_reason()), ("It ", Some(FinishReason::Time)));
    let found =
        pipeline(&server).run_with(&question(), &options.clone().details(true)).unwrap().remove(0);
    assert_eq!(found.text().unwrap(), "It ");
    assert_eq!(found.details.unwrap().finish_reason, FinishReason::Time);
    let server = Server::always(answer(json!({"content": "Quick."})));
    assert_eq!(
        pipeline(&server).run_with(&question(), &options).unwrap()[0].text().unwrap(),
        "Quick."
    );
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_stream_of_futures_closes_the_connection() {
    let server = begun();
    let mut stream = pipeline(&server).stream_text(&question()).unwrap().into_stream().unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "It ");
    drop(stream);
    server.wait_for_hanging_up();
}
