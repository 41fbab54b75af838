//! Kokoro-82M and a voice of Piper, real weights: what onnxruntime computes with the files that hold them for ONNX, and what
//! the package kokoro computes. `tests/goldens/make_real_voices.py` wrote the expected values.
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
    generated: Vec<Generated>,
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
struct Generated {
    voice: String,
    phonemes: usize,
    frames: usize,
    scale: f32,
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
fn kokoro_computes_what_the_references_do() {
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
        // With the same random numbers, how loud each 600 samples are: at the same places, and as loud in all.
        let loud = |frame: &[f32]| (frame.iter().map(|x| x * x).sum::<f32>() / 600.0).sqrt();
        let found: Vec<f32> = stages.waveform.chunks(600).map(loud).collect();
        let expected: Vec<f32> = arrays[&format!("kokoro.{number}.loud")].to_vec1().unwrap();
        let product = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
        let both = product(&found, &expected);
        let cosine = both / (product(&found, &found) * product(&expected, &expected)).sqrt();
        let ratio = both / product(&expected, &expected);
        eprintln!("{}: the cosine of loudness is {cosine}, the ratio {ratio}", case.phonemes);
        assert!(cosine > 0.99, "{}: the cosine of loudness is {cosine}", case.phonemes);
        assert!((ratio - 1.0).abs() < 0.1, "{}: {ratio} times as loud", case.phonemes);
    }
}

/// With random numbers for all that goes in.
#[test]
fn kokoro_makes_the_samples_of_a_given_source() {
    let files = ModelSource::directory(voices::kokoro().unwrap()).open().unwrap();
    let model = KokoroModel::from_files(&files, &LoadOptions::default()).unwrap();
    let (Expected { generated, .. }, arrays) = expected();
    for case in generated {
        let (frames, spectra) = (case.frames, 60 * case.frames + 1);
        let mut generator = Generator::seed(0);
        let tensor = |numbers: Vec<f32>, shape: (usize, usize)| {
            Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
        };
        let decoded = tensor(generator.randn(frames * 512), (frames, 512));
        let decoded = (decoded * f64::from(case.scale)).unwrap();
        let magnitudes = tensor(generator.randn(spectra * 11), (spectra, 11)).abs().unwrap();
        let phases = tensor(generator.rand(spectra * 11), (spectra, 11));
        let phases = ((phases - 0.5).unwrap() * 6.0).unwrap();
        let source = Tensor::cat(&[magnitudes, phases], 1).unwrap();
        let found = model.generate(&decoded, &source, &case.voice, case.phonemes).unwrap();
        expect_close(&found, &arrays["generated"], 1e-3, "samples of a given source");
        let error = model.generate(&decoded, &decoded, &case.voice, case.phonemes).unwrap_err();
        assert!(error.is_caller_error(), "{error}");
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
