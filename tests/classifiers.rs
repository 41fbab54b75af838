//! Sequence classifiers beside those of encoders: on decoders (`tests/goldens/classifiers.json`, made
//! by `make_classifiers.py`) and as GGUF files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::AutoModel;
use sconce::models::heads::SequenceClassifier;
use sconce::pipeline::{Pipeline, Task};
use sconce::tokenizer::{EncodeOptions, TextInput, Tokenizer};
use sconce::{LoadOptions, ModelSource, Precision, QuantLevel};

#[path = "support/golden.rs"]
mod golden;

use golden::{expect_close, relative_error};

#[derive(Deserialize)]
struct Expected {
    classifiers: Vec<Classifier>,
    scorers: Vec<Scorer>,
    cross_encoders: Vec<CrossEncoder>,
}

#[derive(Deserialize)]
struct CrossEncoder {
    name: String,
    folder: String,
    files: HashMap<String, String>,
    /// Weight and bias of a `Dense`.
    dense: Option<(Vec<Vec<f32>>, Vec<f32>)>,
    pairs: Vec<[String; 2]>,
    scores: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Scorer {
    folder: String,
    files: HashMap<String, String>,
    pairs: Vec<[String; 2]>,
    scores: Vec<f32>,
}

#[derive(Deserialize)]
struct Classifier {
    folder: String,
    score: Vec<Vec<f32>>,
    padding_id: u32,
    rows: Vec<Vec<u32>>,
    logits: Vec<Vec<f32>>,
    #[serde(default)]
    pairs: Vec<[String; 2]>,
    #[serde(default)]
    scores: Vec<f32>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    outputs: Vec<Vec<LabelScore>>,
}

#[derive(Deserialize)]
struct LabelScore {
    label: String,
    score: f32,
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn expected() -> Expected {
    serde_json::from_slice(&fs::read(goldens().join("classifiers.json")).unwrap()).unwrap()
}

impl Classifier {
    /// The decoder's folder with the head in it.
    fn folder(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let from = goldens().join(&self.folder);
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            fs::copy(from.join(file), folder.path().join(file)).unwrap();
        }
        let config = fs::read(from.join("config.json")).unwrap();
        let mut config: Map<String, Value> = serde_json::from_slice(&config).unwrap();
        config.insert("num_labels".to_owned(), self.score.len().into());
        config.insert("architectures".to_owned(), json!(["TinyForSequenceClassification"]));
        config.insert("pad_token_id".to_owned(), self.padding_id.into());
        fs::write(folder.path().join("config.json"), json!(config).to_string()).unwrap();
        let weights = from.join("model.safetensors");
        let mut weights: HashMap<String, Tensor> =
            safetensors::load(weights, &Device::Cpu).unwrap();
        let score = Tensor::new(self.score.clone(), &Device::Cpu).unwrap();
        weights.insert("score.weight".to_owned(), score);
        safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
        folder
    }
}

fn pipeline(task: Task, source: ModelSource) -> Pipeline {
    Pipeline::open(task, source, LoadOptions::default().dtype(Precision::F32)).unwrap()
}

#[test]
fn decoders_classify_as_transformers_has_it() {
    for golden in expected().classifiers {
        let folder = golden.folder();
        let classify = |options: &LoadOptions, side: PaddingSide| -> Vec<Vec<f32>> {
            let model = AutoModel::open::<dyn SequenceClassifier>(folder.path(), options).unwrap();
            let batch = TokenBatch::padded(&golden.rows, 3, side).unwrap();
            model.classify(&batch).unwrap().to_vec2().unwrap()
        };
        let dense = LoadOptions::default().dtype(Precision::F32);
        for side in [PaddingSide::Left, PaddingSide::Right] {
            let found = classify(&dense, side);
            expect_close(&golden.folder, &found, &golden.logits, 1e-4).unwrap();
        }
        let quantized = LoadOptions::default().quantize(QuantLevel::Q8_0);
        let error = relative_error(&classify(&quantized, PaddingSide::Right), &golden.logits);
        assert!(error < 0.15, "{}: {error}", golden.folder);

        let source = ModelSource::directory(folder.path());
        if golden.scores.is_empty() {
            let pipeline = pipeline(Task::TextClassification, source);
            for (text, expected) in golden.texts.iter().zip(&golden.outputs) {
                let options = Map::from_iter([("top_k".to_owned(), json!(100))]);
                let found = pipeline.call(json!(text), options).unwrap().json;
                assert_eq!(found.as_array().unwrap().len(), expected.len());
                for (found, expected) in found.as_array().unwrap().iter().zip(expected) {
                    assert_eq!(found["label"], expected.label, "{}: {text}", golden.folder);
                    let score = found["score"].as_f64().unwrap() as f32;
                    assert!((score - expected.score).abs() < 1e-4, "{}: {text}", golden.folder);
                }
            }
        } else {
            expect_scores(source, &golden.pairs, &golden.scores);
        }
    }
}

/// A folder with files over its own.
fn over(base: &str, files: &HashMap<String, String>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(goldens().join(base)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    for (file, text) in files {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

/// Changes a field of a file of JSON.
fn set(folder: &Path, file: &str, field: &str, value: &Value) {
    let file = folder.join(file);
    let mut fields: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    fields[field] = value.clone();
    fs::write(file, fields.to_string()).unwrap();
}

fn expect_scores(source: ModelSource, pairs: &[[String; 2]], expected: &[f32]) {
    let found = pipeline(Task::TextRanking, source).call(json!(pairs), Map::new()).unwrap().json;
    assert_eq!(found.as_array().unwrap().len(), expected.len());
    for (found, expected) in found.as_array().unwrap().iter().zip(expected) {
        let close = (found.as_f64().unwrap() as f32 - expected).abs() < 1e-4;
        assert!(close, "{found} instead of {expected}");
    }
}

/// Pairs go through the chat template, and how likely one token is to come next is the score.
#[test]
fn language_models_rank_by_their_next_token() {
    for golden in expected().scorers {
        let folder = over(&golden.folder, &golden.files);
        expect_scores(ModelSource::directory(folder.path()), &golden.pairs, &golden.scores);
        if !golden.files["sentence_bert_config.json"].contains("message") {
            continue;
        }

        let refused = |expected: &str| {
            let source = ModelSource::directory(folder.path());
            let error = Pipeline::open(Task::TextRanking, source, LoadOptions::default());
            let error = error.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        fs::write(folder.path().join("1_LogitScore/config.json"), "{}").unwrap();
        refused("`true_token_id`");
        fs::remove_file(folder.path().join("modules.json")).unwrap();
        set(folder.path(), "config.json", "architectures", &json!(["TinyForCausalLM"]));
        refused("tokens `yes` and `no`");
        let template = json!("{{ messages[0].content }}");
        set(folder.path(), "tokenizer_config.json", "chat_template", &template);
        fs::write(folder.path().join("modules.json"), &golden.files["modules.json"]).unwrap();
        let score = &golden.files["1_LogitScore/config.json"];
        fs::write(folder.path().join("1_LogitScore/config.json"), score).unwrap();
        refused("leaves out messages of the role \"document\"");
    }
}

/// The files that `CrossEncoder` reads, over those of a folder.
#[test]
fn files_of_cross_encoders() {
    for golden in expected().cross_encoders {
        let folder = over(&golden.folder, &golden.files);
        if let Some((weight, bias)) = &golden.dense {
            let tensor = |name: &str, tensor: candle_core::Result<Tensor>| {
                (format!("linear.{name}"), tensor.unwrap())
            };
            let tensors = HashMap::from([
                tensor("weight", Tensor::new(weight.clone(), &Device::Cpu)),
                tensor("bias", Tensor::new(bias.as_slice(), &Device::Cpu)),
            ]);
            safetensors::save(&tensors, folder.path().join("2_Dense/model.safetensors")).unwrap();
        }
        let pipeline = pipeline(Task::TextRanking, ModelSource::directory(folder.path()));
        let found = pipeline.call(json!(golden.pairs), Map::new()).unwrap().json;
        for (found, expected) in found.as_array().unwrap().iter().zip(&golden.scores) {
            let one = [found.clone()];
            let found = found.as_array().map_or(one.as_slice(), Vec::as_slice);
            let found: Vec<f32> = found.iter().map(|x| x.as_f64().unwrap() as f32).collect();
            assert_eq!(found.len(), expected.len(), "{}", golden.name);
            for (found, expected) in found.iter().zip(expected) {
                let close = (found - expected).abs() < 1e-4;
                assert!(close, "{}: {found} instead of {expected}", golden.name);
            }
        }
    }
}

/// Modules that give no scores are named, whatever else is wrong.
#[test]
fn modules_without_scores_are_refused() {
    let golden = expected().cross_encoders.into_iter().find(|golden| golden.name == "pooled");
    let golden = golden.unwrap();
    let refused = |field: &str, value: Value, file: &str, expected: &str| {
        let folder = over(&golden.folder, &golden.files);
        fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        set(folder.path(), file, field, &value);
        let source = ModelSource::directory(folder.path());
        let error = Pipeline::open(Task::TextRanking, source, LoadOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refused("in_features", 7.into(), "2_Dense/config.json", "7 numbers");
    refused("model_type", "xlnet".into(), "config.json", "\"xlnet\"");
}

#[test]
fn language_models_are_no_classifiers() {
    for file in ["llama-gqa-tiny", "llama-tiny/model.gguf"] {
        let path = goldens().join(file);
        let error =
            AutoModel::open::<dyn SequenceClassifier>(path.as_path(), &LoadOptions::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains("trained to classify"), "{error}");
    }
}

/// XLM-RoBERTa with its tokenizer and its head in one GGUF file, as bge-reranker-v2-m3 has them.
#[test]
fn a_reranker_as_gguf_is_its_folder() {
    let folder = goldens().join("encoders/reranker-tiny");
    let gguf = ModelSource::gguf(folder.join("model.gguf"));
    let arrays = safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
    let expected: Value =
        serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let model =
        AutoModel::open::<dyn SequenceClassifier>(gguf.clone(), &LoadOptions::default()).unwrap();
    assert_eq!(model.labels().names, ["LABEL_0"]);
    for case in expected["cases"].as_array().unwrap() {
        let rows: Vec<Vec<u32>> = serde_json::from_value(case["rows"].clone()).unwrap();
        let batch = TokenBatch::padded(&rows, 1, PaddingSide::Right).unwrap();
        let found: Vec<Vec<f32>> = model.classify(&batch).unwrap().to_vec2().unwrap();
        for (row, found) in found.into_iter().enumerate() {
            let name = format!("{}.{row}.sequence", case["name"].as_str().unwrap());
            expect_close(&name, &[found], &arrays[&name].to_vec2().unwrap(), 1e-4).unwrap();
        }
    }

    let directory = ModelSource::directory(&folder);
    let [found, wanted] =
        [&gguf, &directory].map(|source| Tokenizer::open(source.clone()).unwrap());
    let texts = [
        "The light of the candle.",
        "  Ａngela   Merkel\tlives in Berlin \n",
        "ﬁlm　and 🎉 größe",
        "",
        " ",
        "a <mask> b</s>",
    ];
    for text in texts {
        for input in [TextInput::Text(text), TextInput::Pair(text, "Paris")] {
            let ids = |tokenizer: &Tokenizer| {
                tokenizer.encode_with(input, &EncodeOptions::default()).unwrap().ids
            };
            assert_eq!(ids(&found), ids(&wanted), "{text:?}");
        }
    }
    let input = json!({"query": "where is Paris?", "documents": texts});
    let ranked = |source: ModelSource| {
        let found = pipeline(Task::TextRanking, source).call(&input, Map::new()).unwrap().json;
        let rank = |document: &Value| {
            let score = document["score"].as_f64().unwrap();
            (document["corpus_id"].as_u64().unwrap(), (score * 1e4).round())
        };
        found.as_array().unwrap().iter().map(rank).collect::<Vec<_>>()
    };
    assert_eq!(ranked(gguf), ranked(directory));
}
