//! Broken and lying files: an error that names the file, never a panic.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sconce::Error;
use sconce::tokenizer::{BatchOptions, Padding, Tokenizer};
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::golden::goldens;

#[test]
fn broken_json_is_refused() {
    let bpe = |vocab: Value, merges: Value| json!({"model": {"type": "BPE", "vocab": vocab, "merges": merges}});
    let model = json!({"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"});
    let with = |key: &str, value: Value| {
        let mut file = json!({"model": model});
        file[key] = value;
        file
    };
    let charsmap = |table: &str| json!({"type": "Precompiled", "precompiled_charsmap": table});
    let cases = [
        json!([]),
        json!({}),
        json!({"model": {}}),
        json!({"model": {"type": "Magic"}}),
        bpe(json!({"a": 0, "b": 1}), json!(["a b"])),
        bpe(json!({"a": 0, "ab": 1}), json!(["a b"])),
        bpe(json!({"a": 0, "b": 1}), json!(["a b c"])),
        bpe(json!({"a": -1}), json!([])),
        bpe(json!({"a": 5_000_000_000_u64}), json!([])),
        bpe(json!("vocabulary"), json!([])),
        json!({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}}),
        json!({"model": {"type": "Unigram", "vocab": [], "unk_id": 0}}),
        with("normalizer", json!({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})),
        with("normalizer", charsmap("////fwAAAAA=")),
        with("normalizer", charsmap("?")),
        with(
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "[a"}, "behavior": "Isolated", "invert": false}),
        ),
        with("pre_tokenizer", json!({"type": "Unheard"})),
        with("added_tokens", json!([{"id": "zero"}])),
        with(
            "post_processor",
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "pair": [], "special_tokens": {}}),
        ),
        with("decoder", json!(7)),
    ];
    for case in &cases {
        let folder = folder(&[("tokenizer.json", &case.to_string())]);
        // A few of these can only be noticed once there is a text.
        let error = match Tokenizer::open(folder.path()) {
            Ok(tokenizer) => tokenizer.encode("a b").expect_err(&case.to_string()),
            Err(error) => error,
        };
        let said = error.to_string();
        assert!(said.contains("tokenizer"), "{case}: {said}");
    }
    for text in ["", "{", "\u{feff}{}", "null", "{\"model\": ", &"[".repeat(100_000)] {
        let folder = folder(&[("tokenizer.json", text)]);
        assert!(
            matches!(Tokenizer::open(folder.path()), Err(Error::Malformed { .. })),
            "{text:.20}"
        );
    }
}

#[test]
fn a_table_that_leads_nowhere_is_an_error_when_it_is_followed() {
    // A trie of one unit whose link points far beyond it.
    let table = "BAAAAP///38AAA==";
    let file = json!({
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": table},
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"},
    });
    let folder = folder(&[("tokenizer.json", &file.to_string())]);
    if let Ok(tokenizer) = Tokenizer::open(folder.path()) {
        assert!(tokenizer.encode("abc").is_err());
    }
}

#[test]
fn broken_companions_are_refused() {
    let model = r#"{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    for (name, text) in [
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"first": {"content": "x"}}}"#),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"1": "x"}}"#),
        ("special_tokens_map.json", "{"),
        ("added_tokens.json", "7"),
    ] {
        let folder = folder(&[("tokenizer.json", model), (name, text)]);
        let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
    for (field, value) in [
        ("bos_token", json!(7)),
        ("model_max_length", json!("long")),
        ("padding_side", json!(1)),
        ("tokenizer_class", json!([])),
        ("clean_up_tokenization_spaces", json!("x".repeat(1_000_000))),
    ] {
        let config = json!({field: value}).to_string();
        let folder = folder(&[("tokenizer.json", model), ("tokenizer_config.json", &config)]);
        let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json") && error.contains(field), "{error:.500}");
    }
}

#[test]
fn a_class_without_its_files_is_an_error_that_says_which() {
    for (class, file) in [
        ("BertTokenizer", "vocab.txt"),
        ("GPT2Tokenizer", "vocab.json"),
        ("LlamaTokenizer", "tokenizer.model"),
        ("T5Tokenizer", "spiece.model"),
        ("MagicTokenizer", "MagicTokenizer"),
    ] {
        let config = json!({"tokenizer_class": class}).to_string();
        let folder = folder(&[("tokenizer_config.json", &config)]);
        let error = Tokenizer::open(folder.path()).unwrap_err();
        assert!(matches!(error, Error::MissingFile { .. }), "{error}");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn broken_older_formats_are_refused() {
    let vocab = r#"{"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}"#;
    for merges in ["#version\na c\n", "#version\na\n", "#version\na b c\n", "#version\nb a\n"] {
        let files = [("vocab.json", vocab), ("merges.txt", merges)];
        let error = load_as("GPT2Tokenizer", &files).unwrap_err().to_string();
        assert!(error.contains("merges.txt"), "{error}");
    }
    for vocab in ["", "[1]", r#"{"a": "b"}"#] {
        let files = [("vocab.json", vocab), ("merges.txt", "")];
        let error = load_as("GPT2Tokenizer", &files).unwrap_err().to_string();
        assert!(error.contains("vocab.json"), "{error}");
    }
    let error = load_as("RobertaTokenizer", &[("vocab.json", vocab), ("merges.txt", "a b")]);
    assert!(error.unwrap_err().to_string().contains("sep_token"));
    let error = load_as("BertTokenizer", &[("vocab.txt", "a\nb\n")]).unwrap_err().to_string();
    assert!(error.contains("[CLS]"), "{error}");
}

#[test]
fn damaged_sentencepiece_models_never_panic() {
    let whole = fs::read(goldens().join("models/bpe.model")).unwrap();
    let unigram = fs::read(goldens().join("models/t5.model")).unwrap();
    let load = |class: &str, name: &str, bytes: &[u8]| {
        let config = json!({"tokenizer_class": class}).to_string();
        let folder = folder(&[("tokenizer_config.json", &config)]);
        fs::write(folder.path().join(name), bytes).unwrap();
        match Tokenizer::open(folder.path()) {
            Ok(tokenizer) => drop(tokenizer.encode("Hello, world! ½ ﬁ")),
            Err(error) => assert!(error.to_string().contains("/"), "{error}"),
        }
    };
    for cut in (0..whole.len()).step_by(997) {
        load("LlamaTokenizer", "tokenizer.model", &whole[..cut]);
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    });
    let damage = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    runner
        .run(&damage, |damage| {
            for (class, name, whole) in [
                ("LlamaTokenizer", "tokenizer.model", &whole),
                ("T5Tokenizer", "spiece.model", &unigram),
            ] {
                let mut bytes = whole.clone();
                for (at, byte) in &damage {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
                load(class, name, &bytes);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn padding_beyond_reason_is_refused() {
    let file = r#"{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    let folder = folder(&[("tokenizer.json", file)]);
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let options = BatchOptions::default().pad_id(0);
    for (option, options) in [
        ("max_length", options.clone().padding(Padding::MaxLength(1 << 40))),
        ("pad_to_multiple_of", options.clone().pad_to_multiple_of(1 << 40)),
    ] {
        let error = tokenizer.encode_batch(&["a"], &options).unwrap_err();
        assert!(error.is_caller_error(), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(option) && error.contains("1048576"), "{error}");
    }
}

#[test]
fn lying_gguf_metadata_is_refused() {
    let texts = |texts: &[&str]| Meta::Texts(texts.iter().map(|&text| text.to_owned()).collect());
    let good = || {
        vec![
            ("model", Meta::Text("gpt2".into())),
            ("pre", Meta::Text("gpt-2".into())),
            ("tokens", texts(&["a", "b", "ab", "</s>"])),
            ("token_type", Meta::Numbers(vec![1, 1, 1, 3])),
            ("merges", texts(&["a b"])),
            ("eos_token_id", Meta::Number(3)),
        ]
    };
    let tokenizer = load_gguf(&good()).unwrap();
    assert_eq!(tokenizer.encode("ab</s>").unwrap().ids, [2, 3]);
    assert_eq!(tokenizer.eos_token().unwrap().content, "</s>");

    for (key, value, said) in [
        ("model", Meta::Text("rwkv".into()), "rwkv"),
        ("model", Meta::Number(1), "tokenizer.ggml.model"),
        ("pre", Meta::Text("magic-9".into()), "magic-9"),
        ("pre", Meta::Text("default".into()), "pre-tokenizer"),
        ("tokens", Meta::Text("a".into()), "tokens"),
        ("tokens", Meta::Numbers(vec![1, 2, 3, 4]), "tokens"),
        ("tokens", texts(&[]), "vocabulary"),
        ("token_type", Meta::Numbers(vec![1]), "token_type"),
        ("token_type", texts(&["a", "b", "c", "d"]), "list of numbers"),
        ("merges", texts(&["a c"]), "a c"),
        ("merges", texts(&["ab"]), "ab"),
        ("merges", texts(&["b a"]), "ba"),
        ("merges", texts(&["</s> </s>"]), "</s>"),
        ("merges", Meta::Number(0), "merges"),
        ("add_eos_token", Meta::Flag(true), ""),
        // Of another type than it should be: no reason for a default.
        ("add_bos_token", Meta::Number(1), "true or false"),
        ("eos_token_id", Meta::Text("</s>".into()), "eos_token_id"),
        ("eos_token_id", Meta::Floats(vec![3.0]), "a list of 1"),
        ("eot_token_id", Meta::Flag(true), "eot_token_id"),
        ("fim_pad_token_id", Meta::Text("x".repeat(1000)), "a text of 1000 bytes"),
        ("pre", Meta::Flag(false), "tokenizer.ggml.pre"),
    ] {
        let mut metadata = good();
        metadata.retain(|(name, _)| {
            *name != key && (key != "add_eos_token" || *name != "eos_token_id")
        });
        metadata.push((key, value));
        let error = load_gguf(&metadata).expect_err(key).to_string();
        assert!(error.contains("model.gguf") && error.contains(said), "{key}: {error}");
    }

    // Ids beyond the vocabulary are ignored, as llama.cpp does.
    let mut metadata = good();
    metadata.retain(|(name, _)| *name != "eos_token_id");
    metadata.push(("eos_token_id", Meta::Number(u32::MAX)));
    assert!(load_gguf(&metadata).unwrap().eos_token().is_none());

    let spm = |scores: Meta| {
        vec![
            ("model", Meta::Text("llama".into())),
            ("tokens", texts(&["<unk>", "a"])),
            ("scores", scores),
        ]
    };
    assert!(load_gguf(&spm(Meta::Floats(vec![0.0]))).is_err());
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = load_gguf(&spm(Meta::Floats(vec![0.0, score]))).unwrap_err().to_string();
        assert!(error.contains("among the scores"), "{error}");
    }
    assert!(load_gguf(&spm(texts(&["x", "y"]))).is_err());
    let mut t5 = spm(Meta::Floats(vec![0.0, -1.0]));
    t5[0] = ("model", Meta::Text("t5".into()));
    t5.push(("precompiled_charsmap", Meta::Bytes(vec![255, 255, 255, 127])));
    assert!(load_gguf(&t5).unwrap_err().to_string().contains("precompiled_charsmap"));
}

pub(crate) enum Meta {
    Bytes(Vec<u8>),
    Flag(bool),
    Floats(Vec<f32>),
    Number(u32),
    Numbers(Vec<u32>),
    Text(String),
    Texts(Vec<String>),
}

/// The tokenizer of a GGUF file of these metadata.
pub(crate) fn load_gguf(metadata: &[(&str, Meta)]) -> sconce::Result<Tokenizer> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    let list = |bytes: &mut Vec<u8>, kind: u32, length: usize| {
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend((length as u64).to_le_bytes());
    };
    for (key, value) in metadata {
        text(&mut bytes, &format!("tokenizer.ggml.{key}"));
        match value {
            Meta::Bytes(values) => {
                list(&mut bytes, 0, values.len());
                bytes.extend(values);
            }
            Meta::Flag(value) => {
                bytes.extend(7_u32.to_le_bytes());
                bytes.push((*value).into());
            }
            Meta::Floats(values) => {
                list(&mut bytes, 6, values.len());
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Meta::Number(value) => {
                bytes.extend(4_u32.to_le_bytes());
                bytes.extend(value.to_le_bytes());
            }
            Meta::Numbers(values) => {
                list(&mut bytes, 4, values.len());
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Meta::Text(value) => {
                bytes.extend(8_u32.to_le_bytes());
                text(&mut bytes, value);
            }
            Meta::Texts(values) => {
                list(&mut bytes, 8, values.len());
                values.iter().for_each(|value| text(&mut bytes, value));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    fs::write(&path, bytes).unwrap();
    Tokenizer::open(path)
}

fn load_as(class: &str, files: &[(&str, &str)]) -> sconce::Result<Tokenizer> {
    let config = json!({"tokenizer_class": class}).to_string();
    let folder = folder(&[files, &[("tokenizer_config.json", &config)]].concat());
    Tokenizer::open(folder.path())
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(Path::new(folder.path()).join(name), text).unwrap();
    }
    folder
}
