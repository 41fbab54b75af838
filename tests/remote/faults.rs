//! What can go wrong at a service, and on the way.

use std::time::{Duration, Instant};

use sconce::{Error, ModelSource, Pipeline};
use serde_json::json;

use crate::fake_service::{Reply, Server, answer, dead_address, finish, said};
use crate::{KEY, failure, model, pipeline, question};

/// The first replies, and a good one after them.
fn after(faults: Vec<Reply>) -> Server {
    Server::start(move |number, _| match faults.get(number) {
        Some(fault) => fault.clone(),
        None => answer(json!({"content": "Good."})),
    })
}

#[test]
fn requests_are_repeated_after_the_wait_that_is_asked_for() {
    let busy = || Reply::error(429, "Slow down.");
    let server =
        after(vec![busy().header("retry-after-ms", 60), busy().header("Retry-After", "0.04")]);
    let started = Instant::now();
    assert_eq!(pipeline(&server).run(&question()).unwrap()[0].text().unwrap(), "Good.");
    assert!(started.elapsed() >= Duration::from_millis(100));
    let counts: Vec<_> = server
        .log()
        .iter()
        .map(|request| request.header("x-stainless-retry-count").unwrap().to_owned())
        .collect();
    assert_eq!(counts, ["0", "1", "2"]);
    let same: Vec<_> = server.log().iter().map(|request| request.body.clone()).collect();
    assert!(same.iter().all(|body| *body == same[0]));
}

#[test]
fn some_failures_are_worth_another_try() {
    for status in [408, 409, 429, 500, 503] {
        let server = after(vec![Reply::error(status, "Later.")]);
        pipeline(&server).run(&question()).unwrap();
        assert_eq!(server.log().len(), 2, "{status}");
        // Of streams, too.
        let server = Server::start(move |number, _| match number {
            0 => Reply::error(status, "Later."),
            _ => Reply::events(&[said("Good."), finish("stop")]).done(),
        });
        assert_eq!(
            pipeline(&server).stream_text(&question()).unwrap().into_text().unwrap(),
            "Good."
        );
    }
    for status in [400, 403, 404, 422] {
        let server = after(vec![Reply::error(status, "Never.")]);
        let error = pipeline(&server).run(&question()).unwrap_err();
        assert_eq!((failure(&error).status, error.is_transient()), (Some(status), false));
        assert_eq!(error.is_caller_error(), matches!(status, 400 | 422));
        assert_eq!(server.log().len(), 1, "{status}");
    }
    let server = after(vec![Reply::error(500, "Broken for good.").header("x-should-retry", false)]);
    assert!(pipeline(&server).run(&question()).is_err());
}

#[test]
fn patience_ends() {
    let server = Server::always(Reply::error(503, "Overloaded."));
    let error = pipeline(&server).run(&question()).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("Overloaded."), "{error}");
    assert!(error.to_string().contains("tried 3 times"), "{error}");
    assert_eq!(server.log().len(), 3);
    let once = Pipeline::text_generation(model(&server).max_retries(0)).build().unwrap();
    assert!(!once.run(&question()).unwrap_err().to_string().contains("tried"));
    assert_eq!(server.log().len(), 4);

    let server = Server::always(Reply::error(429, "Tomorrow.").header("Retry-After", 86400));
    let error = pipeline(&server).run(&question()).unwrap_err().to_string();
    assert!(error.contains("86400 s"), "{error}");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_service_is_quoted_but_for_the_key() {
    let server = Server::always(Reply::error(401, &format!("Incorrect API key provided: {KEY}.")));
    let error = pipeline(&server).run(&question()).unwrap_err();
    let said = failure(&error);
    assert_eq!(
        (said.kind.as_deref(), said.code.as_deref()),
        (Some("some_type"), Some("some_code"))
    );
    assert_eq!((said.status, said.request_id.as_deref()), (Some(401), Some("req_7")));
    let text = error.to_string();
    for part in [
        "Incorrect API key provided: ***.",
        "HTTP 401",
        "req_7",
        "OPENAI_API_KEY",
        "/v1/chat/completions",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // Without a key, that is the advice.
    let source = model(&server).api_key("");
    let error = Pipeline::text_generation(source).build().unwrap().run(&question()).unwrap_err();
    assert!(error.to_string().contains("no key was sent"), "{error}");
    assert!(server.log()[1].header("authorization").is_none());

    let server = Server::always(Reply::of(404, "text/html").piece("<html>Not here</html>"));
    let error = pipeline(&server).run(&question()).unwrap_err().to_string();
    assert!(
        error.contains("404") && error.contains("frontier-1") && !error.contains("<html>"),
        "{error}"
    );
}

#[test]
fn redirects_are_not_followed() {
    let other = Server::always(answer(json!({"content": "Caught."})));
    let to = format!("{}/v1/chat/completions?x=secret", other.url);
    let server = Server::always(Reply::of(307, "text/plain").header("Location", to));
    let error = pipeline(&server).run(&question()).unwrap_err();
    assert!(failure(&error).reason.contains(&other.url), "{error}");
    assert!(other.log().is_empty() && server.log().len() == 1);
}

#[test]
fn what_is_no_answer_is_an_error() {
    for (text, part) in [
        ("{\"choices\": [", "no answer"),
        ("Hello", "no answer"),
        ("[]", "no answer"),
        ("{}", "0 answers"),
        ("{\"choices\": [{\"index\": 7, \"message\": {\"content\": \"x\"}}]}", "number 7"),
        ("{\"choices\": [{}, {}]}", "2 answers"),
        ("{\"error\": {\"message\": \"Not today.\"}}", "Not today."),
        ("{\"object\": \"error\", \"message\": \"Not today.\"}", "Not today."),
    ] {
        let server = Server::always(Reply::of(200, "application/json").piece(text));
        let error = pipeline(&server).run(&question()).unwrap_err();
        assert!(failure(&error).reason.contains(part), "{text}: {error}");
        assert_eq!(server.log().len(), 1, "{text}");
    }
    // A body that is cut.
    let server = Server::always(Reply::of(200, "application/json").piece("{\"choices\"").cut());
    assert!(pipeline(&server).run(&question()).unwrap_err().is_transient());
}

/// What came before an error is given out, and then the error, once.
#[test]
fn a_stream_that_breaks_keeps_what_was_said() {
    let part = || Reply::events(&[said("It "), said("scatters")]);
    for (reply, expected, transient) in [
        (part().cut(), "cut", true),
        (part(), "no end", true),
        (part().piece("data: {\"choices\": [{\"delta\": {\"con"), "no piece", false),
        (part().piece("data: Hello\n\n"), "no piece", false),
        (
            part().piece("data: {\"error\": {\"message\": \"Overloaded.\", \"code\": 5}}\n\n"),
            "Overloaded.",
            false,
        ),
        (
            part().piece(
                "data: {\"error\": {\"message\": \"Busy.\", \"type\": \"overloaded_error\"}}\n\n",
            ),
            "Busy.",
            true,
        ),
        (
            part().piece("event: error\ndata: {\"error\": \"Overloaded.\"}\n\n"),
            "Overloaded.",
            false,
        ),
        (
            part().piece("data: {\"choices\": [{\"index\": 3, \"delta\": {}}]}\n\n"),
            "number 3",
            false,
        ),
        (part().piece("data: \u{7f}").piece(b"\xff\n\n".to_vec()), "UTF-8", true),
    ] {
        let server = Server::always(reply);
        let mut stream = pipeline(&server).stream_text(&question()).unwrap();
        let mut text = String::new();
        let error = loop {
            match stream.next().unwrap() {
                Ok(piece) => text += &piece,
                Err(error) => break error,
            }
        };
        assert_eq!(text, "It scatters");
        assert!(failure(&error).reason.contains(expected), "{expected}: {error}");
        assert_eq!(error.is_transient(), transient, "{expected}");
        assert!(stream.next().is_none() && stream.finish_reason().is_none(), "{expected}");
        assert_eq!(server.log().len(), 1, "nothing is repeated once something was said");
    }
}

#[test]
fn a_stream_that_breaks_before_it_begins_is_repeated() {
    let empty =
        || Reply::events(&[json!({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})]);
    let server = Server::start(move |number, _| match number {
        0 => empty().cut(),
        1 => empty(),
        _ => Reply::events(&[said("Good."), finish("stop")]).done(),
    });
    assert_eq!(pipeline(&server).stream_text(&question()).unwrap().into_text().unwrap(), "Good.");
    assert_eq!(server.log().len(), 3);
    let server = Server::always(empty().cut());
    let error = pipeline(&server).stream_text(&question()).unwrap().into_text().unwrap_err();
    assert!(error.to_string().contains("tried 3 times"), "{error}");
}

#[test]
fn streams_in_all_their_shapes() {
    let piece = |text: &str| said(text).to_string();
    let comments = format!(": ping\n\ndata: {}\n\n:\n\n", piece("Good"));
    let lines = format!("data: {{\ndata: {}\n\n", &piece(".")[1..]);
    let end = format!("data: {}\r\n\r\n", finish("stop"));
    let stream = |text: String| Reply::of(200, "text/event-stream").piece(text);
    for reply in [
        stream(format!("{comments}{lines}{end}data: [DONE]\n\n")),
        // Without the last event, and without its empty line.
        stream(format!("{comments}{lines}{end}")),
        stream(format!("{comments}{lines}data: {}", finish("stop"))),
        // Cut after the last piece: nothing of the answer is missing.
        stream(format!("{comments}{lines}{end}")).cut(),
        stream(format!("{comments}{lines}{end}").replace('\n', "\r\n").replace("\r\r", "\r")),
        // Without a reason to finish.
        stream(format!("{comments}{lines}data: [DONE]\n\n")),
        stream(format!("{comments}data: {{\"choices\": null, \"usage\": null}}\n\n{lines}{end}")),
    ] {
        let server = Server::always(reply.clone());
        let mut stream = pipeline(&server).stream_text(&question()).unwrap();
        let text: sconce::Result<String> = stream.by_ref().collect();
        assert_eq!(text.unwrap(), "Good.", "{reply:?}");
        assert!(stream.finish_reason().is_some());
    }
}

#[test]
fn a_server_that_is_not_there() {
    let source = ModelSource::remote(format!("{}/v1", dead_address()), "m")
        .backoff(Duration::from_millis(1));
    let error = Pipeline::text_generation(source).build().unwrap().run(&question()).unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("is it running"), "{error}");
}

#[test]
fn a_service_that_is_slow() {
    let server = Server::always(Reply::events(&[said("It ")]).hold());
    let wait = Duration::from_millis(80);
    let source = model(&server).read_timeout(wait);
    let mut stream =
        Pipeline::text_generation(source).build().unwrap().stream_text(&question()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "It ");
    let error = stream.next().unwrap().unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("in time"), "{error}");
    server.wait_for_hanging_up();

    // As a whole, however many pieces come.
    let server = Server::always(Reply::of(200, "application/json").hold());
    let source = model(&server).timeout(wait).max_retries(0);
    let started = Instant::now();
    let error = Pipeline::text_generation(source).build().unwrap().run(&question()).unwrap_err();
    assert!(error.is_transient() && started.elapsed() < Duration::from_secs(10), "{error}");
}

#[test]
fn an_event_without_end_is_refused() {
    let megabyte = "x".repeat(1 << 20);
    let reply = Reply::of(200, "text/event-stream").piece("data: {\"choices\": \"");
    let reply = (0..20).fold(reply, |reply, _| reply.piece(megabyte.as_str()));
    let server = Server::always(reply);
    let error = pipeline(&server).stream_text(&question()).unwrap().into_text().unwrap_err();
    let Error::Service(failure) = &error else { panic!("{error:?}") };
    assert!(failure.reason.contains("16 MiB") && !failure.transient, "{error}");
}
