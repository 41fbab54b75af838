//! Whisper's `generate` against the one of transformers, with the tiny random model in `tests/goldens/whisper`,
//! and against itself.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use sconce::audio::AudioFeatures;
use sconce::error::Error;
use sconce::generation::{CancelHandle, GenerationConfig, LogitsProcessor};
use sconce::speech::whisper::{Transcription, Whisper, WhisperOptions};
use sconce::{LoadOptions, ModelSource, Result};

#[path = "support/whisper_expected.rs"]
mod whisper_expected;

use whisper_expected::Case;

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    /// Frames, and how many of them are no padding.
    recordings: BTreeMap<String, [usize; 2]>,
    languages: BTreeMap<String, Vec<f32>>,
    cases: Vec<Case>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/whisper")
}

fn expected() -> &'static Expected {
    static EXPECTED: OnceLock<Expected> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        serde_json::from_str(&fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap()
    })
}

fn features(names: &[impl AsRef<str>]) -> Vec<Arc<AudioFeatures>> {
    static TENSORS: OnceLock<HashMap<String, Tensor>> = OnceLock::new();
    let path = folder().join("features.safetensors");
    let tensors =
        TENSORS.get_or_init(|| candle_core::safetensors::load(path, &Device::Cpu).unwrap());
    let features = names.iter().map(|name| {
        let tensor = &tensors[name.as_ref()];
        let [frames, length] = expected().recordings[name.as_ref()];
        assert_eq!(tensor.dim(0).unwrap(), frames);
        let values = tensor.flatten_all().unwrap().to_vec1().unwrap();
        Arc::new(AudioFeatures::new(values, tensor.dim(1).unwrap(), length).unwrap())
    });
    features.collect()
}

/// The model with other fields in its generation_config.json.
fn whisper(fields: &Map<String, Value>) -> Whisper {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(folder().join(name), copy.path().join(name)).unwrap();
    }
    let read = fs::read_to_string(folder().join("generation_config.json")).unwrap();
    let mut config: Map<String, Value> = serde_json::from_str(&read).unwrap();
    config.extend(fields.clone());
    config.retain(|_, value| !value.is_null());
    let written = serde_json::to_string(&config).unwrap();
    fs::write(copy.path().join("generation_config.json"), written).unwrap();
    let files = ModelSource::directory(copy.path()).open().unwrap();
    Whisper::from_files(&files, &LoadOptions::default()).unwrap()
}

fn plain() -> Whisper {
    static PLAIN: OnceLock<Whisper> = OnceLock::new();
    PLAIN.get_or_init(|| whisper(&Map::new())).clone()
}

fn options(options: Value) -> WhisperOptions {
    serde_json::from_value(options).unwrap()
}

fn generate(
    whisper: &Whisper,
    names: &[impl AsRef<str>],
    options: &WhisperOptions,
) -> Result<Vec<Transcription>> {
    whisper.generate(&features(names), options)
}

#[test]
fn what_transformers_generates() {
    let cases = &expected().cases;
    assert!(cases.len() > 30);
    let wrong = cases.iter().filter_map(|case| {
        let whisper = whisper(&case.fields);
        let options = WhisperOptions::from_json(case.options.clone()).unwrap();
        let names: Vec<_> = case.recordings.iter().filter_map(Value::as_str).collect();
        let found = match generate(&whisper, &names, &options) {
            Ok(found) => found,
            Err(error) => return Some(format!("{}: {error}", case.name)),
        };
        let rows = found.iter().zip(&case.rows);
        let wrong: Vec<_> = rows.flat_map(|(found, row)| row.compare(found, 0.011)).collect();
        (!wrong.is_empty()).then(|| format!("{}: {}", case.name, wrong.join("\n    ")))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn languages_are_detected() {
    let names: Vec<_> = expected().languages.keys().collect();
    let found = plain().detect_language(&features(&names)).unwrap();
    for (found, name) in found.iter().zip(names) {
        let mut probabilities = expected().languages[name].clone();
        probabilities.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(found.len(), probabilities.len());
        for (found, expected) in found.iter().zip(probabilities) {
            assert!((found.probability - expected).abs() < 1e-4, "{name}: {found:?}, {expected}");
        }
    }
    let alone = plain().detect_language(&features(&["short"])).unwrap();
    let written = generate(&plain(), &["short"], &options(json!({"max_new_tokens": 1}))).unwrap();
    assert_eq!(written[0].language.as_deref(), Some(alone[0][0].language.as_str()));
}

/// In transformers these are an UnboundLocalError, a TypeError and an IndexError.
#[test]
fn what_python_cannot() {
    let whisper = plain();
    let thresholds = options(json!({"language": "en", "no_speech_threshold": 0.0}));
    let silent = generate(&whisper, &["short"], &thresholds).unwrap();
    assert!(silent[0].windows.iter().all(|window| window.skipped) && silent[0].segments.is_empty());
    let both =
        options(json!({"language": "en", "no_speech_threshold": 1.0, "logprob_threshold": -0.1}));
    assert!(!generate(&whisper, &["short"], &both).unwrap()[0].segments.is_empty());
    let beams = json!({
        "language": "en", "num_beams": 3, "return_timestamps": true, "return_token_timestamps": true,
    });
    let names = ["long", "short", "cut"];
    let together = generate(&whisper, &names, &options(beams.clone())).unwrap();
    for (name, together) in names.iter().zip(&together) {
        let alone = generate(&whisper, &[name], &options(beams.clone())).unwrap();
        same(&alone[0], together);
        for segment in &together.segments {
            assert_eq!(segment.token_times.len(), segment.ids.len());
            assert!(segment.token_times.is_sorted(), "{segment:?}");
        }
        assert!(together.segments.iter().any(|segment| !segment.words.is_empty()));
    }
}

/// Rounding apart.
fn same(one: &Transcription, other: &Transcription) {
    assert_eq!(one.ids(), other.ids());
    assert_eq!(one.language, other.language);
    let ends = |it: &Transcription| -> Vec<_> {
        it.segments.iter().map(|segment| (segment.start, segment.end)).collect()
    };
    assert_eq!(ends(one), ends(other));
    let times = |it: &Transcription| -> Vec<f64> {
        it.segments.iter().flat_map(|segment| segment.token_times.clone()).collect()
    };
    assert_eq!(times(one), times(other));
}

#[test]
fn each_recording_gets_what_it_gets_alone() {
    let whisper = plain();
    let names = ["long", "short", "odd", "cut", "longer"];
    let asked = options(json!({
        "condition_on_prev_tokens": true, "return_timestamps": true, "batch_size": 2,
        "no_speech_threshold": 0.9, "temperature": [0.0, 0.7], "logprob_threshold": -0.3, "seed": 5,
    }));
    let together = generate(&whisper, &names, &asked).unwrap();
    for (name, together) in names.iter().zip(&together) {
        same(&generate(&whisper, &[name], &asked).unwrap()[0], together);
    }
    let other = asked.clone().generation(GenerationConfig::default().seed(6));
    let differ = |other: &[Transcription]| {
        other.iter().zip(&together).any(|(other, it)| other.ids() != it.ids())
    };
    assert!(differ(&generate(&whisper, &names, &other).unwrap()));
}

#[test]
fn segments_come_while_it_runs() {
    let whisper = plain();
    let asked = options(json!({"language": "en", "return_timestamps": true}));
    let recordings = features(&["longer", "short"]);
    let whole = whisper.generate(&recordings, &asked).unwrap();
    let mut stream = whisper.stream(&recordings, &asked).unwrap();
    let mut found = vec![Vec::new(); 2];
    let mut done = stream.progress().done;
    assert!(done == 0.0 && (stream.progress().total - 6.4).abs() < 1e-9);
    while let Some(segment) = stream.next() {
        let (number, segment) = segment.unwrap();
        assert!(stream.progress().done >= done);
        done = stream.progress().done;
        found[number].push(segment);
    }
    assert!((stream.progress().done - stream.progress().total).abs() < 1e-9);
    for (found, whole) in found.iter().zip(&whole) {
        assert_eq!(*found, whole.segments);
    }
    assert_eq!(stream.finish().unwrap(), whole);
}

/// Cancels in the middle of the second window.
#[derive(Debug, Clone)]
struct Cancelling(CancelHandle, Arc<AtomicUsize>);

impl LogitsProcessor for Cancelling {
    fn process(&mut self, _: &[u32], _: &mut [f32]) -> Result<()> {
        if self.1.fetch_add(1, Ordering::Relaxed) == 40 {
            self.0.cancel();
        }
        Ok(())
    }
}

#[test]
fn it_ends_when_cancelled() {
    let whisper = plain();
    let handle = CancelHandle::default();
    let asked = options(json!({"language": "en", "return_timestamps": true}));
    let whole = generate(&whisper, &["longer"], &asked).unwrap();
    let asked = asked.cancel(handle.clone()).with_processor(Cancelling(handle, Arc::default()));
    let part = generate(&whisper, &["longer"], &asked).unwrap();
    assert!(part[0].cancelled && !whole[0].cancelled);
    let count = part[0].windows.len();
    assert!(count > 0 && count < whole[0].windows.len());
    assert_eq!(part[0].windows, whole[0].windows[..count]);
    assert!(generate(&whisper, &["short"], &asked).unwrap()[0].cancelled);
}

#[test]
fn mistakes_are_told() {
    let fields = |fields: Value| whisper(fields.as_object().unwrap());
    let option = |result: Result<Vec<Transcription>>| match result {
        Err(Error::InvalidOption { option, reason }) => (option, reason),
        other => panic!("{other:?}"),
    };
    let cases = [
        (
            json!({"alignment_heads": null}),
            json!({"return_token_timestamps": true}),
            "no `alignment_heads`",
        ),
        (json!({"alignment_heads": [[7, 0]]}), json!({"return_token_timestamps": true}), "7"),
        (json!({}), json!({"language": "frensh"}), "did you mean \"french\""),
        (json!({}), json!({"language": ["en", "fr"]}), "2 languages for 1"),
        (json!({"is_multilingual": false}), json!({"task": "translate"}), "English alone"),
        (json!({}), json!({"prompt_condition_type": "all-segments"}), "condition_on_prev_tokens"),
        (json!({}), json!({"max_new_tokens": 1000}), "1000 new tokens"),
        (
            json!({"no_timestamps_token_id": null}),
            json!({"return_timestamps": true}),
            "writes none",
        ),
    ];
    for (of_model, of_call, message) in cases {
        let found = generate(&fields(of_model.clone()), &["short"], &options(of_call.clone()));
        let error = found.unwrap_err().to_string();
        assert!(error.contains(message), "{of_model}, {of_call}: {error}");
    }
    let short = fields(json!({"return_timestamps": false}));
    let (name, reason) = option(generate(&short, &["long"], &WhisperOptions::default()));
    assert!(name == "return_timestamps" && reason.contains("30 seconds"), "{reason}");
    let empty = AudioFeatures::new(Vec::new(), 8, 0).unwrap();
    let nothing = plain().generate(&[Arc::new(empty)], &WhisperOptions::default()).unwrap();
    assert!(nothing[0].segments.is_empty());
    assert!(plain().generate(&[], &WhisperOptions::default()).unwrap().is_empty());
    let narrow = AudioFeatures::new(vec![0.0; 700], 7, 100).unwrap();
    assert!(plain().generate(&[Arc::new(narrow)], &WhisperOptions::default()).is_err());
}
