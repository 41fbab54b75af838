//! SmolLM2-135M-Instruct, real weights: what transformers generates greedily in f32, token for
//! token, through both levels of the API, from GGUF and from a safetensors folder made of the same
//! weights. `tests/goldens/make_smollm2.py` wrote the expected values; of files that were saved here,
//! which llama.cpp generated from, `tests/goldens/make_llama_cpp.py`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::slice;
use std::sync::{Arc, LazyLock};
use std::thread;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use sconce::generation::{DraftModel, Drafting, GenerationConfig, generate, generate_batch};
use sconce::models::{AutoModel, CausalLm, save};
use sconce::pipeline::{Pipeline, Task, TextGenerationOptions};
use sconce::source::ModelSource;
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::chat::Message;
use sconce::{LoadOptions, Precision, QuantLevel};

#[path = "support/dequantize.rs"]
mod dequantize;
#[path = "support/packages.rs"]
mod packages;

/// `smollm2.json`.
#[derive(Deserialize)]
struct Reference {
    max_new_tokens: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The conversation; `text` is then what the chat template makes of it.
    messages: Option<Value>,
    text: String,
    ids: Vec<u32>,
    /// The end-of-sequence id included, where it came.
    generated: Vec<u32>,
    /// The new text in the pipeline's output.
    answer: String,
}

/// `beams/*_smollm2.json`.
#[derive(Deserialize)]
struct Beams {
    cases: Vec<BeamsCase>,
}

#[derive(Deserialize)]
struct BeamsCase {
    prompts: Vec<Vec<u32>>,
    options: Value,
    answers: Vec<Vec<BeamsAnswer>>,
}

#[derive(Deserialize)]
struct BeamsAnswer {
    score: f32,
    ids: Vec<u32>,
}

/// `llama_cpp.json`.
#[derive(Deserialize)]
struct LlamaCpp {
    cases: Vec<LlamaCppCase>,
}

#[derive(Deserialize)]
struct LlamaCppCase {
    level: String,
    text: String,
    ids: Vec<u32>,
    generated: Vec<u32>,
}

/// `<|im_end|>`.
const END: u32 = 2;
/// Prompts up to here go through the pipeline together.
const SHORT: usize = 100;

static REFERENCE: LazyLock<Reference> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/smollm2.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
});

static GGUF: LazyLock<ModelSource> =
    LazyLock::new(|| ModelSource::gguf(packages::smollm2_gguf().unwrap()));

static FOLDER: LazyLock<ModelSource> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smollm2-f32");
    dequantize::write_folder(&packages::smollm2_gguf().unwrap(), &folder).unwrap();
    ModelSource::directory(folder)
});

#[test]
fn the_reference_is_what_was_asked_for() {
    let cases = &REFERENCE.cases;
    assert_eq!(cases.len(), 20);
    assert!(cases.iter().any(|case| case.ids.len() > 1500));
    assert!(cases.iter().any(|case| case.generated.last() == Some(&END)));
}

#[test]
fn tokenizers_agree_with_python() {
    for source in [&*GGUF, &*FOLDER] {
        let tokenizer = Tokenizer::open(source).unwrap();
        for case in &REFERENCE.cases {
            let encoded = tokenizer.encode(&case.text).unwrap();
            assert_eq!(encoded.ids, case.ids, "{} of {source:?}", case.name);
            assert_eq!(tokenizer.decode(&case.ids, false).unwrap(), case.text, "{}", case.name);
        }
    }
}

#[test]
fn gguf_at_the_low_level() {
    check_low_level(&dense_gguf());
}

#[test]
fn gguf_through_the_pipeline() {
    check_pipeline(&GGUF);
}

#[test]
fn folder_at_the_low_level() {
    check_low_level(&AutoModel::open::<dyn CausalLm>(&*FOLDER, &dense()).unwrap());
}

#[test]
fn folder_through_the_pipeline() {
    check_pipeline(&FOLDER);
}

#[test]
fn beams_groups_and_constraints() {
    let model = dense_gguf();
    for (file, count) in [("search", 6), ("old", 6)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = path.join(format!("tests/goldens/beams/{file}_smollm2.json"));
        let beams: Beams = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(beams.cases.len(), count);
        for case in beams.cases {
            let config = GenerationConfig::from_json(&case.options).unwrap();
            let found = generate_batch(&model, None, &case.prompts, &config).unwrap();
            let expected: Vec<_> = case.answers.iter().flatten().collect();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.ids(), expected.ids, "{}", case.options);
                let score = found.score.unwrap();
                assert!((score - expected.score).abs() < 1e-4, "{}: {score}", case.options);
            }
        }
    }
}

#[test]
fn eight_threads_chat_at_once() {
    let cases: Vec<_> =
        REFERENCE.cases.iter().filter(|case| case.ids.len() < SHORT).take(8).collect();
    let model = dense_gguf();
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            cases.iter().map(|case| scope.spawn(|| low_level(&model, case, 8))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer, first(8, &case.generated), "{}", case.name);
    }
}

/// Ten turns of a chat: each reads its own tokens and those the template puts around them, and no
/// earlier ones; the last says what a conversation that begins there does.
#[test]
fn the_tenth_turn_of_a_chat_reads_only_its_own_tokens() {
    let pipeline = Pipeline::text_generation(&*GGUF).build().unwrap();
    let options: TextGenerationOptions =
        GenerationConfig::default().max_new_tokens(12).do_sample(false).into();
    let mut chat = pipeline.chat_session();
    let mut before = 0;
    for turn in 1..=10 {
        let question = [Message::user(format!("And what is {turn} times {turn}?"))];
        let fresh =
            pipeline.stream_text_with([chat.messages(), &question].concat(), &options).unwrap();
        let mut reply = chat.send_with(question, &options).unwrap();
        assert!(reply.by_ref().all(|piece| piece.is_ok()));
        let tokens = reply.token_stream().unwrap().tokens();
        let (generated, timings) =
            (reply.token_stream().unwrap().generated().len(), reply.timings());
        // All that the turn before read, and of its answer what has the same tokens as text.
        let prompt = tokens.len() - generated;
        assert_eq!(timings.cached_tokens + timings.prompt_tokens, prompt, "turn {turn}");
        assert!(timings.cached_tokens >= before, "turn {turn}: {timings}");
        assert!(timings.prompt_tokens < if turn == 1 { 60 } else { 40 }, "turn {turn}: {timings}");
        before = prompt;
        if turn == 10 {
            let fresh: Vec<_> =
                fresh.into_token_stream().unwrap().map(|id| id.unwrap().id).collect();
            assert_eq!(fresh, reply.token_stream().unwrap().generated());
        }
    }
}

/// The folder quantized, saved as GGUF and loaded again.
#[test]
fn llama_cpp_generates_the_same_from_what_was_saved() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/llama_cpp.json");
    let files = FOLDER.open().unwrap();
    let saved = [QuantLevel::Q8_0, QuantLevel::Q4_0].map(|level| {
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("smollm2-{level}.gguf"));
        let options = LoadOptions::default().dtype(Precision::BF16).quantize(level);
        let model = AutoModel::from_files::<dyn CausalLm>(&files, &options).unwrap();
        let _ = fs::remove_file(&to);
        save(&files, model.inventory(), &to).unwrap();
        (level, ModelSource::gguf(to))
    });
    let expected: LlamaCpp = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    for (level, source) in saved {
        let tokenizer = Tokenizer::open(&source).unwrap();
        let model = AutoModel::open::<dyn CausalLm>(&source, &LoadOptions::default()).unwrap();
        let cases = expected.cases.iter().filter(|case| case.level == level.to_string());
        assert!(cases.clone().count() >= 3, "{level}");
        for LlamaCppCase { text, ids, generated, .. } in cases {
            assert_eq!(&tokenizer.encode(text).unwrap().ids, ids, "{text}");
            assert_eq!(&greedy(&model, ids, generated.len()), generated, "{level}: {text}");
        }
    }
}

/// Prompt lookup, in a batch too, and a draft model that reads and writes text: the same tokens.
#[test]
fn drafts_change_nothing() {
    let model = dense_gguf();
    let tokenizer = Tokenizer::open(&*GGUF).unwrap();
    let config = GenerationConfig::default()
        .max_new_tokens(REFERENCE.max_new_tokens)
        .eos_token_id(vec![END])
        .prompt_lookup_num_tokens(8);
    let cases: Vec<_> = REFERENCE.cases.iter().filter(|case| case.ids.len() < 200).collect();
    let prompts: Vec<_> = cases.iter().map(|case| case.ids.clone()).collect();
    let answers = generate_batch(&model, None, &prompts, &config).unwrap();
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer.ids(), case.generated, "{}", case.name);
    }
    let of_assistant = GenerationConfig::default().num_assistant_tokens(6);
    let drafter = DraftModel::with_tokenizers(&model, &tokenizer, &tokenizer, &of_assistant);
    let drafting = Drafting::from(drafter.unwrap()).whole();
    let (mut accepted, mut drafted) = (0, 0);
    for case in &cases[..4] {
        let stream = generate(&model, &case.ids, &config).unwrap();
        let mut stream = stream.with_drafter(drafting.clone());
        let ids: Vec<_> = stream.by_ref().map(|token| token.unwrap().id).collect();
        assert_eq!(ids, case.generated, "{}", case.name);
        let timings = stream.timings();
        accepted += timings.accepted_tokens;
        drafted += timings.drafted_tokens;
    }
    // The assistant reads the prompt's text without the special tokens, as in transformers.
    assert!(5 * accepted > drafted, "{accepted} of {drafted}");
}

/// `contrasts.json`, of `tests/goldens/make_contrasts.py`.
#[derive(Deserialize)]
struct Contrast {
    model: String,
    prompt: Vec<u32>,
    options: Value,
    generated: Vec<u32>,
}

#[test]
fn contrastive_search_and_dola_as_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/drafts/contrasts.json");
    let cases: Vec<Contrast> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let model = dense_gguf();
    let cases = cases.iter().filter(|case| case.model == "SmolLM2");
    assert!(cases.clone().count() >= 6);
    for Contrast { prompt, options, generated, .. } in cases {
        let config = GenerationConfig::from_json(options).unwrap().eos_token_id(vec![7]);
        let answers = generate_batch(&model, None, slice::from_ref(prompt), &config).unwrap();
        assert_eq!(&answers[0].ids(), generated, "{options}");
    }
}

fn check_low_level(model: &Arc<dyn CausalLm>) {
    // `model.num_parameters()` in transformers.
    assert_eq!(model.parameters(), 134_515_008);
    let new_tokens = REFERENCE.max_new_tokens;
    for case in &REFERENCE.cases {
        let ids = low_level(model, case, new_tokens);
        assert_eq!(ids, first(new_tokens, &case.generated), "{}", case.name);
    }
}

fn low_level(model: &Arc<dyn CausalLm>, case: &Case, new_tokens: usize) -> Vec<u32> {
    greedy(model, &case.ids, new_tokens)
}

fn greedy(model: &Arc<dyn CausalLm>, ids: &[u32], new_tokens: usize) -> Vec<u32> {
    let config = GenerationConfig::default().max_new_tokens(new_tokens).eos_token_id(vec![END]);
    let tokens = generate(model, ids, &config).unwrap();
    tokens.map(|token| token.unwrap().id).collect()
}

fn first(count: usize, ids: &[u32]) -> &[u32] {
    &ids[..count.min(ids.len())]
}

/// Chats and texts as Python's pipeline takes them, many at once: padding must not show.
fn check_pipeline(source: &ModelSource) {
    let pipeline = Pipeline::open(Task::TextGeneration, source, dense()).unwrap();
    let (short, long): (Vec<&Case>, Vec<_>) =
        REFERENCE.cases.iter().partition(|case| case.ids.len() <= SHORT);
    let (chats, texts) = short.into_iter().partition(|case| case.messages.is_some());
    for batch in [chats, texts, long] {
        let inputs =
            batch.iter().map(|case| case.messages.clone().unwrap_or_else(|| json!(case.text)));
        let options = options(&[
            ("max_new_tokens", json!(REFERENCE.max_new_tokens)),
            ("do_sample", json!(false)),
            ("batch_size", json!(batch.len())),
        ]);
        let outputs = pipeline.call(inputs.collect::<Value>(), options).unwrap().json;
        for (case, output) in batch.iter().zip(outputs.as_array().unwrap()) {
            assert_eq!(output, &expected_output(case), "{}", case.name);
        }
    }
}

/// The prompt, and the answer as its continuation or last message.
fn expected_output(case: &Case) -> Value {
    let Some(messages) = &case.messages else {
        return json!([{"generated_text": format!("{}{}", case.text, case.answer)}]);
    };
    let mut messages = messages.as_array().unwrap().clone();
    messages.push(json!({"role": "assistant", "content": case.answer}));
    json!([{"generated_text": messages}])
}

/// Shared by the tests that run at one time.
fn dense_gguf() -> Arc<dyn CausalLm> {
    static MODEL: LazyLock<Arc<dyn CausalLm>> =
        LazyLock::new(|| AutoModel::open::<dyn CausalLm>(&*GGUF, &dense()).unwrap());
    MODEL.clone()
}

fn dense() -> LoadOptions {
    LoadOptions::default().dtype(Precision::F32)
}

fn options(pairs: &[(&str, Value)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}
