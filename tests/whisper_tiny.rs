//! The real weights of Whisper tiny and tiny.en, from folders and from a file of whisper.cpp, against the
//! numbers the Python reference computed with them.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use serde::Deserialize;
use serde_json::Value;

use sconce::audio::FeatureExtractor;
use sconce::models::speech::SpeechSeq2Seq;
use sconce::models::{AutoModel, LogitsAt, TraceRequest, save};
use sconce::tokenizer::Tokenizer;
use sconce::{CachePrecision, Error, LoadOptions, ModelSource, Precision, QuantLevel, TokenBatch};

#[path = "support/packages.rs"]
mod packages;
#[path = "support/whisper.rs"]
mod whisper;

/// `tests/goldens/speech/whisper_tiny.json`, by `make_whisper_tiny.py`.
#[derive(Deserialize)]
struct Golden {
    frames: Vec<usize>,
    channels: Vec<usize>,
    tiny: Expected,
    #[serde(rename = "tiny.en")]
    tiny_en: Expected,
}

#[derive(Deserialize)]
struct Expected {
    prompt: Vec<u32>,
    /// Of the encoder, at some frames some channels.
    states: Vec<Vec<f32>>,
    /// The largest behind the prompt, with their ids.
    logits: Vec<(usize, f32)>,
    /// What the decoder goes on with by the largest logit, to the end.
    ids: Vec<u32>,
    heads: Vec<(usize, usize)>,
    /// For each of these heads the frame that each id attended to most when it was chosen.
    attended: Vec<Vec<usize>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("goldens/speech/whisper_tiny.json")).unwrap()
}

fn exact() -> LoadOptions {
    LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32)
}

fn open(source: &Path, options: &LoadOptions) -> Arc<dyn SpeechSeq2Seq> {
    AutoModel::open::<dyn SpeechSeq2Seq>(source, options).unwrap()
}

#[test]
fn whisper_tiny_is_the_references() {
    let golden = golden();
    for source in [whisper::whisper_tiny().unwrap(), whisper::whisper_tiny_ggml().unwrap()] {
        compare(&source, &golden, &golden.tiny);
    }
}

#[test]
fn whisper_tiny_en_is_the_references() {
    let golden = golden();
    compare(&whisper::whisper_tiny_en().unwrap(), &golden, &golden.tiny_en);
}

fn compare(source: &Path, golden: &Golden, expected: &Expected) {
    let files = ModelSource::from(source).open().unwrap();
    let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(&files, &exact()).unwrap();
    let extractor = FeatureExtractor::from_files(&files).unwrap();
    let features = extractor.extract(&whisper::jfk_samples().unwrap(), 16_000).unwrap();
    let states = model.hidden_states(&[&features]).unwrap()[0].to_vec2::<f32>().unwrap();
    assert_eq!(states.len(), 1500);
    for (&frame, expected) in golden.frames.iter().zip(&expected.states) {
        for (&channel, &expected) in golden.channels.iter().zip(expected) {
            let found = states[frame][channel];
            let near = (found - expected).abs() < 2e-3 * expected.abs().max(1.0);
            assert!(near, "frame {frame}, channel {channel}: {found}, not {expected}");
        }
    }
    let encoded = model.encode(&[&features]).unwrap();
    let mut cache = encoded.fork().unwrap();
    let (mut batch, mut ids) = (TokenBatch::single(&expected.prompt).unwrap(), Vec::new());
    while ids.len() < expected.ids.len() {
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap();
        let logits = logits.to_vec2::<f32>().unwrap().remove(0);
        if ids.is_empty() {
            for &(id, expected) in &expected.logits {
                assert!(
                    (logits[id] - expected).abs() < 2e-3,
                    "{id}: {}, not {expected}",
                    logits[id]
                );
            }
        }
        let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
        ids.push(best as u32);
        batch = TokenBatch::single(&[best as u32]).unwrap();
    }
    assert_eq!(ids, expected.ids);
    // All of it once more, for the attention of some heads.
    let request = TraceRequest {
        logits: LogitsAt::LastToken,
        hidden_states: Vec::new(),
        hidden_at: LogitsAt::LastToken,
        attentions: false,
        source_heads: expected.heads.clone(),
    };
    let all = [expected.prompt.as_slice(), &ids[..ids.len() - 1]].concat();
    let (batch, mut cache) = (TokenBatch::single(&all).unwrap(), encoded);
    let trace = model.trace_with(&batch, &mut cache, &request, &|| Ok(())).unwrap();
    for (shares, expected_frames) in trace.source_heads.iter().zip(&expected.attended) {
        let shares = shares.get(0).unwrap().to_vec2::<f32>().unwrap();
        for (shares, &frame) in shares[expected.prompt.len() - 1..].iter().zip(expected_frames) {
            let most = shares.iter().copied().fold(0.0, f32::max);
            assert!(shares[frame] > 0.99 * most, "{frame}: {} of {most}", shares[frame]);
        }
    }
}

/// What whisper.cpp's file leaves out is put together again.
#[test]
fn a_file_of_whisper_cpp_is_the_folder_it_was_made_from() {
    let folder = whisper::whisper_tiny().unwrap();
    let source = whisper::whisper_tiny_ggml().unwrap();
    let files = ModelSource::from(source.as_path()).open().unwrap();
    let from_folder = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let from_file = |name: &str| -> Value {
        let path = files.optional(name).unwrap().unwrap();
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let (found, expected) = (from_file("tokenizer.json"), from_folder("tokenizer.json"));
    for part in ["added_tokens", "pre_tokenizer", "decoder"] {
        assert_eq!(found[part], expected[part], "{part}");
    }
    let pairs = |tokenizer: &Value| -> Vec<String> {
        let merges = tokenizer["model"]["merges"].as_array().unwrap().iter();
        let text = |merge: &Value| match merge {
            Value::Array(pair) => {
                format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap())
            }
            merge => merge.as_str().unwrap().to_owned(),
        };
        merges.map(text).collect()
    };
    assert!(found["model"]["vocab"] == expected["model"]["vocab"], "another vocabulary");
    assert!(pairs(&found) == pairs(&expected), "other merges");
    for (name, but) in [
        ("config.json", ["_name_or_path", "forced_decoder_ids", "suppress_tokens"].as_slice()),
        // The export of 2023 lets a text begin in its first 20 ms only.
        ("generation_config.json", &["max_initial_timestamp_index", "prev_sot_token_id"]),
        ("preprocessor_config.json", &[]),
        ("tokenizer_config.json", &[]),
    ] {
        let (found, expected) = (from_file(name), from_folder(name));
        for (field, value) in found.as_object().unwrap() {
            let skipped = but.contains(&field.as_str()) || expected.get(field).is_none();
            assert!(skipped || expected[field] == *value, "{name}: {field} is {value}");
        }
        assert!(found.as_object().unwrap().len() > 8, "{name}");
    }
    let [from_file, from_folder] =
        [source.as_path(), folder.as_path()].map(|source| Tokenizer::open(source).unwrap());
    for text in [
        " And so my fellow Americans, ask not what your country can do for you.",
        "Don't — naïve café 12,345.67 \u{1f600}\n\n  x",
        "これは日本語です。 Ну вот. 你好世界",
        "<|startoftranscript|><|de|><|transcribe|> Guten Tag<|endoftext|>",
    ] {
        let [found, expected] =
            [&from_file, &from_folder].map(|tokenizer| tokenizer.encode(text).unwrap().ids);
        assert_eq!(found, expected, "{text}");
    }
    let temporary = files.optional("config.json").unwrap().unwrap();
    assert!(files.optional("merges.txt").unwrap().is_none());
    drop(files);
    assert!(!temporary.exists());
}

/// Saved as a folder, it is the same model again, quantized or not.
#[test]
fn a_file_of_whisper_cpp_is_saved_as_a_folder() {
    let files = ModelSource::from(whisper::whisper_tiny_ggml().unwrap()).open().unwrap();
    let there = tempfile::tempdir().unwrap();
    let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(
        &files,
        &LoadOptions::default().quantize(QuantLevel::Q8_0).cache(CachePrecision::F32),
    );
    let model = model.unwrap();
    let to = there.path().join("saved");
    save(&files, model.inventory(), &to).unwrap();
    let again = open(&to, &LoadOptions::default().cache(CachePrecision::F32));
    assert_eq!(again.inventory().bytes_by_precision(), model.inventory().bytes_by_precision());
    let features = FeatureExtractor::from_files(&files).unwrap();
    let features = features.extract(&whisper::jfk_samples().unwrap()[..16_000], 16_000).unwrap();
    let logits = |model: &dyn SpeechSeq2Seq| {
        let batch = TokenBatch::single(&golden().tiny.prompt).unwrap();
        let mut cache = model.encode(&[&features]).unwrap();
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap();
        logits.to_vec2::<f32>().unwrap()
    };
    assert!(logits(&*model) == logits(&*again), "other logits");
    assert!(Tokenizer::open(to.as_path()).is_ok());
}

/// The blocks of a file stay as they are, and give what the dense weights nearly do.
#[test]
fn quantized_files_of_whisper_cpp_are_close_to_dense_ones() {
    let there = tempfile::tempdir().unwrap();
    let path = there.path().join("ggml-tiny-quantized.bin");
    let dense = whisper::whisper_tiny_ggml().unwrap();
    let features = FeatureExtractor::from_files(&ModelSource::from(&*dense).open().unwrap());
    let samples = whisper::jfk_samples().unwrap();
    let features = features.unwrap().extract(&samples, 16_000).unwrap();
    let logits = |source: &Path| -> Vec<f32> {
        let model = open(source, &LoadOptions::default().cache(CachePrecision::F32));
        let batch = TokenBatch::single(&golden().tiny.prompt).unwrap();
        let mut cache = model.encode(&[&features]).unwrap();
        let logits = model.forward(&batch, &mut cache, LogitsAt::LastToken).unwrap();
        logits.to_vec2::<f32>().unwrap().remove(0)
    };
    let expected = logits(&dense);
    for (kind, number, bound) in
        [(GgmlDType::Q8_0, 8, 0.05), (GgmlDType::Q5_1, 7, 0.2), (GgmlDType::Q5_0, 6, 0.2)]
    {
        whisper::quantized_ggml(kind, number, &path).unwrap();
        let found = logits(&path);
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>();
        let apart = square(&mut found.iter().zip(&expected).map(|(found, it)| found - it));
        let apart = (apart / square(&mut expected.iter().copied())).sqrt();
        assert!(apart > 0.0 && apart < bound, "{kind:?}: {apart}");
    }
}

/// Each is one clear error.
#[test]
fn a_broken_file_of_whisper_cpp_is_refused() {
    let there = tempfile::tempdir().unwrap();
    let path = there.path().join("ggml-broken.bin");
    let mut whole = File::open(whisper::whisper_tiny_ggml().unwrap()).unwrap();
    let size = whole.metadata().unwrap().len();
    let mut head = vec![0; 800_000];
    whole.read_exact(&mut head).unwrap();
    // Up to the first tensors, and no further.
    for length in [4, 10, 47, 48, 60, 64_000, 64_500, 500_000, 799_999] {
        fs::write(&path, &head[..length]).unwrap();
        let error = ModelSource::from(path.as_path()).open().unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{length}: {error}");
        assert!(error.to_string().contains("cut off"), "{length}: {error}");
    }
    // Each of the sizes, the filters, the number of words, the length of the first.
    let filters = 48 + 8 + 80 * 201 * 4;
    for (at, value) in
        (4..52).step_by(4).flat_map(|at| [(at, 0), (at, u32::MAX), (at, 99)]).chain([
            (48, u32::MAX),
            (filters, 7),
            (filters, u32::MAX),
            (filters + 4, u32::MAX),
            (filters + 4, 70_000),
        ])
    {
        let mut bytes = head.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        let error = ModelSource::from(path.as_path()).open().unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{at}, {value}: {error}");
    }
    // Sizes that its tensors do not have.
    fs::copy(whisper::whisper_tiny_ggml().unwrap(), &path).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    for (at, value, reason) in [(4 + 4 * 4, 5_u32, "encoder"), (4 + 4, 1499, "positional")] {
        let before = u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&value.to_le_bytes()).unwrap();
        let error = AutoModel::open::<dyn SpeechSeq2Seq>(path.as_path(), &exact()).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&before.to_le_bytes()).unwrap();
    }
    file.set_len(size - 1).unwrap();
    let error = ModelSource::from(path.as_path()).open().unwrap_err().to_string();
    assert!(error.contains("cut off") && error.contains("ggml-broken.bin"), "{error}");
    fs::write(&path, "lm").unwrap();
    let error = ModelSource::from(PathBuf::from(&path)).open().unwrap_err();
    assert!(matches!(error, Error::Malformed { .. }), "{error}");
}
