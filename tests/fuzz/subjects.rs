//! Honest models to damage, out of `tests/goldens`, with a task they do and a good input.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sconce::pipeline::Task;
use serde_json::{Map, Value, json};

use crate::random::Random;

/// A model's files by name, and what is done with them.
pub struct Subject {
    pub files: BTreeMap<String, Vec<u8>>,
    /// `None`: the tokenizer is loaded, and encodes and decodes the input.
    pub task: Option<Task>,
    pub input: Value,
    pub options: Map<String, Value>,
    /// The file that is the input, where that is no JSON.
    pub media: Option<&'static str>,
    /// The folder or file of an adapter.
    pub adapter: Option<&'static str>,
}

impl Subject {
    pub fn of(files: BTreeMap<String, Vec<u8>>, task: Option<Task>, input: Value) -> Self {
        Self { files, task, input, options: Map::new(), media: None, adapter: None }
    }

    /// The name of a file that ends so.
    pub fn file(&self, end: &str) -> Option<String> {
        self.files.keys().find(|name| name.ends_with(end)).cloned()
    }

    /// The files of its tokenizer.
    pub fn tokenizer(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.files.into_iter().filter(|(name, _)| name.starts_with("tokenizer"))
    }

    pub fn json(&self, name: &str) -> Value {
        self.files.get(name).and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default()
    }

    pub fn set_json(&mut self, name: &str, value: &Value) {
        self.files.insert(name.to_owned(), serde_json::to_vec(value).expect("JSON"));
    }
}

/// Any model at all.
pub fn any(random: &mut Random) -> Subject {
    match random.below(4) {
        0 => decoder(random, "model.safetensors"),
        1 => sentences(random),
        _ => text_pipeline(random),
    }
}

/// An audio file.
#[cfg(feature = "audio")]
pub fn sound(random: &mut Random) -> Vec<u8> {
    let mut files = read(&goldens().join("audio"));
    files.retain(|name, _| !name.ends_with(".json"));
    let names: Vec<_> = files.keys().cloned().collect();
    files.remove(random.of(&names)).unwrap_or_default()
}

/// The files of one folder, to be given a task.
pub fn folder(name: &str) -> Subject {
    let mut files = read(&goldens().join(name));
    files.retain(|name, _| !name.starts_with("expected.") && !name.ends_with(".gguf"));
    Subject::of(files, None, Value::Null)
}

/// A decoder that has a file which ends so, and no other weights.
pub fn decoder(random: &mut Random, weights: &str) -> Subject {
    let has = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with("-tiny") && folder.join(weights).is_file()
    };
    let folders: Vec<_> = folders("").into_iter().filter(has).collect();
    let mut files = read(random.of::<PathBuf>(&folders));
    files.retain(|name, _| {
        let is_weights = [".safetensors", ".gguf", ".bin"].iter().any(|end| name.ends_with(end));
        !name.starts_with("expected.")
            && (!is_weights || name == weights || weights.ends_with("index.json"))
    });
    let chat = json!([{"role": "user", "content": "Hello there!"}]);
    let input = if random.once_in(3) { chat } else { json!("Hello there, how are you?") };
    let mut subject = Subject::of(files, Some(Task::TextGeneration), input);
    subject.options = object(json!({"max_new_tokens": 3, "do_sample": false}));
    subject
}

/// A model of one of the text tasks, with a call that succeeds.
pub fn text_pipeline(random: &mut Random) -> Subject {
    let folder = random.of(&folders("text_pipelines")).clone();
    let mut files = read(&folder);
    let golden = files.remove("golden.json").expect("golden.json");
    let golden: Value = serde_json::from_slice(&golden).expect("JSON");
    let tokenizer = goldens().join("encoders").join(golden["tokenizer"].as_str().expect("a name"));
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        files.insert(name.to_owned(), fs::read(tokenizer.join(name)).expect("a tokenizer"));
    }
    for (name, text) in golden["files"].as_object().into_iter().flatten() {
        files.insert(name.clone(), text.as_str().expect("text").into());
    }
    let calls = golden["calls"].as_array().expect("calls");
    let good: Vec<_> = calls.iter().filter(|call| call.get("output").is_some()).collect();
    let call = random.of(&good);
    let task = golden["task"].as_str().expect("a task").parse().expect("a task");
    let mut subject = Subject::of(files, Some(task), call["input"].clone());
    subject.options = call["options"].as_object().cloned().unwrap_or_default();
    subject
}

/// A repository of sentence-transformers.
pub fn sentences(random: &mut Random) -> Subject {
    let folders: Vec<_> = folders("embeddings");
    let over = read(random.of::<PathBuf>(&folders));
    let mut files = match over.contains_key("config.json") {
        true => BTreeMap::new(),
        false => read(&goldens().join("encoders/bert-tiny")),
    };
    files.extend(over);
    files.retain(|name, _| !name.starts_with("expected.") && !name.ends_with(".gguf"));
    let input = json!(["a candle burns", "the train is late", "fire"]);
    Subject::of(files, Some(Task::SentenceSimilarity), input)
}

/// A tokenizer in one of the formats from before `tokenizer.json`.
pub fn vocabulary(random: &mut Random) -> Subject {
    let kinds: &[(&str, &[(&str, &str)])] = &[
        ("AlbertTokenizer", &[("albert.model", "spiece.model")]),
        ("LlamaTokenizer", &[("bpe.model", "tokenizer.model")]),
        ("DebertaV2Tokenizer", &[("deberta.model", "spm.model")]),
        ("GemmaTokenizer", &[("gemma.model", "tokenizer.model")]),
        ("T5Tokenizer", &[("t5.model", "spiece.model")]),
        ("XLMRobertaTokenizer", &[("unigram.model", "sentencepiece.bpe.model")]),
        ("BertTokenizer", &[("vocab.txt", "vocab.txt")]),
        ("GPT2Tokenizer", &[("gpt2-vocab.json", "vocab.json"), ("gpt2-merges.txt", "merges.txt")]),
        ("CLIPTokenizer", &[("clip-vocab.json", "vocab.json"), ("clip-merges.txt", "merges.txt")]),
        (
            "RobertaTokenizer",
            &[("roberta-vocab.json", "vocab.json"), ("roberta-merges.txt", "merges.txt")],
        ),
    ];
    let (class, vocabulary) = random.of(kinds);
    let folder = goldens().join("tokenizers/models");
    let file = |from: &str| fs::read(folder.join(from)).expect("a vocabulary");
    let files = vocabulary.iter().map(|(from, to)| ((*to).to_owned(), file(from))).collect();
    let mut subject = Subject::of(files, None, json!("Hello, world! ½ ﬁ 東京 \u{1f600}\n\tend"));
    subject.set_json("tokenizer_config.json", &json!({"tokenizer_class": class}));
    subject
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

pub fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// In the order of their names, so that a number means the same folder everywhere.
pub fn folders(under: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(goldens().join(under)).expect("the goldens");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    folders
}

/// Every file below a folder, by its path in it.
pub fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a golden") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = read(&path).into_iter();
            files.extend(inner.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.insert(name, fs::read(&path).expect("a file"));
        }
    }
    files
}
