//! Who speaks: vectors of voices against those of the Python reference (`tests/goldens/make_speakers.py`), turns that
//! are made of them, and what they are in transcripts and minutes.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::f32::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use sconce::audio::{Audio, AudioFeatures, FeatureExtractor, Wav2Vec2FeatureExtractor};
use sconce::minutes::Utterance;
use sconce::models::speech::{Ctc, SpeakerEncoder};
use sconce::models::{AutoModel, Model};
use sconce::pipeline::{
    AutomaticSpeechRecognitionOptions, Input, Pipeline, ReturnTimestamps, SpeakersOf,
};
use sconce::speech::speakers::{Diarizer, SpeakerTurn, VoiceDiarizer, VoiceDiarizerOptions};
use sconce::speech::transcript::{Segment, Transcript, Word};
use sconce::weights::Inventory;
use sconce::{LoadOptions, ModelSource, Result};

#[path = "support/recording.rs"]
mod recording;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn model(folder: &Path) -> Arc<dyn SpeakerEncoder> {
    AutoModel::open::<dyn SpeakerEncoder>(folder, &LoadOptions::default().device(Device::Cpu))
        .unwrap()
}

/// `inputs` of `make_ctc.py`.
fn features(inputs: usize, seed: usize) -> AudioFeatures {
    let number = |at: usize| {
        let noise = ((at * 7919 + seed * 104_729) % 1009) as f64 / 1009.0 - 0.5;
        let (at, seed) = (at as f64, seed as f64);
        let wave = (0.031 * (seed + 1.0) * at).sin() + 0.5 * (0.0017 * at + seed).sin();
        (wave + 0.4 * noise) as f32
    };
    AudioFeatures::new((0..inputs).map(number).collect(), 1, inputs).unwrap()
}

#[test]
fn vectors_of_voices_are_those_of_the_reference() {
    let folders = fs::read_dir(goldens().join("speakers")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut count = 0;
    for folder in folders {
        let text = fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let arrays =
            candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu);
        let arrays = arrays.unwrap();
        let model = model(&folder);
        assert_eq!(model.embedding_size(), expected["size"].as_u64().unwrap() as usize);
        let rows: Vec<_> = expected["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                features(
                    row["inputs"].as_u64().unwrap() as usize,
                    row["seed"].as_u64().unwrap() as usize,
                )
            })
            .collect();
        // Together, each as alone.
        let found = model.speaker_embeddings(&rows.iter().collect::<Vec<_>>()).unwrap();
        for number in 0..rows.len() {
            let expected: Vec<f32> = arrays[&number.to_string()].to_vec1().unwrap();
            let found: Vec<f32> = found.get(number).unwrap().to_vec1().unwrap();
            let most = expected.iter().fold(1.0_f32, |most, x| most.max(x.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                let apart = (found - expected).abs() / most;
                assert!(apart < 1e-4, "{}: {found}, not {expected}", folder.display());
            }
        }
        let short = features(1_000, 0);
        let error = model.speaker_embeddings(&[&short]).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains("too short"), "{error}");
        count += 1;
    }
    assert_eq!(count, 3);
    // A model with another head is told.
    let other = goldens().join("ctc/wavlm-base-tiny");
    let error = AutoModel::open::<dyn SpeakerEncoder>(other.as_path(), &LoadOptions::default());
    assert!(error.unwrap_err().to_string().contains("XVector"));
    let voices = goldens().join("speakers/wavlm-tiny");
    assert!(AutoModel::open::<dyn Ctc>(voices.as_path(), &LoadOptions::default()).is_err());
}

/// A voice that changes between two vowels, with a short silence after each two.
fn voice(pitch: f32, vowels: [f32; 2], seconds: f32) -> Vec<f32> {
    (0..(seconds * 16_000.0) as usize)
        .map(|at| {
            let t = at as f32 / 16_000.0;
            if t % 0.3 > 0.21 {
                return 0.0;
            }
            let vowel = vowels[(t / 0.15) as usize % 2];
            let harmonics = (1..30).map(|harmonic| {
                let frequency = pitch * harmonic as f32;
                let level = 0.1 / (1.0 + ((frequency - vowel) / 200.0).powi(2));
                level * (TAU * frequency * t).sin()
            });
            harmonics.sum()
        })
        .collect()
}

/// Tells voices by how often they cross zero; what else a model is, it borrows.
#[derive(Debug)]
struct Crossings(Arc<dyn SpeakerEncoder>);

impl Model for Crossings {
    fn device(&self) -> &Device {
        self.0.device()
    }

    fn inventory(&self) -> &Inventory {
        self.0.inventory()
    }
}

impl SpeakerEncoder for Crossings {
    fn embedding_size(&self) -> usize {
        2
    }

    fn speaker_embeddings(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        let vector = |row: &&AudioFeatures| {
            let crossings = row.values().windows(2).filter(|two| two[0] * two[1] < 0.0).count();
            let angle = (4.0 * crossings as f32 / row.frames() as f32).min(1.0) * TAU / 4.0;
            [3.0 * angle.cos(), 3.0 * angle.sin()]
        };
        let values: Vec<f32> = rows.iter().flat_map(vector).collect();
        Ok(Tensor::from_vec(values, (rows.len(), 2), &Device::Cpu)?)
    }
}

#[test]
fn two_voices_take_turns() {
    let model = Arc::new(Crossings(model(&goldens().join("speakers/wav2vec2-tiny"))));
    let extractor =
        FeatureExtractor::Wav2Vec2(Wav2Vec2FeatureExtractor::new(Default::default()).unwrap());
    let options = VoiceDiarizerOptions::default().num_speakers(2);
    let diarizer = VoiceDiarizer::new(model, extractor).options(options.clone());
    let mut samples = Vec::new();
    for turn in 0..4 {
        samples.extend(match turn % 2 {
            0 => voice(110.0, [400.0, 900.0], 4.0),
            _ => voice(230.0, [2_000.0, 3_000.0], 3.0),
        });
        samples.resize(samples.len() + 12_000, 0.0);
    }
    let audio = Audio::new(samples, 16_000).unwrap();
    let turns = diarizer.diarize(&audio).unwrap();
    let speakers: Vec<_> = turns.iter().map(|turn| turn.speaker.as_str()).collect();
    assert_eq!(speakers, ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00", "SPEAKER_01"], "{turns:?}");
    let expected = [(0.0, 4.0), (4.75, 7.75), (8.5, 12.5), (13.25, 16.25)];
    for (turn, (start, end)) in turns.iter().zip(expected) {
        let apart = (turn.start - start).abs().max((turn.end - end).abs());
        assert!(apart < 0.2, "{turn:?}");
    }
    // At another rate, and where nobody speaks.
    assert_eq!(diarizer.diarize(&audio.clone().resampled(8_000).unwrap()).unwrap().len(), 4);
    let silence = Audio::new(vec![0.0; 32_000], 16_000).unwrap();
    assert!(diarizer.diarize(&silence).unwrap().is_empty());
    let one = diarizer.clone().options(VoiceDiarizerOptions::default().num_speakers(1));
    assert!(one.diarize(&audio).unwrap().iter().all(|turn| turn.speaker == "SPEAKER_00"));
    for (wrong, name) in [
        (VoiceDiarizerOptions::default().num_speakers(0), "num_speakers"),
        (VoiceDiarizerOptions::default().threshold(3.0), "threshold"),
        (VoiceDiarizerOptions::default().window_s(0.0), "window_s"),
        (VoiceDiarizerOptions::default().step_s(f64::NAN), "step_s"),
    ] {
        let error = diarizer.clone().options(wrong).diarize(&audio).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(name), "{error}");
    }
}

/// Knows who speaks by the clock.
struct ByTheClock(f64);

impl Diarizer for ByTheClock {
    fn diarize(&self, audio: &Audio) -> Result<Vec<SpeakerTurn>> {
        let end = audio.samples.len() as f64 / f64::from(audio.sampling_rate);
        Ok(vec![SpeakerTurn::new("Anna", 0.0, self.0), SpeakerTurn::new("Ben", self.0, end)])
    }
}

#[test]
fn transcripts_name_speakers() {
    let folder = goldens().join("speech_pipelines/letters");
    let source = ModelSource::directory(folder);
    let pipeline = Pipeline::automatic_speech_recognition(source).build().unwrap();
    let audio = recording::recording(5, 48_000);
    let asked = AutomaticSpeechRecognitionOptions::default()
        .return_timestamps(ReturnTimestamps::Char)
        .diarizer(SpeakersOf::new(ByTheClock(1.5)));
    let whole = pipeline.run_with(audio.clone(), &asked).unwrap();
    let expected = |word: &Word| {
        let (start, end) = (word.start.unwrap(), word.end.unwrap());
        // Who begins first, of two who speak as long.
        let first = (1.5_f64.min(end) - start).max(0.0);
        if first >= end - start - first { "Anna" } else { "Ben" }
    };
    assert!(whole.words().any(|word| word.speaker.as_deref() == Some("Ben")));
    for word in whole.words().filter(|word| word.start < word.end) {
        assert_eq!(word.speaker.as_deref(), Some(expected(word)), "{word:?}");
    }
    let streamed = pipeline.stream_segments(audio.clone(), &asked).unwrap();
    let streamed = Transcript::of(streamed.collect::<Result<Vec<_>, _>>().unwrap());
    assert_eq!(streamed.segments, whole.segments);
    // Without times there is nobody to name.
    let none =
        AutomaticSpeechRecognitionOptions::default().diarizer(SpeakersOf::new(ByTheClock(1.0)));
    let error = pipeline.run_with(audio.clone(), &none).unwrap_err().to_string();
    assert!(error.contains("diarizer") && error.contains("return_timestamps"), "{error}");
    let options: Map<String, Value> =
        serde_json::from_value(json!({"return_timestamps": "char"})).unwrap();
    let plain = Pipeline::from(pipeline).call(Input::from(audio), options).unwrap().json;
    assert!(plain["chunks"][0].get("speaker").is_none());
}

#[test]
fn minutes_know_who_said_what() {
    let words = [(" Good", 0.0, 0.5), (" morning.", 0.5, 1.0), (" Hello.", 1.2, 2.0)];
    let words = words.map(|(text, start, end)| Word::new(text, start, end));
    let first = Segment::new(" Good morning. Hello.").between(0.0, 2.0).with_words(words);
    let second = Segment::new(" Let us begin.").between(2.0, 4.0);
    let mut transcript = Transcript::of([first, second, Segment::new(" Yes.")]);
    let turns = [SpeakerTurn::new("Anna", 0.0, 1.1), SpeakerTurn::new("Ben", 1.1, 4.0)];
    transcript.assign_speakers(&turns);
    let said: Vec<Utterance> = (&transcript).into();
    let told: Vec<_> =
        said.iter().map(|it| (it.speaker.as_deref(), it.text.as_str(), it.start)).collect();
    let expected = [
        (Some("Anna"), "Good morning.", 0.0),
        (Some("Ben"), "Hello.", 1.2),
        (Some("Ben"), "Let us begin.", 2.0),
        (None, "Yes.", 4.0),
    ];
    assert_eq!(told, expected);
    // In JSON and back.
    let json = serde_json::to_value(&transcript).unwrap();
    assert_eq!(json["segments"][0]["words"][2]["speaker"], "Ben");
    assert_eq!(serde_json::from_value::<Transcript>(json).unwrap(), transcript);
}
