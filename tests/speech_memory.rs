//! What is in memory while long recordings are transcribed in chunks, whole, and letter by letter: how much of it
//! grows with their length, counted by the allocator.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Mutex;

use sconce::audio::{Audio, WavSamples};
use sconce::pipeline::{
    AudioInput, AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, Pipeline,
    ReturnTimestamps,
};
use sconce::speech::ctc::CtcBeamOptions;
use sconce::{LoadOptions, ModelSource};

#[path = "support/counted.rs"]
mod counted;
#[path = "support/recording.rs"]
mod recording;

use counted::most_of;
use recording::recording;

/// Tests count one after the other.
static ALONE: Mutex<()> = Mutex::new(());

const RATE: usize = 16_000;

fn pipeline(name: &str) -> (tempfile::TempDir, AutomaticSpeechRecognitionPipeline) {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let folder = tempfile::tempdir().unwrap();
    let mut from = vec![goldens.join("speech_pipelines").join(name)];
    if name == "whisper" {
        from.push(goldens.join("transcripts/tokenizer"));
    }
    for entry in from.iter().flat_map(|from| fs::read_dir(from).unwrap()) {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let source = ModelSource::directory(folder.path());
    let built = Pipeline::automatic_speech_recognition(source).options(LoadOptions::default());
    (folder, built.build().unwrap())
}

/// A recording of so many seconds as a wav file of 16 bits.
fn file(folder: &Path, seconds: usize) -> std::path::PathBuf {
    let path = folder.join(format!("{seconds}.wav"));
    let audio = Audio::new(recording(3, 10 * RATE).samples.repeat(seconds / 10), RATE as u32);
    audio.unwrap().write(File::create(&path).unwrap(), WavSamples::Int16).unwrap();
    path
}

/// The bytes that a call takes at most, beyond those before it.
fn most(
    pipeline: &AutomaticSpeechRecognitionPipeline,
    input: AudioInput,
    options: &AutomaticSpeechRecognitionOptions,
) -> usize {
    most_of(|| pipeline.run_with(input, options).unwrap()).1
}

/// How many bytes more a second of sound takes, from a shorter and a longer recording.
fn bytes_per_second(
    pipeline: &AutomaticSpeechRecognitionPipeline,
    options: &AutomaticSpeechRecognitionOptions,
    [short, long]: [usize; 2],
) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [short, long].map(|seconds| file(folder.path(), seconds));
    // What is made once is there before.
    most(pipeline, first.as_path().into(), options);
    let of_short = most(pipeline, first.into(), options);
    let of_long = most(pipeline, second.into(), options);
    println!("{short} s: {of_short} bytes, {long} s: {of_long} bytes");
    (of_long as f64 - of_short as f64) / (long - short) as f64
}

fn chunked() -> AutomaticSpeechRecognitionOptions {
    let mut options =
        AutomaticSpeechRecognitionOptions::default().chunk_length_s(3.0).ignore_warning(true);
    options.generate.generation.num_beams = Some(1);
    options.generate.generation.max_new_tokens = Some(3);
    options
}

/// 150 MB of an hour are so many bytes for each second. Samples alone would be 64,000, and the features of all chunks
/// of a model with 80 bands 48,000.
const ALLOWED: f64 = 41_000.0;

/// What is written about a second, which is kept.
const MOST_OF_A_SECOND: f64 = 8_000.0;

#[test]
fn chunks_are_in_memory_one_batch_at_a_time() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_folder, whisper) = pipeline("whisper");
    let grows = bytes_per_second(&whisper, &chunked(), [20, 80]);
    assert!(grows < MOST_OF_A_SECOND, "{grows} bytes for each second");
}

#[test]
fn letters_are_written_chunk_by_chunk() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_folder, letters) = pipeline("letters");
    let mut options = chunked();
    options.generate = Default::default();
    let grows = bytes_per_second(&letters, &options, [20, 80]);
    assert!(grows < MOST_OF_A_SECOND, "{grows} bytes for each second");
    // A search keeps what the model says of each frame, and the prefixes that were tried.
    let search = CtcBeamOptions::default().beam_width(2).token_min_logp(-1.0);
    let grows = bytes_per_second(&letters, &options.decoder_kwargs(search), [20, 80]);
    assert!(grows < ALLOWED, "{grows} bytes for each second");
}

#[test]
fn a_whole_recording_is_in_memory_once_as_features() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_folder, whisper) = pipeline("whisper");
    let mut options = chunked();
    options.chunk_length_s = None;
    options.return_timestamps = Some(ReturnTimestamps::Segments);
    // 100 frames of 16 bands.
    let features = 100.0 * 16.0 * 4.0;
    let grows = bytes_per_second(&whisper, &options, [20, 80]);
    assert!(grows < features + MOST_OF_A_SECOND, "{grows} bytes for each second");
}

#[test]
fn the_bytes_of_a_file_are_not_copied() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (_folder, whisper) = pipeline("whisper");
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(file(folder.path(), 120)).unwrap();
    let length = bytes.len();
    most(&whisper, bytes.clone().into(), &chunked());
    let of_file = most(&whisper, file(folder.path(), 120).into(), &chunked());
    let of_bytes = most(&whisper, bytes.into(), &chunked());
    // The bytes are the caller's, and there before.
    assert!(of_bytes < of_file + length / 4, "{of_bytes} bytes, and {of_file} of the file");
}
