//! Options that a service can follow, and those that it cannot.

use sconce::generation::GenerationConfig;
use sconce::pipeline::{LongGeneration, TextGenerationOptions};
use sconce::tokenizer::chat::{Message, ResponseFormat};
use sconce::{Error, Pipeline};
use serde_json::json;

use crate::fake_service::{Reply, Server, answer, finish, said};
use crate::{model, pipeline, question};

#[test]
fn what_a_service_cannot_follow_is_refused_before_anything_is_sent() {
    let server = Server::always(answer(json!({"content": ""})));
    let pipeline = pipeline(&server);
    let o = TextGenerationOptions::default;
    for (name, options) in [
        ("add_special_tokens", o().add_special_tokens(false)),
        ("documents", o().documents(vec![json!({})])),
        ("handle_long_generation", o().handle_long_generation(LongGeneration::Roll)),
        ("response_format", o().response_format(ResponseFormat::PLAIN)),
        ("return_tensors", o().return_tensors(true)),
        ("skip_special_tokens", o().skip_special_tokens(false)),
        ("stop_sequence", o().stop_sequence("x".to_owned())),
        ("truncation", o().truncation(true)),
        ("tokenizer_encode_kwargs", o().prompt_max_length(3)),
        ("chat_template_kwargs", o().template_variable("enable_thinking", true)),
        ("continue_final_message", o().continue_final_message(true)),
        ("top_k", GenerationConfig::default().top_k(5).into()),
        ("num_beams", GenerationConfig::default().num_beams(2).into()),
        ("num_beams", GenerationConfig::default().num_beams(0).into()),
        ("max_length", GenerationConfig::default().max_length(9).into()),
    ] {
        let chat = question();
        for error in [
            pipeline.run_with(&chat, &options).map(drop).unwrap_err(),
            pipeline.stream_text_with(&chat, &options).map(drop).unwrap_err(),
            pipeline.chat_session().send_with(chat.clone(), &options).map(drop).unwrap_err(),
        ] {
            let Error::InvalidOption { option, .. } = &error else { panic!("{name}: {error:?}") };
            assert_eq!(option, name);
        }
    }
    // What changes nothing is taken.
    let nothing =
        o().truncation(false).skip_special_tokens(true).clean_up_tokenization_spaces(false);
    pipeline.run_with(&question(), &nothing).unwrap();
    let prefilled = [question()[0].clone(), Message::assistant("It")];
    assert!(pipeline.run(&prefilled).unwrap_err().is_caller_error());
    pipeline.run_with(&prefilled, &o().continue_final_message(false)).unwrap();
    assert_eq!(server.log().len(), 2);
}

#[test]
fn a_source_may_say_more() {
    let server = Server::always(Reply::events(&[said("a"), finish("stop")]).done());
    let source = model(&server)
        .max_tokens_field("max_completion_tokens")
        .stream_usage(false)
        .organization("org-1")
        .project("proj-1")
        .extra_field("reasoning_effort", "low")
        .extra_field("temperature", 1);
    let pipeline = Pipeline::text_generation(source).build().unwrap();
    let defaults = GenerationConfig::default().max_new_tokens(9).temperature(0.3);
    let pipeline = pipeline.with_generation_config(defaults.clone());
    assert_eq!(pipeline.generation_config(), &defaults);
    pipeline.stream_text(&question()).unwrap().into_text().unwrap();
    let request = server.log().remove(0);
    assert_eq!(request.header("openai-organization"), Some("org-1"));
    assert_eq!(request.header("openai-project"), Some("proj-1"));
    let mut body = request.json();
    body.as_object_mut().unwrap().remove("messages");
    let expected = json!({
        "model": "frontier-1", "max_completion_tokens": 9, "temperature": 1, "stream": true,
        "reasoning_effort": "low",
    });
    assert_eq!(body, expected);
}
