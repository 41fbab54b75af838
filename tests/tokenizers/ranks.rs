//! Vocabularies by rank: tiktoken's files and Mistral's `tekken.json`. Expectations are written by
//! `tests/goldens/make_rank_tokenizers.py`.

use std::fs;
use std::path::Path;

use sconce::tokenizer::{EncodeOptions, Tokenizer};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::golden::{Golden, goldens};
use crate::packages;

#[derive(Deserialize)]
struct Ranks {
    /// Under which name the vocabulary lies in a repository.
    file: String,
    config: Option<Value>,
    pattern: String,
    vocab: usize,
    named: std::collections::BTreeMap<String, (String, u32)>,
    special: Option<Value>,
    special_texts: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: Option<String>,
    ids: Vec<u32>,
    offsets: Option<Vec<(usize, usize)>>,
    decoded: String,
}

fn ranks(name: &str) -> Ranks {
    let text = fs::read_to_string(goldens().join(format!("ranks-{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A folder with the vocabulary of a golden.
fn repository(golden: &Ranks) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let listed = fs::read_to_string(goldens().join("models/ranks.tiktoken")).unwrap();
    let content = match &golden.config {
        Some(config) => {
            fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
            listed
        }
        None => {
            let tokens = listed.lines().enumerate().map(|(rank, line)| {
                let token = line.split(' ').next();
                json!({"rank": rank, "token_bytes": token, "token_str": null})
            });
            let config = json!({
                "pattern": golden.pattern, "num_vocab_tokens": listed.lines().count(),
                "default_vocab_size": golden.vocab, "default_num_special_tokens": 30, "version": "v3",
            });
            let mut file = json!({"config": config, "vocab": tokens.collect::<Vec<_>>()});
            if let Some(special) = &golden.special {
                file["special_tokens"] = special.clone();
            }
            file.to_string()
        }
    };
    fs::write(folder.path().join(&golden.file), content).unwrap();
    fs::write(folder.path().join("config.json"), r#"{"model_type": "mistral"}"#).unwrap();
    folder
}

#[test]
fn vocabularies_by_rank_are_read_as_python_reads_them() {
    let texts = fs::read_to_string(goldens().join("texts.json")).unwrap();
    let texts: Vec<String> = serde_json::from_str(&texts).unwrap();
    for name in ["tiktoken-llama", "tiktoken-plain", "tekken", "tekken-old"] {
        let golden = ranks(name);
        let folder = repository(&golden);
        let tokenizer = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), golden.vocab, "{name}");
        for (role, (content, id)) in &golden.named {
            let token = tokenizer.special_token(role).unwrap();
            assert_eq!((token.content.as_str(), token.id), (content.as_str(), *id), "{name}");
        }
        let all = texts.iter().chain(&golden.special_texts);
        assert!(golden.cases.len() > 35, "{name}");
        for (case, text) in golden.cases.iter().zip(all) {
            let text = case.text.as_ref().unwrap_or(text);
            let encoding = tokenizer.encode(text).unwrap();
            assert_eq!(encoding.ids, case.ids, "{name}: {text:?}");
            if let Some(offsets) = &case.offsets {
                assert_eq!(&encoding.offsets, offsets, "{name}: {text:?}");
            }
            let decoded = tokenizer.decode(&encoding.ids, true).unwrap();
            assert_eq!(decoded, case.decoded, "{name}: {text:?}");
        }
    }
}

/// Control tokens in a text are special, as in the `tokenizer.json` of these models.
#[test]
fn control_tokens_of_tekken_files_are_found_in_texts() {
    let golden = ranks("tekken");
    let tokenizer = Tokenizer::open(repository(&golden).path()).unwrap();
    let plain = EncodeOptions::default().add_special_tokens(false);
    let ids = tokenizer.encode_with("<s>[INST]a[/INST]</s>", &plain).unwrap().ids;
    assert_eq!((ids[0], ids[1], ids[3], ids[4], ids.len()), (1, 3, 4, 2, 5));
    assert_eq!(tokenizer.id_to_token(29).unwrap(), "<SPECIAL_29>");
}

/// The file that Mistral-Nemo was trained with gives the ids of its `tokenizer.json`, but for `<pad>`, which has another
/// number there than in mistral-common.
#[test]
fn a_real_tekken_file_agrees_with_the_tokenizer_json_of_its_model() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(packages::tekken().unwrap(), folder.path().join("tekken.json")).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let golden = Golden::read("json-mistral_nemo");
    assert_eq!(tokenizer.vocab_size(), 131_072);
    for (text, case) in golden.texts.iter().zip(golden.json["cases"].as_array().unwrap()) {
        if text.contains("<pad>") {
            continue;
        }
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap().ids, ids, "{text:?}");
    }
}

#[test]
fn broken_vocabularies_by_rank_are_errors_that_name_the_file() {
    let refusal = |golden: &Ranks, change: &dyn Fn(String) -> String| {
        let folder = repository(golden);
        let path = folder.path().join(&golden.file);
        let content = change(fs::read_to_string(&path).unwrap());
        fs::write(&path, content).unwrap();
        let error = Tokenizer::open(folder.path() as &Path).unwrap_err();
        assert!(!error.is_caller_error());
        assert!(error.to_string().contains(&golden.file), "{error}");
        error.to_string()
    };
    let tiktoken = ranks("tiktoken-plain");
    let replaced =
        |from: &'static str, to: &'static str| move |text: String| text.replacen(from, to, 1);
    let appended = |more: String| move |text: String| text + &more;
    assert!(refusal(&tiktoken, &appended("?? 9\n".into())).contains("base64 and its rank"));
    assert!(refusal(&tiktoken, &appended("YQ== -1\n".into())).contains("base64 and its rank"));
    let long = format!("{} 999\n", "YWFh".repeat(400));
    assert!(refusal(&tiktoken, &appended(long)).contains("1200 bytes"));
    let tekken = ranks("tekken");
    let specials = r#""default_num_special_tokens":30"#;
    refusal(&tekken, &replaced(specials, r#""default_num_special_tokens":4"#));
    refusal(&tekken, &replaced(specials, r#""default_num_special_tokens":2000000000"#));
    refusal(&tekken, &replaced(r#""rank":7,"#, r#""rank":8,"#));
    refusal(&tekken, &replaced(r#""token_str":"<s>""#, r#""token_str":"<unk>""#));
    refusal(&tekken, &replaced(r#""pattern":""#, r#""pattern":"("#));
}
