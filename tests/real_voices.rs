//! Kokoro-82M and a voice of Piper, real weights: what onnxruntime computes with the files that hold them for ONNX.
//! `tests/goldens/make_real_voices.py` wrote the expected values.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::models::speech::{KokoroModel, SpeechRequest};
use sconce::pipeline::TextToSpeechOptions;
use sconce::random::Generator;
use sconce::{LoadOptions, ModelSource, Pipeline};

#[path = "support/onnx.rs"]
mod onnx;
#[path = "support/packages.rs"]
mod packages;
#[path = "support/real_voices.rs"]
mod voices;

#[derive(Deserialize)]
struct Expected {
    kokoro: Vec<Kokoro>,
    piper: Vec<Piper>,
}

#[derive(Deserialize)]
struct Kokoro {
    voice: String,
    speed: f64,
    phonemes: String,
    ids: Vec<u32>,
    frames: Vec<usize>,
    samples: usize,
}

#[derive(Deserialize)]
struct Piper {
    phonemes: String,
    ids: Vec<u32>,
    samples: usize,
}

fn golden(ending: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/real_voices.{ending}"))
}

fn expected() -> (Expected, HashMap<String, Tensor>) {
    let cases = serde_json::from_str(&fs::read_to_string(golden("json")).unwrap()).unwrap();
    let arrays = candle_core::safetensors::load(golden("safetensors"), &Device::Cpu).unwrap();
    (cases, arrays)
}

/// Up to so much of the largest value.
fn expect_close(found: &[f32], expected: &Tensor, tolerance: f32, what: &str) {
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let apart = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0_f32, f32::max);
    eprintln!("{what}: {apart} apart, the largest is {largest}");
    assert!(apart <= tolerance * largest, "{what}: {apart} apart, the largest is {largest}");
}

#[test]
fn kokoro_computes_what_onnxruntime_does() {
    let files = ModelSource::directory(voices::kokoro().unwrap()).open().unwrap();
    let model = KokoroModel::from_files(&files, &LoadOptions::default()).unwrap();
    let (Expected { kokoro, .. }, arrays) = expected();
    for (number, case) in kokoro.iter().enumerate() {
        let request = SpeechRequest::default().voice(case.voice.as_str()).speed(case.speed);
        let mut generator = Generator::seed(0);
        let stages = model.stages(&case.ids, &request, &mut generator, &|| Ok(())).unwrap();
        assert_eq!(stages.frames, case.frames, "{}", case.phonemes);
        assert_eq!(stages.waveform.len(), case.samples);
        let check = |name: &str, found: &[f32], tolerance: f32| {
            let array = &arrays[&format!("kokoro.{number}.{name}")];
            expect_close(found, array, tolerance, &format!("{}: {name}", case.phonemes));
        };
        check("pitch", &stages.pitch, 1e-3);
        check("energy", &stages.energy, 1e-3);
        let every = |count: usize, step: usize| {
            let places: Vec<u32> = (0..count as u32).step_by(step).collect();
            Tensor::new(places, &Device::Cpu).unwrap()
        };
        let (frames, channels) = stages.decoded.dims2().unwrap();
        let decoded = stages.decoded.index_select(&every(frames, 4), 0).unwrap();
        let decoded = decoded.index_select(&every(channels, 8), 1).unwrap();
        check("decoded", &decoded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), 1e-3);
        // The source has noise here, which the file for ONNX has not: it is as loud at the same places, about.
        let loud = |frame: &[f32]| (frame.iter().map(|x| x * x).sum::<f32>() / 600.0).sqrt();
        let found: Vec<f32> = stages.waveform.chunks(600).map(loud).collect();
        let expected: Vec<f32> = arrays[&format!("kokoro.{number}.loud")].to_vec1().unwrap();
        let product = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let lengths = product(&found, &found) * product(&expected, &expected);
        let cosine = product(&found, &expected) / lengths.sqrt();
        eprintln!("{}: the cosine of loudness is {cosine}", case.phonemes);
        assert!(cosine > 0.99, "{}: the cosine of loudness is {cosine}", case.phonemes);
    }
}

#[test]
fn a_voice_of_piper_sounds_as_by_onnxruntime() {
    let voice = Pipeline::text_to_speech(voices::joe().unwrap().as_path()).build().unwrap();
    let (Expected { piper, .. }, arrays) = expected();
    let request = SpeechRequest::default().noise_scale(0.0).noise_scale_duration(0.0);
    let options = TextToSpeechOptions::default().forward_params(request).phonemes(true);
    for (number, case) in piper.iter().enumerate() {
        let read = voice.reader().read(&case.phonemes, true, None).unwrap();
        assert_eq!(read[0].ids, case.ids);
        let spoken = voice.run_with(case.phonemes.as_str(), &options).unwrap();
        assert_eq!(spoken.sampling_rate, 22_050);
        assert_eq!(spoken.audio.samples.len(), case.samples);
        let every: Vec<f32> = spoken.audio.samples.iter().copied().step_by(8).collect();
        let array = &arrays[&format!("piper.{number}.waveform")];
        expect_close(&every, array, 1e-3, &case.phonemes);
    }
    let read = voice.reader().read("həlˈoʊ § wˈɜːld", true, None).unwrap();
    assert_eq!(read[0].unknown.iter().collect::<String>(), "§");
}
