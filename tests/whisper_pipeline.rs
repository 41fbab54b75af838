//! `automatic-speech-recognition` with the real weights of Whisper tiny, against Python's
//! (`tests/goldens/make_whisper_pipeline.py`).
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sconce::audio::Audio;
use sconce::pipeline::{Input, Pipeline, Task};
use sconce::speech::transcript::{Transcript, TranscriptFormat, TranscriptOptions};
use sconce::{CachePrecision, LoadOptions, ModelSource, Precision};
use serde_json::Value;

#[path = "support/packages.rs"]
mod packages;
#[path = "support/whisper.rs"]
mod whisper;

fn pipeline() -> Pipeline {
    let options = LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32);
    let source = ModelSource::directory(whisper::whisper_tiny().unwrap());
    Pipeline::open(Task::AutomaticSpeechRecognition, source, options).unwrap()
}

/// The recording, or several of it with 7 seconds of silence between.
fn recording(times: usize) -> Audio {
    let jfk: Vec<f32> = whisper::jfk_samples().unwrap();
    let samples = vec![jfk; times].join(&[0.0; 7 * 16_000][..]);
    Audio::new(samples, 16_000).unwrap()
}

#[test]
fn what_whisper_tiny_writes_is_pythons() {
    let pipeline = pipeline();
    let cases: Value =
        serde_json::from_str(include_str!("goldens/speech_pipelines/whisper_tiny.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let audio = recording(case["times"].as_u64().unwrap() as usize);
        let options = case["options"].as_object().unwrap().clone();
        let found = pipeline.call(Input::from(audio), options).unwrap().json;
        let expected = &case["output"];
        assert_eq!(found["text"], expected["text"], "{case}");
        let chunks = |output: &Value| output["chunks"].as_array().cloned().unwrap_or_default();
        let (found, expected) = (chunks(&found), chunks(expected));
        assert_eq!(found.len(), expected.len(), "{case}");
        let is_words = case["options"]["return_timestamps"] == "word";
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found["text"], expected["text"]);
            for side in [0, 1] {
                let time = |chunk: &Value| chunk["timestamp"][side].as_f64();
                match (time(found), time(expected)) {
                    (Some(found), Some(expected)) => {
                        let most = if is_words { 0.0201 } else { 1e-6 };
                        assert!((found - expected).abs() < most, "{found}, not {expected}: {case}");
                    }
                    (found, expected) => assert_eq!(found, expected, "{case}"),
                }
            }
        }
    }
}

#[test]
fn a_recording_becomes_subtitles() {
    let options =
        serde_json::json!({ "return_timestamps": true, "num_beams": 1, "language": "en" });
    let options = options.as_object().unwrap().clone();
    let output = pipeline().call(Input::from(recording(1)), options).unwrap().json;
    let segments = output["chunks"].as_array().unwrap().iter().map(|chunk| {
        let time = |side: usize| chunk["timestamp"][side].as_f64().unwrap();
        sconce::speech::transcript::Segment::new(chunk["text"].as_str().unwrap())
            .between(time(0), time(1))
    });
    let srt = Transcript::of(segments)
        .to_text(TranscriptFormat::Srt, &TranscriptOptions::default())
        .unwrap();
    assert!(srt.starts_with("1\n00:00:00,000 --> 00:00:"), "{srt}");
    assert!(srt.contains("\nAnd so my fellow Americans"), "{srt}");
}
