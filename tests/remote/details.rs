//! Log-probabilities, JSON that follows a schema, fields without a place, and vectors of texts.

use sconce::Error;
use sconce::generation::GenerationConfig;
use sconce::pipeline::{Prompt, TextGenerationOptions};
use sconce::remote::{EmbeddingOptions, Question, Service};
use serde_json::{Value, json};

use crate::fake_service::{Reply, Server, finish, said};
use crate::{failure, model, pipeline, question};

fn token(text: &str, logprob: f64) -> Value {
    json!({"token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": [
        {"token": text, "logprob": logprob, "bytes": null}, {"token": "~", "logprob": -9.5},
    ]})
}

#[test]
fn log_probabilities_come_back() {
    let choice = json!({
        "index": 0, "message": {"role": "assistant", "content": "It is", "annotations": [{"type": "x"}]},
        "logprobs": {"content": [token("It", -0.25), token(" is", -1.5)], "refusal": null},
        "finish_reason": "stop", "stop_reason": 7,
    });
    let usage = json!({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
                       "completion_tokens_details": {"reasoning_tokens": 1}});
    let server = Server::always(Reply::json(&json!({
        "id": "c", "object": "chat.completion", "created": 1, "choices": [choice], "usage": usage,
        "system_fingerprint": "fp_1", "service_tier": null,
    })));
    let asked = TextGenerationOptions::default()
        .details(true)
        .generation(GenerationConfig::default().top_logprobs(2));
    let found = pipeline(&server).run_with(&question(), &asked).unwrap().remove(0);
    let body = server.log().remove(0).json();
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(2)));
    let served = found.details.unwrap().served.unwrap();
    let tokens: Vec<_> = served.tokens.iter().map(|it| (it.token.as_str(), it.logprob)).collect();
    assert_eq!(tokens, [("It", -0.25), (" is", -1.5)]);
    let first = &served.tokens[0];
    assert_eq!(first.bytes.as_deref(), Some(&b"It"[..]));
    assert_eq!((first.top_logprobs[1].token.as_str(), first.top_logprobs[1].logprob), ("~", -9.5));
    let kept = Value::Object(served.more.clone());
    let expected = json!({
        "annotations": [{"type": "x"}], "stop_reason": 7, "system_fingerprint": "fp_1",
        "usage": {"completion_tokens_details": {"reasoning_tokens": 1}},
    });
    assert_eq!(kept, expected);
    // As data, there and back.
    let again: sconce::generation::ServedDetails =
        serde_json::from_value(serde_json::to_value(&served).unwrap()).unwrap();
    assert_eq!(again, served);
}

#[test]
fn a_stream_has_them_at_its_end() {
    let piece = |text: &str, logprob: f64| {
        let mut piece = said(text);
        piece["choices"][0]["logprobs"] = json!({"content": [token(text, logprob)]});
        piece["choices"][0]["token_ids"] = json!([text.len()]);
        piece["system_fingerprint"] = json!("fp_2");
        piece
    };
    let events = [piece("It", -0.5), piece(" is", -0.75), finish("stop")];
    let server = Server::always(Reply::events(&events).done());
    let service = Service::open(&model(&server)).unwrap();
    let config = GenerationConfig::default().top_logprobs(1);
    let asked = Question::chat(&question()).generation(config);
    let answers = service.stream(&asked).unwrap().into_answers().unwrap();
    let details = &answers.details[0];
    let logprobs: Vec<_> = details.tokens.iter().map(|token| token.logprob).collect();
    assert_eq!(logprobs, [-0.5, -0.75]);
    assert_eq!(
        Value::Object(details.more.clone()),
        json!({"token_ids": [2, 3], "system_fingerprint": "fp_2"})
    );
}

#[test]
fn a_text_has_the_older_form() {
    let logprobs = json!({
        "tokens": ["It", " is"], "token_logprobs": [null, -1.5], "text_offset": [0, 2],
        "top_logprobs": [null, {" was": -3.0, " is": -1.5}],
    });
    let choice =
        json!({"index": 0, "text": "It is", "logprobs": logprobs, "finish_reason": "stop"});
    let server = Server::always(Reply::json(&json!({"choices": [choice]})));
    let asked = TextGenerationOptions::default()
        .details(true)
        .generation(GenerationConfig::default().top_logprobs(2));
    let prompt = Prompt::from("The sky");
    let found = pipeline(&server).run_with(prompt, &asked).unwrap().remove(0);
    let body = server.log().remove(0).json();
    assert_eq!((&body["logprobs"], body.get("top_logprobs")), (&json!(2), None));
    let tokens = found.details.unwrap().served.unwrap().tokens;
    assert_eq!(tokens[0].logprob, f32::NEG_INFINITY);
    let top: Vec<_> = tokens[1].top_logprobs.iter().map(|it| it.token.as_str()).collect();
    assert_eq!(top, [" is", " was"]);
}

#[test]
fn answers_follow_a_schema() {
    let schema = json!({"title": "A colour!", "type": "object", "properties": {"colour": {"type": "string"}}});
    let replies = [r#"{"colour": "blue"}"#, "blue, "];
    let server = Server::start(move |number, _| {
        let message = json!({"content": replies[number]});
        Reply::json(
            &json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}),
        )
    });
    let asked = TextGenerationOptions::default().json_schema(schema.clone());
    let pipeline = pipeline(&server);
    let found = pipeline.run_with(&question(), &asked).unwrap().remove(0);
    assert_eq!(found.json().unwrap(), json!({"colour": "blue"}));
    let expected = json!({"type": "json_schema", "json_schema": {"name": "A_colour_", "schema": schema, "strict": true}});
    assert_eq!(server.log().remove(0).json()["response_format"], expected);
    let found = pipeline.run_with(&question(), &asked).unwrap().remove(0);
    let error = found.json().unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("blue, "), "{error}");
    // As a keyword argument.
    let options = json!({"json_schema": {"type": "object"}});
    let read: TextGenerationOptions = serde_json::from_value(options).unwrap();
    assert_eq!(read.json_schema, Some(json!({"type": "object"})));
}

#[test]
fn texts_become_vectors() {
    let vectors =
        json!([{"index": 1, "embedding": [0.0, 1.0]}, {"index": 0, "embedding": [1.0, 0.5]}]);
    let reply = json!({"object": "list", "data": vectors, "model": "e-1", "usage": {"prompt_tokens": 5, "total_tokens": 5}});
    let server = Server::always(Reply::json(&reply));
    let service = Service::open(&model(&server)).unwrap();
    let texts = ["a".to_owned(), "b".to_owned()];
    let found = service.embed(&texts, &EmbeddingOptions::default().dimensions(2)).unwrap();
    assert_eq!(found.vectors, [[1.0, 0.5], [0.0, 1.0]]);
    assert_eq!((found.model.as_deref(), found.usage.prompt_tokens), (Some("e-1"), 5));
    let request = server.log().remove(0);
    assert_eq!(request.path, "/v1/embeddings");
    let expected =
        json!({"model": "frontier-1", "input": texts, "encoding_format": "float", "dimensions": 2});
    assert_eq!(request.json(), expected);
    for texts in [vec![], vec!["a".to_owned(), String::new()]] {
        assert!(service.embed(&texts, &EmbeddingOptions::default()).unwrap_err().is_caller_error());
    }
    for (reply, words) in [
        (json!({"data": [{"index": 0, "embedding": [1.0]}]}), "for text 1"),
        (json!({"data": [{"index": 5, "embedding": [1.0]}]}), "the number 5"),
        (json!({"data": "no"}), "no vectors"),
        (json!({"error": {"message": "No such model."}}), "No such model."),
    ] {
        let server = Server::always(Reply::json(&reply));
        let service = Service::open(&model(&server)).unwrap();
        let error: Error = service.embed(&texts, &EmbeddingOptions::default()).unwrap_err();
        assert!(failure(&error).reason.contains(words), "{error}");
    }
}
