//! Silence, noise and music give no invented sentences: ten such clips, with the real Whisper tiny.
//!
//! ```text
//! cargo test --release --features audio --test invented_words -- --nocapture
//! ```
//!
//! with `SCONCE_CLIPS=FOLDER` prints how many words are written about each without voice activity and with both
//! detectors, and writes the clips there, for other programs (`tests/goldens/invented_words.py`).
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::path::Path;

use sconce::audio::Audio;
use sconce::pipeline::{
    AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, Pipeline,
    ReturnTimestamps,
};
use sconce::speech::activity::{
    EnergyDetector, SileroVad, VoiceActivityDetector, VoiceActivityOptions, speech_timestamps,
    speech_windows,
};
use sconce::{CachePrecision, LoadOptions, ModelSource, Precision};

#[path = "support/clips.rs"]
mod clips;
#[path = "support/packages.rs"]
mod packages;
#[path = "support/whisper.rs"]
mod whisper;

use clips::RATE;

/// The text about a recording.
fn text(whisper: &AutomaticSpeechRecognitionPipeline, samples: Vec<f32>) -> String {
    // As the pipeline of Python does it, which is told to write times.
    let options = AutomaticSpeechRecognitionOptions::default()
        .return_timestamps(ReturnTimestamps::Segments)
        .language("english");
    whisper.run_with(Audio::new(samples, RATE as u32).unwrap(), &options).unwrap().text
}

/// The text about what a detector takes for speech.
fn text_of_speech(
    whisper: &AutomaticSpeechRecognitionPipeline,
    detector: &dyn VoiceActivityDetector,
    samples: &[f32],
) -> String {
    let options = VoiceActivityOptions::default();
    let spans = speech_timestamps(detector, samples, RATE as u32, &options).unwrap();
    let windows = speech_windows(&spans, 30 * RATE).unwrap();
    windows.iter().map(|window| text(whisper, window.collect(samples))).collect()
}

#[test]
fn no_words_are_invented() {
    let options = LoadOptions::default().dtype(Precision::F32).cache(CachePrecision::F32);
    let source = ModelSource::directory(whisper::whisper_tiny().unwrap());
    let whisper = Pipeline::automatic_speech_recognition(source).options(options).build().unwrap();
    let silero = packages::silero_vad().unwrap().join("silero_vad_16k.safetensors");
    let silero = SileroVad::from_file(silero).unwrap();
    let words = |text: &str| text.split_whitespace().count();
    let folder = env::var("SCONCE_CLIPS").ok();
    let mut sums = [0; 3];
    for (name, samples) in clips::clips() {
        let heard = text_of_speech(&whisper, &silero, &samples);
        assert_eq!(heard, "", "{name}");
        let Some(folder) = &folder else { continue };
        let audio = Audio::new(samples.clone(), RATE as u32).unwrap();
        audio.save(Path::new(folder).join(format!("{name}.wav"))).unwrap();
        let by_energy = text_of_speech(&whisper, &EnergyDetector::default(), &samples);
        let texts = [text(&whisper, samples), by_energy, heard];
        let found = texts.each_ref().map(|text| words(text));
        println!("{name}: {found:?} {texts:?}");
        sums.iter_mut().zip(found).for_each(|(sum, words)| *sum += words);
    }
    if folder.is_some() {
        println!("words: all {}, by energy {}, by Silero {}", sums[0], sums[1], sums[2]);
    }
}
