//! Answers of services, through the methods that pipelines have.

use sconce::generation::{FinishReason, GenerationConfig};
use sconce::pipeline::{GeneratedOutput, Pipeline, Task, TextGenerationOptions};
use sconce::tokenizer::chat::{Message, ResponseEvent};
use sconce::{Error, LoadOptions};
use serde_json::{Map, Value, json};

use crate::fake_service::{Reply, Server, answer, delta, finish, said, usage};
use crate::{KEY, model, pipeline, question};

#[test]
fn a_chat_is_answered() {
    let server = Server::always(answer(json!({"role": "assistant", "content": "It scatters."})));
    let pipeline = pipeline(&server);
    let options = TextGenerationOptions::default()
        .details(true)
        .generation(GenerationConfig::default().max_new_tokens(50).temperature(0.2).seed(1));
    let found = pipeline.run_with(&question(), &options).unwrap().remove(0);
    assert_eq!(found.text().unwrap(), "It scatters.");
    let GeneratedOutput::Chat(messages) = &found.output else { panic!("{found:?}") };
    assert_eq!(messages, &[question()[0].clone(), Message::assistant("It scatters.")]);
    let details = found.details.unwrap();
    assert_eq!(details.finish_reason, FinishReason::EndOfSequence);
    let usage = details.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (9, 4, 0));

    let request = server.log().remove(0);
    assert_eq!((&*request.method, &*request.path), ("POST", "/v1/chat/completions"));
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {KEY}")));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let expected = json!({
        "model": "frontier-1",
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "max_tokens": 50, "temperature": 0.2, "seed": 1,
    });
    assert_eq!(request.json(), expected);
}

#[test]
fn an_answer_comes_in_pieces() {
    let pieces =
        [said(""), said("It "), said("scat"), said("ters."), finish("length"), usage(9, 5)];
    let server = Server::always(Reply::events(&pieces).done());
    let mut stream = pipeline(&server).stream_text(&question()).unwrap();
    assert_eq!(stream.finish_reason(), None);
    let found: Vec<_> = stream.by_ref().map(Result::unwrap).collect();
    assert_eq!(found, ["It ", "scat", "ters."]);
    assert_eq!(stream.finish_reason(), Some(FinishReason::Length));
    let timings = stream.timings();
    assert_eq!((timings.prompt_tokens, timings.cached_tokens, timings.generated_tokens), (7, 2, 5));
    assert!(timings.time_to_first_token <= timings.total);
    assert!(stream.token_stream().is_none());
    let body = server.log()[0].json();
    assert_eq!(
        (&body["stream"], &body["stream_options"]),
        (&json!(true), &json!({"include_usage": true}))
    );
}

#[test]
fn reasoning_and_tool_calls_come_apart() {
    let call = |index: usize, function: Value| json!({"tool_calls": [{"index": index, "function": function}]});
    let mut first = call(0, json!({"name": "weather", "arguments": ""}));
    first["tool_calls"][0]["id"] = json!("call_a");
    let pieces = [
        delta(json!({"role": "assistant", "content": null, "reasoning_content": "Hm, "})),
        delta(json!({"reasoning": "Paris."})),
        said("Let me look."),
        delta(first),
        delta(call(0, json!({"arguments": "{\"town\": "}))),
        delta(call(0, json!({"arguments": "\"Paris\"}"}))),
        delta(call(1, json!({"name": "now"}))),
        delta(call(2, json!({"name": "bad", "arguments": "{\"a\": "}))),
        finish("tool_calls"),
    ];
    let server = Server::always(Reply::events(&pieces).done());
    let pipeline = pipeline(&server);
    let tool = json!({"name": "weather", "parameters": {"type": "object"}});
    let options = TextGenerationOptions::default().tools(vec![tool.clone()]);
    let mut stream = pipeline.stream_response(&question(), &options).unwrap();
    let events: Vec<_> = stream.by_ref().map(|piece| piece.unwrap().event).collect();
    assert!(matches!(&events[3], ResponseEvent::ToolCallBegun { index: 0, id, name }
        if id == "call_a" && name == "weather"));
    assert!(
        matches!(&events[5], ResponseEvent::ToolCallArguments { index: 0, json } if json == "\"Paris\"}")
    );
    assert_eq!(stream.finish_reason(), Some(FinishReason::EndOfSequence));
    let response = stream.response();
    assert_eq!(response.reasoning.as_deref(), Some("Hm, Paris."));
    let calls: Vec<_> = response.tool_calls.iter().map(|call| (&*call.id, &*call.name)).collect();
    assert_eq!(calls, [("call_a", "weather"), ("call_1", "now")]);
    assert_eq!(response.tool_calls[0].arguments["town"], "Paris");
    assert_eq!(response.broken.len(), 1);
    // Nothing of an answer is lost.
    assert_eq!(response.content, "Let me look.bad({\"a\": )");
    assert_eq!(server.log()[0].json()["tools"], json!([{"type": "function", "function": tool}]));

    let content: String =
        pipeline.stream_text_with(&question(), &options).unwrap().map(Result::unwrap).collect();
    assert_eq!(content, response.content);
}

#[test]
fn a_message_goes_back_as_services_take_it() {
    let message = json!({"role": "assistant", "content": null, "reasoning_content": "Hm.", "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "weather", "arguments": "{\"town\": \"Paris\"}"}},
    ]});
    let server = Server::start(move |number, _| match number {
        0 => answer(message.clone()),
        _ => answer(json!({"role": "assistant", "content": "Rain."})),
    });
    let pipeline = pipeline(&server);
    let found = pipeline.run(&question()).unwrap().remove(0);
    let GeneratedOutput::Chat(mut messages) = found.output else { panic!() };
    let answered = messages[1].as_json();
    assert_eq!(answered["reasoning_content"], "Hm.");
    assert_eq!(answered["tool_calls"][0]["function"]["arguments"]["town"], "Paris");
    messages.push(Message::tool("rain").with("tool_call_id", "call_a"));
    assert_eq!(pipeline.run(messages).unwrap()[0].text().unwrap(), "Rain.");
    let sent = &server.log()[1].json()["messages"];
    assert_eq!(sent[1]["tool_calls"][0]["function"]["arguments"], "{\"town\":\"Paris\"}");
    assert!(sent[1].get("reasoning_content").is_none());
    assert_eq!(sent[2], json!({"role": "tool", "content": "rain", "tool_call_id": "call_a"}));
}

#[test]
fn sessions_keep_the_conversation() {
    let server = Server::start(|number, _| match number {
        1 => Reply::events(&[said("a secret that is cut")]).cut(),
        2 => Reply::error(400, "No."),
        _ => Reply::events(&[said("Yes"), said("."), finish("stop")]).done(),
    });
    let mut chat = pipeline(&server).chat_session();
    assert_eq!(chat.send(Message::user("One?")).unwrap().into_text().unwrap(), "Yes.");
    let kept = [Message::user("One?"), Message::assistant("Yes.")];
    assert_eq!(chat.messages(), kept);
    // A turn that fails is taken back, and what it said is not lost to its reader.
    let mut reply = chat.send(Message::user("Two?")).unwrap();
    assert_eq!(reply.next().unwrap().unwrap(), "a secret that is cut");
    assert!(reply.next().unwrap().unwrap_err().is_transient());
    assert_eq!(reply.response().content, "a secret that is cut");
    assert!(reply.next().is_none() && reply.finish_reason().is_none());
    drop(reply);
    assert!(chat.send(Message::user("Two?")).is_err());
    assert_eq!(chat.messages(), kept);
    let mut reply = chat.send(Message::user("Three?")).unwrap();
    assert_eq!(reply.next().unwrap().unwrap(), "Yes");
    assert!(reply.token_stream().is_none());
    drop(reply);
    assert_eq!(chat.messages()[3], Message::assistant("Yes"));
    assert_eq!(server.log()[3].json()["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn texts_are_continued() {
    let server = Server::start(|_, request| match request.json()["stream"] {
        Value::Null => Reply::json(
            &json!({"choices": [{"index": 0, "text": " time", "finish_reason": "length"}]}),
        ),
        _ => Reply::events(&[
            json!({"choices": [{"index": 0, "text": " ti", "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "text": "me", "finish_reason": "length"}]}),
        ])
        .done(),
    });
    let pipeline = pipeline(&server);
    assert_eq!(pipeline.run("Once upon a").unwrap()[0].text().unwrap(), "Once upon a time");
    let options =
        TextGenerationOptions::default().return_full_text(false).prefix("Well: ".to_owned());
    assert_eq!(pipeline.run_with("Once upon a", &options).unwrap()[0].text().unwrap(), " time");
    assert_eq!(pipeline.stream_text("Once upon a").unwrap().into_text().unwrap(), " time");
    let log = server.log();
    assert!(log.iter().all(|request| request.path == "/v1/completions"));
    assert_eq!(log[0].json(), json!({"model": "frontier-1", "prompt": "Once upon a"}));
    assert_eq!(log[1].json()["prompt"], "Well: Once upon a");
}

#[test]
fn several_answers_and_several_prompts() {
    let server = Server::start(|_, request| {
        let body = request.json();
        let asked = body["messages"][0]["content"].as_str().unwrap().to_owned();
        let n = body["n"].as_u64().unwrap_or(1);
        // Not in order, as services may.
        let choices = (0..n).rev().map(|index| {
            json!({"index": index, "message": {"content": format!("{asked} {index}")}, "finish_reason": "stop"})
        });
        Reply::json(&json!({"choices": choices.collect::<Vec<_>>()}))
    });
    let pipeline = pipeline(&server);
    let generation = GenerationConfig::default().num_return_sequences(2).do_sample(true);
    let options = TextGenerationOptions::from(generation).batch_size(3);
    let prompts: Vec<_> = (0..7).map(|number| vec![Message::user(format!("{number}?"))]).collect();
    let found = pipeline.run_batch(prompts, &options).unwrap();
    let texts: Vec<Vec<_>> = found
        .iter()
        .map(|records| records.iter().map(|record| record.text().unwrap().into_owned()).collect())
        .collect();
    let expected: Vec<_> =
        (0..7).map(|number| vec![format!("{number}? 0"), format!("{number}? 1")]).collect();
    assert_eq!(texts, expected);
    for count in [0, 1025, usize::MAX] {
        let many = GenerationConfig::default().num_return_sequences(count);
        let error = pipeline.run_with(&crate::question(), &many.into()).unwrap_err();
        assert!(error.is_caller_error(), "{error}");
    }
    // One prompt that fails is an error in its place.
    let found: Vec<_> =
        pipeline.stream([vec![Message::user("a")], vec![]], &options).unwrap().collect();
    assert!(found[0].is_ok() && found[1].is_err());
}

#[test]
fn a_pipeline_that_is_chosen_at_run_time() {
    let server =
        Server::always(answer(json!({"content": [{"type": "text", "text": "In parts."}]})));
    let source = model(&server);
    let pipeline =
        Pipeline::open(Task::TextGeneration, source.clone(), LoadOptions::default()).unwrap();
    let Value::Object(options) = json!({"max_new_tokens": 5, "return_full_text": false}) else {
        panic!()
    };
    let output = pipeline.call(json!([{"role": "user", "content": "Hi"}]), options).unwrap();
    let expected = json!([{"generated_text": [{"role": "assistant", "content": "In parts."}]}]);
    assert_eq!(output.json, expected);
    // Other tasks need files.
    for task in Task::ALL
        .iter()
        .filter(|task| !matches!(task.name(), "text-generation" | "automatic-speech-recognition"))
        .filter(|task| cfg!(feature = "image") || !task.name().contains("image"))
    {
        let error = Pipeline::open(*task, source.clone(), LoadOptions::default()).unwrap_err();
        assert!(error.to_string().contains("run by a service"), "{task}: {error}");
    }
    assert!(pipeline.call("Hi", Map::from_iter([("top_k".to_owned(), json!(3))])).is_err());
}

#[test]
fn what_only_a_model_here_has() {
    let server = Server::always(answer(json!({"content": ""})));
    let pipeline = pipeline(&server);
    for error in
        [pipeline.model().map(drop).unwrap_err(), pipeline.tokenizer().map(drop).unwrap_err()]
    {
        assert!(error.to_string().contains("frontier-1"), "{error}");
    }
    let printed = format!("{pipeline:?} {:?}", pipeline.chat_session());
    assert!(!printed.contains("secret"), "{printed}");
    let quantized =
        Pipeline::text_generation(model(&server)).quantize(sconce::QuantLevel::Q8_0).build();
    assert!(matches!(quantized, Err(Error::InvalidOption { .. })));
}

#[test]
fn a_service_without_streams_is_read_whole() {
    let server = Server::always(answer(json!({"content": "All at once."})));
    let mut stream = pipeline(&server).stream_text(&question()).unwrap();
    assert_eq!(stream.next().unwrap().unwrap(), "All at once.");
    assert!(stream.next().is_none());
    assert_eq!(stream.finish_reason(), Some(FinishReason::EndOfSequence));
    assert_eq!(stream.timings().generated_tokens, 4);
}
