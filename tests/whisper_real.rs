//! Whisper tiny and tiny.en, real weights: what transformers' `generate` returns about real speech, id for id, short
//! and long, with the times of words. `tests/goldens/make_whisper_real.py` wrote the expected values.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use sconce::audio::{AudioFeatures, FeatureExtractor};
use sconce::speech::whisper::{Whisper, WhisperOptions};
use sconce::{LoadOptions, ModelSource, Precision};

#[path = "support/packages.rs"]
mod packages;
#[path = "support/whisper.rs"]
mod speech;
#[path = "support/whisper_expected.rs"]
mod whisper_expected;

use whisper_expected::Case;

/// `whisper_real.json`.
#[derive(Deserialize)]
struct Expected {
    cases: Vec<Real>,
}

#[derive(Deserialize)]
struct Real {
    /// Of tiny.en.
    english: bool,
    #[serde(flatten)]
    case: Case,
}

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/whisper_real.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
});

/// A model, and what makes features for it.
fn open(folder: PathBuf) -> (Whisper, FeatureExtractor) {
    let files = ModelSource::directory(folder).open().unwrap();
    // Weights in f16 would have a cache in f16.
    let mut options = LoadOptions::default();
    options.dtype = Some(Precision::F32);
    let whisper = Whisper::from_files(&files, &options).unwrap();
    (whisper, FeatureExtractor::from_files(&files).unwrap())
}

/// A recording of clips and silence, as the maker joins them.
fn samples(parts: &Value) -> Vec<f32> {
    let mut samples = Vec::new();
    for part in parts.as_array().unwrap() {
        if let Some(silence) = part.as_u64() {
            samples.resize(samples.len() + silence as usize, 0.0);
            continue;
        }
        let clip = clip(part[0].as_str().unwrap());
        let start = part[1].as_u64().unwrap() as usize;
        let count = part[2].as_u64().map(|count| count as usize);
        let count = count.unwrap_or(clip.len()).min(clip.len() - start);
        samples.extend_from_slice(&clip[start..start + count]);
    }
    samples
}

/// 16,000 samples a second.
fn clip(name: &str) -> Vec<f32> {
    if name == "jfk" {
        return speech::jfk_samples().unwrap();
    }
    let folder = packages::npm("@qvac/asr-ggml", "0.5.3").unwrap();
    let bytes =
        fs::read(folder.join(format!("package/test/mobile/testAssets/{name}.raw"))).unwrap();
    let sample = |bytes: &[u8]| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32_768.0;
    bytes.chunks_exact(2).map(sample).collect()
}

fn check(english: bool, folder: PathBuf) {
    let (whisper, extractor) = open(folder);
    let cases: Vec<_> = EXPECTED.cases.iter().filter(|real| real.english == english).collect();
    assert!(!cases.is_empty());
    let wrong = cases.iter().filter_map(|Real { case, .. }| {
        let options = WhisperOptions::from_json(case.options.clone()).unwrap();
        let recordings: Vec<Arc<AudioFeatures>> = case
            .recordings
            .iter()
            .map(|parts| Arc::new(extractor.extract(&samples(parts), 16_000).unwrap()))
            .collect();
        let found = whisper.generate(&recordings, &options).unwrap();
        let rows = found.iter().zip(&case.rows);
        let wrong: Vec<_> = rows.flat_map(|(found, row)| row.compare(found, 0.021)).collect();
        (!wrong.is_empty()).then(|| format!("{}: {}", case.name, wrong.join("\n    ")))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn tiny() {
    check(false, speech::whisper_tiny().unwrap());
}

#[test]
fn tiny_en() {
    check(true, speech::whisper_tiny_en().unwrap());
}
