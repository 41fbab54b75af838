//! What is in memory while long texts are read in windows, and while beams are searched, counted by the allocator.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end them by panicking")]

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Tensor};
use sconce::generation::{CancelHandle, GenerationConfig, generate_seq2seq};
use sconce::models::{AutoModel, Seq2SeqLm};
use sconce::pipeline::{Pipeline, Task};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, LoadOptions, ModelSource};
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

/// A long text takes little more than its tokens as numbers and some windows at a time, also where windows share most
/// of their tokens: six times as many as the text has.
#[test]
fn windows_are_in_memory_some_at_a_time() {
    const TEXT: usize = 40_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_folder, entities) = pipeline("tokens-wordpiece");
    let (_folder, answers) = pipeline("questions-wordpiece");
    let text = text(TEXT);
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
        // All tokens at once, as the tokenizers crate makes them, were 163 bytes for each byte of the text, and so
        // would all windows be that share most of their tokens.
        assert!(apart.max(close) < 90 * TEXT, "{name}: {apart} bytes, {close} bytes for a text of {TEXT}");
    }
}

/// Four beams of sixteen texts over a large vocabulary: their logits are in memory once, and not a second time for
/// the search, and what the cache keeps of short rows is little.
#[test]
fn beams_take_their_logits_once() {
    const VOCAB: usize = 40_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/seq2seq/marian-tiny");
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(golden.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = VOCAB.into();
    config["decoder_vocab_size"] = VOCAB.into();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let weights = golden.join("model.safetensors");
    let mut weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let table = (0..VOCAB * 32).map(|at| ((at * 7919) % 1009) as f32 / 5000.0 - 0.1).collect();
    let table = Tensor::from_vec(table, (VOCAB, 32), &Device::Cpu).unwrap();
    weights.insert("model.shared.weight".to_owned(), table);
    let bias = Tensor::zeros((1, VOCAB), candle_core::DType::F32, &Device::Cpu).unwrap();
    weights.insert("final_logits_bias".to_owned(), bias);
    candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    let options = LoadOptions::default().cache(CachePrecision::F32);
    let model = AutoModel::open::<dyn Seq2SeqLm>(folder.path(), &options).unwrap();

    let sources = vec![vec![5, 6, 7]; 16];
    // With a processor, which changes the scores of each beam.
    let config = GenerationConfig::default()
        .max_new_tokens(6)
        .num_beams(4)
        .do_sample(false)
        .bad_words_ids(vec![vec![9]]);
    let (start, cancel) = ([47], CancelHandle::default());
    let search = || generate_seq2seq(&model, None, &sources, &start, &config, &cancel).unwrap();
    search();
    let (answers, most) = most_of(search);
    assert_eq!(answers.len(), 16);
    let logits = 16 * 4 * VOCAB * 4;
    println!("{most} bytes, of which logits are {logits}");
    assert!(most < logits + logits / 2, "{most} bytes for logits of {logits}");
}

/// A SentencePiece model of unigrams: the field of a piece is its text and its score.
fn model(pieces: &[String]) -> Vec<u8> {
    let mut file = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let mut fields = vec![0x0a, piece.len() as u8];
        fields.extend(piece.as_bytes());
        fields.push(0x15);
        fields.extend((-(number as f32)).to_le_bytes());
        if number == 0 {
            // Unknown.
            fields.extend([0x18, 2]);
        }
        file.extend([0x0a, fields.len() as u8]);
        file.extend(fields);
    }
    file
}

/// Both models and the vocabulary of a Marian tokenizer, with what is in use while they are read.
#[test]
fn vocabularies_are_in_memory_once() {
    const TOKENS: usize = 32_768;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let mut pieces = vec!["<unk>".to_owned()];
    pieces.extend((1..TOKENS).map(|number| format!("▁{number:x}")));
    let spm = model(&pieces);
    write("source.spm", &spm);
    write("target.spm", &spm);
    let tokens = pieces.iter().map(String::as_str).chain(["</s>", "<pad>"]);
    let tokens: Map<String, Value> =
        tokens.enumerate().map(|(id, token)| (token.to_owned(), json!(id))).collect();
    write("vocab.json", json!(tokens).to_string().as_bytes());
    write("config.json", br#"{"model_type": "marian"}"#);
    write("tokenizer_config.json", br#"{"tokenizer_class": "MarianTokenizer"}"#);
    let (tokenizer, most) = most_of(|| Tokenizer::open(folder.path()).unwrap());
    let each = most / (3 * TOKENS);
    println!("{most} bytes, {each} for each token");
    assert_eq!(tokenizer.encode("7fff 3").unwrap().ids, [0x7fff, 3, TOKENS as u32]);
    assert_eq!(tokenizer.decode(&[0x7ffe], true).unwrap(), "7ffe");
    assert!(each < 80, "{each} bytes for each token");
}
