//! Encoder configs and folders that lie, and requests that make no sense: each is an error that says
//! what to do, or a model that runs; never a panic, and never memory by a config's word alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde_json::{Map, Value, json};

use sconce::batch::{PaddingSide, TokenBatch};
use sconce::embeddings::{EmbedOptions, SentenceEmbedder};
use sconce::models::AutoModel;
use sconce::models::heads::{
    Encoder, MaskedLm, QuestionAnswerer, SequenceClassifier, TokenClassifier,
};
use sconce::pipeline::{Pipeline, Task};
use sconce::{LoadOptions, ModelSource, Precision};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// A copy of a folder's files.
fn copied(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    folder
}

/// The model of one text-pipeline golden with its tokenizer.
fn model(golden: &str) -> tempfile::TempDir {
    let from = goldens().join("text_pipelines").join(golden);
    let folder = copied(&from);
    let record: Value =
        serde_json::from_slice(&fs::read(from.join("golden.json")).unwrap()).unwrap();
    let tokenizer = goldens().join("encoders").join(record["tokenizer"].as_str().unwrap());
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(tokenizer.join(file), folder.path().join(file)).unwrap();
    }
    folder
}

fn json_file(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn load(task: &str, folder: &Path) -> sconce::Result<Pipeline> {
    Pipeline::open(
        task.parse::<Task>().unwrap(),
        ModelSource::directory(folder),
        LoadOptions::default(),
    )
}

/// Every field of every family's config, set to what it should not be: loading fails, or a small
/// batch runs or fails.
#[test]
fn configs_that_lie() {
    let lies = [
        json!(0),
        json!(-1),
        json!(1),
        json!(3),
        json!(2_147_483_647u64),
        json!(1u64 << 40),
        json!(u64::MAX),
        json!(1e300),
        json!(0.5),
        json!("text"),
        json!([]),
        json!({}),
        json!(true),
        json!(false),
        Value::Null,
    ];
    for entry in fs::read_dir(goldens().join("encoders")).unwrap() {
        let golden = entry.unwrap().path();
        let folder = copied(&golden);
        let options = LoadOptions::default();
        let has_head = AutoModel::open::<dyn SequenceClassifier>(folder.path(), &options).is_ok();
        let file = folder.path().join("config.json");
        let config = json_file(&file);
        for field in config.keys() {
            for lie in &lies {
                let mut lying = config.clone();
                lying.insert(field.clone(), lie.clone());
                fs::write(&file, serde_json::to_vec(&lying).unwrap()).unwrap();
                let batch = TokenBatch::padded(&[vec![5, 6, 7], vec![8]], 0, PaddingSide::Right);
                let batch = batch.unwrap();
                match AutoModel::open::<dyn SequenceClassifier>(folder.path(), &options) {
                    Ok(classifier) => drop(classifier.classify(&batch)),
                    Err(_) if has_head => {}
                    Err(_) => {
                        let encoder = AutoModel::open::<dyn Encoder>(folder.path(), &options);
                        drop(encoder.map(|encoder| encoder.encode(&batch)));
                    }
                }
            }
        }
    }
}

/// ModernBERT as transformers 5 spells it is what it is as transformers 4 does.
#[test]
fn rope_parameters_of_transformers_5() {
    let golden = goldens().join("encoders/modernbert-tiny");
    let hidden = |folder: &Path| {
        let encoder = AutoModel::open::<dyn Encoder>(folder, &LoadOptions::default()).unwrap();
        let ids: Vec<u32> = (5..45).collect();
        encoder.encode(&TokenBatch::single(&ids).unwrap()).unwrap().to_vec3::<f32>().unwrap()
    };
    let folder = copied(&golden);
    let file = folder.path().join("config.json");
    let mut config = json_file(&file);
    let mut theta =
        |field: &str| json!({"rope_type": "default", "rope_theta": config.remove(field)});
    let (full, sliding) = (theta("global_rope_theta"), theta("local_rope_theta"));
    config.remove("global_attn_every_n_layers");
    let [one, other] = ["full_attention", "sliding_attention"];
    config.insert("rope_parameters".to_owned(), json!({one: full, other: sliding}));
    config.insert("layer_types".to_owned(), json!([one, other, other, one]));
    fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
    assert_eq!(hidden(folder.path()), hidden(&golden));
    for (field, value, expected) in [
        ("layer_types", json!([one, other]), "for each layer"),
        ("rope_parameters", json!({one: {"rope_type": "yarn"}}), "without scaling"),
    ] {
        let mut lying = config.clone();
        lying.insert(field.to_owned(), value);
        fs::write(&file, serde_json::to_vec(&lying).unwrap()).unwrap();
        let error =
            AutoModel::open::<dyn Encoder>(folder.path(), &LoadOptions::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Each task of models without its head, and of folders without a file: the message names what is
/// missing.
#[test]
fn folders_that_lack_something() {
    let needs = |task: &str, golden: &str, expected: &str| {
        let folder = model(golden);
        let error = load(task, folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{task} with {golden}: {error}");
    };
    for golden in ["features-wordpiece", "features-unigram"] {
        needs("text-classification", golden, "no sequence-classification head");
        needs("zero-shot-classification", golden, "no sequence-classification head");
        needs("text-ranking", golden, "no sequence-classification head");
        needs("token-classification", golden, "no token-classification head");
        needs("question-answering", golden, "no question-answering head");
        needs("fill-mask", golden, "no masked-language-model head");
    }
    needs("text-generation", "features-wordpiece", "is not known as a decoder");
    needs("zero-shot-classification", "classify-single", "natural language inference");
    for (file, expected) in [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer"),
    ] {
        let folder = model("masks-wordpiece");
        fs::remove_file(folder.path().join(file)).unwrap();
        let error = load("fill-mask", folder.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "without {file}: {error}");
    }
    if cfg!(feature = "image") {
        // It has a config for each part.
        let empty = tempfile::tempdir().unwrap();
        for task in ["text-to-image", "image-to-image"] {
            let error = load(task, empty.path()).unwrap_err().to_string();
            assert!(error.contains("has no model_index.json"), "{error}");
        }
    }
    // What the model is comes before its tokenizer: both are missing of a model of an unknown kind.
    let is_built = |task: &&sconce::Task| {
        let name = task.name();
        let is_of_sound = ["audio", "speech"].iter().any(|part| name.contains(part));
        (cfg!(feature = "audio") || !is_of_sound)
            && (cfg!(feature = "image") || !name.contains("image"))
            && !["text-to-image", "image-to-image"].contains(&name)
    };
    for task in sconce::Task::ALL.iter().filter(is_built) {
        let folder = tempfile::tempdir().unwrap();
        let error = |task: &str| load(task, folder.path()).unwrap_err().to_string();
        assert!(
            error(task.name()).contains("has no config.json"),
            "{task}: {}",
            error(task.name())
        );
        let config = r#"{"model_type": "t5x", "architectures": ["T5XModel"]}"#;
        fs::write(folder.path().join("config.json"), config).unwrap();
        assert!(error(task.name()).contains("\"t5x\""), "{task}: {}", error(task.name()));
    }
    let folder = model("masks-wordpiece");
    let file = folder.path().join("tokenizer_config.json");
    let mut config = json_file(&file);
    config.remove("mask_token");
    // The class BertTokenizer would have one by default.
    config.insert("tokenizer_class".to_owned(), json!("PreTrainedTokenizerFast"));
    fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
    let error = load("fill-mask", folder.path()).unwrap_err().to_string();
    assert!(error.contains("mask_token"), "{error}");
}

/// Files that were cut off, pages in place of files, and links to what is not there.
#[test]
fn damaged_files_say_what_to_do() {
    let golden = model("classify-wordpiece");
    let original = |name: &str| fs::read(golden.path().join(name)).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        let whole = original(name);
        let utf16: Vec<u8> =
            [0xFF, 0xFE].into_iter().chain(whole.iter().flat_map(|&byte| [byte, 0])).collect();
        for (bytes, expected) in [
            (Vec::new(), "the file is empty; download it again"),
            (whole[..whole.len() / 2].to_vec(), "the file is truncated; download it again"),
            (b"\n<!DOCTYPE html><html>404".to_vec(), "download the file itself"),
            ([&[0xEF, 0xBB, 0xBF][..], &whole].concat(), "without a byte order mark"),
            (utf16, "without a byte order mark"),
        ] {
            let folder = model("classify-wordpiece");
            fs::write(folder.path().join(name), bytes).unwrap();
            let error = load("text-classification", folder.path()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
        }
    }
    #[cfg(unix)]
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let folder = model("classify-wordpiece");
        let path = folder.path().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../../blobs/0123", &path).unwrap();
        let error = load("text-classification", folder.path()).unwrap_err().to_string();
        let expected = "is a link to \"../../blobs/0123\", which is not there";
        assert!(error.contains(name) && error.contains(expected), "{name}: {error}");
    }
}

/// Label sets that name other labels than there are, or no labels.
#[test]
fn label_sets_that_lie() {
    for labels in [
        json!({"0": "a"}),
        json!({"0": "a", "1": "b", "2": "c", "3": "d"}),
        json!({"1": "a", "2": "b", "3": "c"}),
        json!({"0": "a", "0 ": "b", "x": "c"}),
        json!({}),
        json!(["a", "b", "c"]),
        json!({"0": null, "1": 2, "2": 3}),
        json!({"18446744073709551615": "a"}),
    ] {
        let folder = model("classify-wordpiece");
        let file = folder.path().join("config.json");
        let mut config = json_file(&file);
        config.insert("id2label".to_owned(), labels.clone());
        fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
        let error = load("text-classification", folder.path()).unwrap_err().to_string();
        assert!(error.contains("id2label") || error.contains("shape"), "{labels}: {error}");
    }
}

/// Numbers as labels are their texts.
#[test]
fn labels_that_are_numbers() {
    let folder = model("classify-wordpiece");
    let file = folder.path().join("config.json");
    let mut config = json_file(&file);
    config.insert("id2label".to_owned(), json!({"0": 1, "1": -2, "2": 0.5}));
    config.insert("label2id".to_owned(), json!({"1": 0, "-2": 1, "0.5": 2}));
    fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
    let pipeline = load("text-classification", folder.path()).unwrap();
    let options = Map::from_iter([("top_k".to_owned(), Value::Null)]);
    let found = pipeline.call("good", options).unwrap().json;
    let mut labels: Vec<&str> =
        found.as_array().unwrap().iter().map(|found| found["label"].as_str().unwrap()).collect();
    labels.sort_unstable();
    assert_eq!(labels, ["-2", "0.5", "1"]);
}

/// Modules behind the model may leave the numbers, too.
#[test]
fn vectors_that_are_no_numbers() {
    let folder = copied(&goldens().join("encoders/bert-tiny"));
    let modules = goldens().join("embeddings/identity");
    for file in ["modules.json", "1_Pooling/config.json", "2_Dense/config.json"] {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(modules.join(file), to).unwrap();
    }
    let weights = "2_Dense/model.safetensors";
    let mut tensors = candle_core::safetensors::load(modules.join(weights), &Device::Cpu).unwrap();
    for tensor in tensors.values_mut() {
        *tensor = (tensor.ones_like().unwrap() * 3e38).unwrap();
    }
    candle_core::safetensors::save(&tensors, folder.path().join(weights)).unwrap();
    let embedder = SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap();
    let error = embedder.embed(&["a candle burns"], &EmbedOptions::default()).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
}

/// What comes of numbers that are none is an error wherever vectors or scores come out, and a config
/// that can make nothing else is refused at once.
#[test]
fn results_that_are_no_numbers() {
    for golden in ["bert-tiny", "deberta-v3-tiny", "gemma3-embedding-tiny", "modernbert-tiny"] {
        let folder = copied(&goldens().join("encoders").join(golden));
        let file = folder.path().join("config.json");
        let config = json_file(&file);
        let field = config.keys().find(|field| field.contains("norm") && field.contains("_eps"));
        let field = field.unwrap();
        for eps in [json!(-1e-3), json!(1e300)] {
            let mut lying = config.clone();
            lying.insert(field.clone(), eps);
            fs::write(&file, serde_json::to_vec(&lying).unwrap()).unwrap();
            let error =
                AutoModel::open::<dyn Encoder>(folder.path(), &LoadOptions::default()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
        fs::write(&file, serde_json::to_vec(&config).unwrap()).unwrap();
        // Weights that are numbers, and results that are none.
        let weights = folder.path().join("model.safetensors");
        let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
        for (name, tensor) in &mut tensors {
            if name.contains("embed") && tensor.rank() == 2 {
                *tensor = (tensor.ones_like().unwrap() * 3e38).unwrap();
            }
        }
        candle_core::safetensors::save(&tensors, &weights).unwrap();
        let options = LoadOptions::default().dtype(Precision::F32);
        let batch = TokenBatch::single(&[5, 6, 7]).unwrap();
        let path = folder.path();
        let encoder = AutoModel::open::<dyn Encoder>(path, &options).unwrap();
        let mut found = vec![encoder.encode(&batch).map(drop)];
        let classifier = AutoModel::open::<dyn SequenceClassifier>(path, &options).unwrap();
        found.push(classifier.classify(&batch).map(drop));
        if let Ok(model) = AutoModel::open::<dyn TokenClassifier>(path, &options) {
            found.push(model.classify_tokens(&batch).map(drop));
            let model = AutoModel::open::<dyn QuestionAnswerer>(path, &options).unwrap();
            found.push(model.spans(&batch).map(drop));
            let model = AutoModel::open::<dyn MaskedLm>(path, &options).unwrap();
            found.push(model.predict(&batch, &[(0, 1)]).map(drop));
        }
        for found in found {
            let error = found.unwrap_err().to_string();
            assert!(error.contains("NaN"), "{golden}: {error}");
        }
    }
}

/// Options by a wrong name, type or value: the caller's error, which names the option.
#[test]
fn requests_that_make_no_sense() {
    let question = json!({"question": "Who?", "context": "Angela Merkel lives in Berlin."});
    let rank = json!({"query": "Who?", "documents": ["good"]});
    type Wrong<'a> = &'a [(&'a str, Value)];
    let table: [(&str, Value, Wrong<'_>); 8] = [
        (
            "classify-wordpiece",
            json!("good"),
            &[
                ("top_k", json!(-1)),
                ("top_k", json!("all")),
                ("function_to_apply", json!("tanh")),
                ("truncation", json!("nonsense")),
                ("max_length", json!(0)),
                ("batch_size", json!(0)),
                ("topk", json!(1)),
                ("return_all_scores", json!("yes")),
            ],
        ),
        (
            "zero-shot-wordpiece",
            json!("good"),
            &[
                ("candidate_labels", json!([])),
                ("candidate_labels", json!(7)),
                ("candidate_labels", json!(",")),
                ("hypothesis_template", json!("no place")),
                ("hypothesis_template", json!("{name}")),
                ("multi_label", json!(1)),
            ],
        ),
        (
            "tokens-wordpiece",
            json!("good"),
            &[
                ("aggregation_strategy", json!("best")),
                ("stride", json!(-1)),
                ("stride", json!(1u64 << 40)),
                ("ignore_labels", json!("O")),
                ("offset_mapping", json!("x")),
                ("grouped_entities", json!("yes")),
            ],
        ),
        (
            "questions-wordpiece",
            question,
            &[
                ("top_k", json!(0)),
                ("max_answer_len", json!(0)),
                ("doc_stride", json!(1u64 << 40)),
                ("max_seq_len", json!(1)),
                ("max_seq_len", json!(-3)),
                ("handle_impossible_answer", json!("no")),
                ("speed", json!(1)),
            ],
        ),
        (
            "masks-wordpiece",
            json!("a [MASK]."),
            &[
                ("top_k", json!(1u64 << 40)),
                ("top_k", json!(-1)),
                ("targets", json!([])),
                ("targets", json!(7)),
                ("tokenizer_kwargs", json!({"speed": 1})),
                ("tokenizer_kwargs", json!(7)),
            ],
        ),
        (
            "features-wordpiece",
            json!("good"),
            &[
                ("pooling", json!("sum")),
                ("normalize", json!(true)),
                ("tokenize_kwargs", json!(7)),
                ("truncation", json!("x")),
            ],
        ),
        (
            "rank-wordpiece",
            rank,
            &[
                ("top_k", json!(-1)),
                ("activation_fn", json!("relu")),
                ("max_length", json!(1)),
                ("prompt_name", json!("query")),
                ("return_documents", json!(3)),
            ],
        ),
        (
            "similarity",
            json!(["good", "bad"]),
            &[
                ("truncate_dim", json!(0)),
                ("truncate_dim", json!(-4)),
                ("precision", json!("int3")),
                ("prompt_name", json!("no such")),
                ("batch_size", json!(0)),
                ("normalize_embeddings", json!("x")),
            ],
        ),
    ];
    for (golden, input, wrong) in &table {
        let folder = model(golden);
        let record = json_file(&goldens().join("text_pipelines").join(golden).join("golden.json"));
        let task: Task = record["task"].as_str().unwrap().parse().unwrap();
        let pipeline = load(task.name(), folder.path()).unwrap();
        let mut good = Map::new();
        if task == Task::ZeroShotClassification {
            good.insert("candidate_labels".to_owned(), json!(["film", "wall"]));
        }
        pipeline.call(input, good.clone()).unwrap();
        for (option, value) in *wrong {
            let mut options = good.clone();
            options.insert((*option).to_owned(), value.clone());
            let error = pipeline.call(input, options).unwrap_err();
            assert!(error.is_caller_error(), "{golden}, {option} {value}: {error:?}");
            assert!(error.to_string().contains(option), "{golden}, {option} {value}: {error}");
        }
        for input in [json!(7), json!(null), json!({"speed": 1}), json!([1, 2]), json!([["a"]])] {
            let error = pipeline.call(&input, good.clone()).unwrap_err();
            assert!(error.is_caller_error(), "{golden}, {input}: {error:?}");
        }
    }
}
