//! Conversations as ids, which of them the model said, and sessions that read only what is new.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use sconce::generation::{CancelHandle, FinishReason, GenerationConfig};
use sconce::pipeline::{LongGeneration, TextGenerationOptions, TextGenerationPipeline};
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::{ChatOptions, Message};
use sconce::{LoadOptions, ModelSource, Pipeline, Precision};

#[path = "support/packages.rs"]
mod packages;

/// From the first token that holds a marked character to the last.
#[test]
fn the_assistants_tokens_are_masked() {
    let tokenizer =
        Tokenizer::open(ModelSource::directory(packages::lenml_tokenizer("qwen2_5").unwrap()))
            .unwrap();
    let template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}\
                    {% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}\
                    {{ m.content }}<|im_end|>{% endif %}\n{% endfor %}";
    let chat = [Message::user("Hi there"), Message::assistant("Hello, friend!")];
    let encoded = tokenizer.encode_chat(&chat, &ChatOptions::default().template(template)).unwrap();
    let said: Vec<_> = encoded
        .encoding
        .ids
        .iter()
        .zip(&encoded.assistant_mask)
        .filter_map(|(&id, &mask)| (mask == 1).then_some(id))
        .collect();
    assert_eq!(tokenizer.decode(&said, false).unwrap(), "Hello, friend!<|im_end|>");
}

/// Every kind of cache there is: full attention, windows, frequencies that depend on the length, keys
/// that are computed again. Templates that add to what was said, and such that change it.
#[test]
fn a_session_says_what_a_fresh_conversation_does() {
    let templates = [
        "{% for m in messages %}{{ m.content }}|{% endfor %}",
        "{{ messages|length }}{% for m in messages %}{{ m.content }}|{% endfor %}",
        "{% for m in messages %}{{ m.content if loop.last else m.content[:2] }}|{% endfor %}",
    ];
    for name in [
        "llama-gqa-tiny",
        "mistral-tiny",
        "gemma3-tiny",
        "llama-rope-dynamic-tiny",
        "llama-rope-longrope-tiny",
        "phi3-longrope-tiny",
        "falcon-rw-tiny",
    ] {
        for template in templates {
            let pipeline = chatty(name, template);
            let mut chat = pipeline.chat_session();
            for question in ["Hi", "You?", "é", "no", "Why so?", "…", "x"] {
                let said = [chat.messages(), &[Message::user(question)]].concat();
                let Ok(mut fresh) = pipeline.stream_text_with(&said, &options()) else {
                    // Beyond the context.
                    assert!(chat.send_with([Message::user(question)], &options()).is_err());
                    assert!(chat.messages().len() > 6, "{name}: {template}");
                    break;
                };
                let text: String = fresh.by_ref().map(Result::unwrap).collect();
                let mut reply = chat.send_with([Message::user(question)], &options()).unwrap();
                assert_eq!(reply.by_ref().map(Result::unwrap).collect::<String>(), text);
                let tokens = fresh.token_stream().unwrap().tokens();
                assert_eq!(reply.token_stream().unwrap().tokens(), tokens, "{name}: {template}");
                drop(reply);
                assert_eq!(chat.messages(), [said, vec![Message::assistant(text)]].concat());
            }
        }
    }
}

#[test]
fn a_turn_reads_what_is_new() {
    let pipeline = chatty("llama-gqa-tiny", "{% for m in messages %}{{ m.content }}|{% endfor %}");
    let mut chat = pipeline.chat_session();
    let mut before = Vec::new();
    for question in ["one", "two", "three", "four"] {
        let mut reply = chat.send_with([Message::user(question)], &options()).unwrap();
        reply.by_ref().for_each(|piece| drop(piece.unwrap()));
        let tokens = reply.token_stream().unwrap().tokens().to_vec();
        let generated = reply.token_stream().unwrap().generated().len();
        let timings = reply.timings();
        let prompt = &tokens[..tokens.len() - generated];
        // The last token of an answer was never read.
        let known = before.len().saturating_sub(1);
        let common = before.iter().zip(prompt).take(known).take_while(|(a, b)| a == b).count();
        assert_eq!((timings.cached_tokens, timings.prompt_tokens), (common, prompt.len() - common));
        assert!(common >= before.len().saturating_sub(5), "{common} of {}", before.len());
        before = tokens;
    }
    // What was changed is read again, from there on.
    let mut messages = chat.messages().to_vec();
    messages[4] = Message::user("thrice");
    messages.truncate(5);
    let last = messages.pop().unwrap();
    chat.set_messages(messages);
    let reply = chat.send_with([last], &options()).unwrap();
    assert!(reply.timings().cached_tokens > before.len() / 3);
    assert!(reply.timings().prompt_tokens < 9, "{}", reply.timings());
}

/// Nothing of a turn that gave nothing stays; what an answer that was stopped said so far does.
#[test]
fn turns_that_come_to_nothing_are_taken_back() {
    let pipeline = chatty("llama-gqa-tiny", "{% for m in messages %}{{ m.content }}|{% endfor %}");
    let mut chat = pipeline.chat_session();
    chat.set_messages([Message::system("S")]);
    let error = chat.send_with([Message::user("long ".repeat(100))], &options()).unwrap_err();
    assert!(error.to_string().contains("context"), "{error}");
    assert_eq!(chat.messages(), [Message::system("S")]);

    let cancel = CancelHandle::default();
    cancel.cancel();
    let mut cancelled = options();
    cancelled.cancel = Some(cancel);
    let mut reply = chat.send_with([Message::user("Hi")], &cancelled).unwrap();
    assert!(reply.next().is_none());
    assert_eq!(reply.finish_reason(), Some(FinishReason::Cancelled));
    drop(reply);
    assert_eq!(chat.messages(), [Message::system("S")]);
    // As in whole runs: nothing is generated.
    let records = pipeline.run_with("Hi", &cancelled).unwrap();
    assert_eq!(records[0].text().as_deref(), Some("Hi"));

    let mut reply = chat.send_with([Message::user("Hi")], &options()).unwrap();
    let piece = reply.next().unwrap().unwrap();
    drop(reply);
    assert_eq!(chat.messages()[2], Message::assistant(piece));

    // A message that is begun is continued.
    chat.set_messages([Message::user("Hi")]);
    let reply = chat.send_with([Message::assistant("We")], &options()).unwrap();
    let rest = reply.into_text().unwrap();
    assert_eq!(chat.messages()[1], Message::assistant(format!("We{rest}")));
}

#[test]
fn what_is_no_chat_or_too_long_says_what_to_do() {
    let pipeline = chatty("llama-gqa-tiny", "{% for m in messages %}{{ m.content }}|{% endfor %}");
    let nobody = Message::from_json(json!({"role": "user", "text": "Hi"})).unwrap();
    let error = pipeline.run(&[Message::user("Hi"), nobody]).unwrap_err().to_string();
    for part in ["message 1", "\"user\"", "no `content`", "role, text"] {
        assert!(error.contains(part), "{error}");
    }
    // As the reference has it, there may be nothing in it.
    let silent = Message::from_json(json!({"role": "user", "content": null})).unwrap();
    pipeline.run_with(&[silent], &options()).unwrap();

    let long = "long ".repeat(100);
    let error = pipeline.run(&long).unwrap_err().to_string();
    assert!(
        error.contains("`truncation`") && error.contains("`handle_long_generation`"),
        "{error}"
    );
    // And so it is done.
    let mut cut = options();
    cut.truncation = Some(true);
    let mut hole = options();
    hole.handle_long_generation = Some(LongGeneration::Hole);
    for options in [cut, hole] {
        let text = pipeline.run_with(&long, &options).unwrap();
        assert!(text[0].text().unwrap().starts_with(&long));
    }
}

/// A golden's model with another template.
fn chatty(name: &str, template: &str) -> TextGenerationPipeline {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(golden.join(file), folder.path().join(file)).unwrap();
    }
    let config = fs::read(golden.join("tokenizer_config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    config["chat_template"] = json!(template);
    fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    let options = LoadOptions::default().dtype(Precision::F32);
    Pipeline::text_generation(folder.path()).options(options).build().unwrap()
}

fn options() -> TextGenerationOptions {
    GenerationConfig::default().max_new_tokens(5).do_sample(false).into()
}

/// A template that prints more than the model could read is stopped while it prints.
#[test]
fn templates_print_no_more_than_the_context_holds() {
    let template = "{% for i in range(90000) %}{{ 'x' * 600 }}{% endfor %}";
    let error = chatty("llama-tiny", template).run(&[Message::user("Hi")]).unwrap_err().to_string();
    assert!(error.contains("more than 1048576 bytes") && error.contains("config.json"), "{error}");
}
