//! Conversations as ids, and which of them the model said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sconce::ModelSource;
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::{ChatOptions, Message};

#[path = "support/packages.rs"]
mod packages;

/// From the first token that holds a marked character to the last.
#[test]
fn the_assistants_tokens_are_masked() {
    let tokenizer =
        Tokenizer::load(ModelSource::directory(packages::lenml_tokenizer("qwen2_5").unwrap()))
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
