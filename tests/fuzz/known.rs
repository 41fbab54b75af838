//! What once went wrong, or may: one case of each kind, and what must be said of it.

use serde_json::{Value, json};

use sconce::pipeline::Task;

use crate::cases::{Case, Odd};
use crate::random::Random;
use crate::subjects::{self, Subject};

/// What a run must come to.
pub enum Expected {
    Good,
    /// An error that holds these words and is the caller's.
    Caller(&'static [&'static str]),
    /// An error that holds these words and is not.
    File(&'static [&'static str]),
}

type Known = (fn() -> Case, Expected);

/// How many there are.
pub const RUNS: u64 = KNOWN.len() as u64;

pub fn case(run: u64) -> (Case, &'static Expected) {
    let (make, expected) = &KNOWN[run as usize % KNOWN.len()];
    (make(), expected)
}

use Expected::{Caller, File, Good};

const KNOWN: &[Known] = &[
    // --- files that are none ---
    (|| odd("config.json", Odd::Pipe), File(&["config.json", "a pipe", "regular file"])),
    (|| odd("config.json", Odd::Folder), File(&["config.json", "a folder", "regular file"])),
    (|| odd("model.safetensors", Odd::Device), File(&["model.safetensors", "device"])),
    (|| odd("model.safetensors.index.json", Odd::Pipe), File(&["index.json", "a pipe"])),
    (|| odd("pytorch_model.bin", Odd::Pipe), File(&["pytorch_model.bin", "a pipe"])),
    (|| odd("tokenizer.json", Odd::Device), File(&["tokenizer.json", "device"])),
    (|| odd("tokenizer.json", Odd::Sparse), File(&["tokenizer.json", "1099511627776 bytes"])),
    (|| odd("tokenizer_config.json", Odd::Pipe), File(&["tokenizer_config.json", "a pipe"])),
    (|| odd("special_tokens_map.json", Odd::Pipe), File(&["special_tokens_map.json", "a pipe"])),
    (|| odd("generation_config.json", Odd::Pipe), File(&["generation_config.json", "a pipe"])),
    (|| odd("chat_template.jinja", Odd::Device), File(&["chat_template.jinja", "device"])),
    (|| odd("additional_chat_templates/a.jinja", Odd::Pipe), File(&["a.jinja", "a pipe"])),
    (
        || Case { gguf: Some("model.gguf".to_owned()), ..odd("model.gguf", Odd::Pipe) },
        File(&["model.gguf", "a pipe"]),
    ),
    (|| odd_module("modules.json"), File(&["modules.json", "a pipe"])),
    (|| odd_module("sentence_bert_config.json"), File(&["sentence_bert_config.json", "a pipe"])),
    (|| odd_module("1_Pooling/config.json"), File(&["1_Pooling/config.json", "a pipe"])),
    // --- sizes that are merely claimed ---
    (
        || asked(json!({"do_sample": true, "num_return_sequences": 5_000_000})),
        Caller(&["`num_return_sequences`", "1024 is the limit"]),
    ),
    (
        || stored(json!({"do_sample": true, "num_return_sequences": 5_000_000})),
        File(&["generation_config.json", "`num_return_sequences`", "1024 is the limit"]),
    ),
    (|| asked(json!({"do_sample": true, "num_return_sequences": 600, "max_new_tokens": 1})), Good),
    (|| asked(json!({"max_new_tokens": u64::MAX >> 1, "max_time": 0.0})), Good),
    (
        || {
            let mut case = asked(json!({"batch_size": 1_000_000_000, "max_new_tokens": 1}));
            case.input = json!(vec!["Hello there!"; 2000]);
            case
        },
        Good,
    ),
    (
        || {
            let mut case: Case = sentences().into();
            case.options = subjects::object(json!({"batch_size": 1_000_000_000}));
            case.input = json!(vec!["a candle burns ".repeat(20); 500]);
            case
        },
        Good,
    ),
    (|| with_tokenizer(|json| json["model"]["vocab"]["zzz"] = json!(1_000_000_000)), Good),
    // --- work that grows out of a long text ---
    (long_pair, Good),
    (
        || {
            let mut case: Case = text_model("tokens-wordpiece").into();
            case.input = json!("Angela Merkel lives in Berlin. ".repeat(60_000));
            case.options = subjects::object(json!({"stride": 59}));
            case
        },
        Caller(&["`stride`", "4194304 are the limit"]),
    ),
    // --- work that grows out of a small file ---
    (
        // The crate's tree of pieces would be taken down on the stack.
        || {
            let vocab = json!([["<unk>", 0.0], ["x".repeat(1 << 20), -1.0]]);
            with_tokenizer(|json| {
                json["model"] = json!({"type": "Unigram", "vocab": vocab, "unk_id": 0})
            })
        },
        File(&["tokenizer.json", "1024 are the limit"]),
    ),
    (
        || with_part("normalizer", "normalizers", json!(vec![replace("e", "ee"); 40])),
        File(&["would become", "16 times"]),
    ),
    (
        || with_part("normalizer", "normalizers", json!([replace("e", "e".repeat(1 << 20))])),
        File(&["would become"]),
    ),
    (
        || {
            with_part(
                "normalizer",
                "normalizers",
                json!([{"type": "Prepend", "prepend": "x".repeat(1 << 20)}]),
            )
        },
        File(&["would become"]),
    ),
    (
        || with_part("normalizer", "normalizers", json!(vec![json!({"type": "ByteLevel"}); 40])),
        File(&["tokenizer.json", "4 is the limit"]),
    ),
    (
        || with_part("decoder", "decoders", json!(vec![replace("e", "e".repeat(24)); 40])),
        File(&["would become"]),
    ),
    (
        || with_part("pre_tokenizer", "pretokenizers", json!(vec![byte_level(); 40])),
        File(&["tokenizer.json", "4 is the limit"]),
    ),
    (
        || {
            let text = json!({"Sequence": {"id": "A", "type_id": 0}});
            with_tokenizer(|json| {
                json["post_processor"] = json!({
                    "type": "TemplateProcessing", "single": vec![text.clone(); 1000],
                    "pair": [text], "special_tokens": {},
                });
            })
        },
        File(&["tokenizer.json", "64 is the limit"]),
    ),
    (
        || {
            let text = json!({"Sequence": {"id": "A", "type_id": 0}});
            let template = json!({
                "type": "TemplateProcessing", "single": vec![text.clone(); 3], "pair": [text],
                "special_tokens": {},
            });
            with_part("post_processor", "processors", json!([template, template]))
        },
        File(&["tokenizer.json", "1 is the limit"]),
    ),
    (
        || {
            let mut case = asked(json!({}));
            case.input = json!("a ".repeat(9 << 20));
            case
        },
        Caller(&["16777216 are the limit"]),
    ),
    // --- whose fault it is ---
    (
        || with_tokenizer(|json| json["model"]["vocab"]["H"] = json!(87_000)),
        File(&["87000", "belong together"]),
    ),
    (|| stored(json!({"typical_p": -1})), FAULT),
    (|| stored(json!({"top_p": 7.5})), FAULT),
    (|| stored(json!({"num_beams": 4})), Good),
    (|| stored(json!({"num_beams": 4, "num_beam_groups": 3})), FAULT),
    (|| stored(json!({"repetition_penalty": 0})), FAULT),
    (|| stored(json!({"bad_words_ids": [[4_000_000]]})), FAULT),
    (|| stored(json!({"max_new_tokens": "many"})), FAULT),
    (|| stored(json!({"stop_strings": [""]})), FAULT),
    (
        || {
            let mut case = stored(json!({"top_p": 7.5}));
            case.options.insert("top_p".to_owned(), json!(8.5));
            case
        },
        Caller(&["`top_p`", "8.5"]),
    ),
    (
        || {
            let mut case = stored(json!({"top_p": 7.5}));
            case.options.insert("top_p".to_owned(), json!(0.5));
            case
        },
        Good,
    ),
    (
        || {
            let mut subject = sharded();
            let name = "model.safetensors.index.json";
            let mut index = subject.json(name);
            let shards = index["weight_map"].as_object_mut().expect("shards");
            shards.values_mut().for_each(|shard| *shard = json!("a\\..\\b"));
            subject.set_json(name, &index);
            subject.into()
        },
        File(&["index.json", "not the file name of a shard"]),
    ),
    (
        || {
            let mut subject = sentences();
            let kind = "sentence_transformers.models.Pooling";
            subject.set_json("modules.json", &json!([{"idx": 0, "path": "../../x", "type": kind}]));
            subject.into()
        },
        File(&["modules.json", "../../x"]),
    ),
    // --- what is printed ---
    (
        || with_tokenizer(|json| json["model"]["type"] = json!("\u{1b}[2J".repeat(400_000))),
        File(&["tokenizer.json", "left out"]),
    ),
    (|| stored(json!({"eos_token_id": "x".repeat(1 << 20)})), File(&["generation_config.json"])),
    (
        // A trie of one unit, whose link points far beyond it: the crate panics.
        || {
            let table = json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAP///38AAA=="});
            with_tokenizer(|json| json["normalizer"] = table)
        },
        File(&["tokenizer"]),
    ),
];

/// A bad value in generation_config.json is nobody else's.
const FAULT: Expected = File(&["generation_config.json"]);

/// A decoder whose file of that name is something else.
fn odd(name: &str, odd: Odd) -> Case {
    let mut subject = match name {
        "model.safetensors.index.json" => sharded(),
        "pytorch_model.bin" => subjects::decoder(&mut Random::of_run(0, "known", 0), name),
        _ => decoder(),
    };
    subject.files.remove(name);
    subject.input = json!([{"role": "user", "content": "Hello!"}]);
    Case { odd: vec![(name.to_owned(), odd)], ..subject.into() }
}

fn odd_module(name: &str) -> Case {
    let mut subject = sentences();
    subject.files.remove(name);
    Case { odd: vec![(name.to_owned(), Odd::Pipe)], ..subject.into() }
}

/// A decoder of which that is asked.
fn asked(options: Value) -> Case {
    let mut case: Case = decoder().into();
    case.options.extend(subjects::object(options));
    case
}

/// A decoder whose generation_config.json says so.
fn stored(fields: Value) -> Case {
    let mut subject = decoder();
    subject.set_json("generation_config.json", &fields);
    subject.options.remove("do_sample");
    subject.into()
}

/// A model whose tokenizer.json is changed.
fn with_tokenizer(change: impl FnOnce(&mut Value)) -> Case {
    let mut subject = decoder();
    let mut json = subject.json("tokenizer.json");
    change(&mut json);
    subject.set_json("tokenizer.json", &json);
    subject.into()
}

fn with_part(part: &str, list: &str, parts: Value) -> Case {
    with_tokenizer(|json| json[part] = json!({"type": "Sequence", list: parts}))
}

fn replace(pattern: &str, content: impl Into<String>) -> Value {
    json!({"type": "Replace", "pattern": {"String": pattern}, "content": content.into()})
}

fn byte_level() -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true})
}

fn decoder() -> Subject {
    let mut subject = subjects::folder("llama-gqa-tiny");
    subject.task = Some(Task::TextGeneration);
    subject.input = json!("Hello there, how are you?");
    subject.options = subjects::object(json!({"max_new_tokens": 3, "do_sample": false}));
    subject
}

/// Two texts of a quarter of a million bytes, cut.
fn long_pair() -> Case {
    let mut case: Case = text_model("classify-wordpiece").into();
    let text = "Angela Merkel lives in Berlin. ".repeat(8_000);
    case.input = json!({"text": text, "text_pair": text});
    case.options = subjects::object(json!({"truncation": true}));
    case
}

fn text_model(name: &str) -> Subject {
    let mut subject = subjects::folder(&format!("text_pipelines/{name}"));
    let golden = subject.json("golden.json");
    let tokenizer = golden["tokenizer"].as_str().expect("a name");
    subject.files.extend(subjects::folder(&format!("encoders/{tokenizer}")).tokenizer());
    subject.task = golden["task"].as_str().expect("a task").parse().ok();
    subject
}

fn sharded() -> Subject {
    let mut subject = subjects::folder("llama-sharded-tiny");
    subject.task = Some(Task::TextGeneration);
    subject.input = json!("Hello");
    subject
}

fn sentences() -> Subject {
    let mut subject = subjects::folder("encoders/bert-tiny");
    subject.files.extend(subjects::folder("embeddings/dense").files);
    subject.task = Some(Task::SentenceSimilarity);
    subject.input = json!(["a candle burns", "fire"]);
    subject
}
