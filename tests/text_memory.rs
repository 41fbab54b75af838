//! What is in memory while long texts are read in windows, counted by the allocator.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end them by panicking")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sconce::pipeline::{Pipeline, Task};
use sconce::{LoadOptions, ModelSource};
use serde_json::{Map, Value, json};

#[path = "support/counted.rs"]
mod counted;

use counted::most_of;

/// Tests count one after the other.
static ALONE: Mutex<()> = Mutex::new(());

/// A pipeline of `tests/goldens/text_pipelines`.
fn pipeline(name: &str) -> (tempfile::TempDir, Pipeline) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let golden = goldens.join("text_pipelines").join(name);
    let read: Value =
        serde_json::from_str(&fs::read_to_string(golden.join("golden.json")).unwrap()).unwrap();
    let tokenizer = goldens.join("encoders").join(read["tokenizer"].as_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for (from, file) in [
        (&golden, "config.json"),
        (&golden, "model.safetensors"),
        (&tokenizer, "tokenizer.json"),
        (&tokenizer, "tokenizer_config.json"),
    ] {
        fs::copy(from.join(file), folder.path().join(file)).unwrap();
    }
    let task: Task = read["task"].as_str().unwrap().parse().unwrap();
    let source = ModelSource::directory(folder.path());
    (folder, Pipeline::open(task, source, LoadOptions::default()).unwrap())
}

/// A text of so many bytes.
fn text(bytes: usize) -> String {
    "The light of the candle is good. ".chars().cycle().take(bytes).collect()
}

/// The most bytes that a call takes.
fn most(pipeline: &Pipeline, input: &Value, options: Value) -> usize {
    let options: Map<String, Value> = serde_json::from_value(options).unwrap();
    let (output, most) = most_of(|| pipeline.call(input, options));
    output.unwrap();
    most
}

/// Windows that share most of their tokens are six times as many tokens as the text has. They take no more memory
/// than those that share none, but for what is found in them.
#[test]
fn windows_are_in_memory_some_at_a_time() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_folder, entities) = pipeline("tokens-wordpiece");
    let (_folder, answers) = pipeline("questions-wordpiece");
    let text = text(60_000);
    let question = json!({"question": "What?", "context": text});
    // No label is of interest: only the windows count.
    let labels = ["O", "PER", "LOC", "MISC"];
    for (name, pipeline, input, [apart, close]) in [
        (
            "entities",
            &entities,
            json!(text),
            [0, 24].map(|stride| json!({"stride": stride, "aggregation_strategy": "simple", "ignore_labels": labels})),
        ),
        (
            "answers",
            &answers,
            question,
            [0, 20].map(|stride| json!({"max_seq_len": 32, "doc_stride": stride})),
        ),
    ] {
        let warm = if name == "answers" { json!({"question": "What?", "context": "a candle"}) } else { json!("a candle") };
        most(pipeline, &warm, apart.clone());
        let [apart, close] = [apart, close].map(|options| most(pipeline, &input, options));
        println!("{name}: {apart} bytes, {close} bytes");
        assert!(close < apart + apart / 4, "{name}: {apart} bytes, {close} bytes");
    }
}
