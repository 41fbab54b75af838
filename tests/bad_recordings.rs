//! Recordings that are none, broken or strange, through the whole pipeline: each gives one clear error, or a text.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/wav.rs"]
mod wav;

use std::fs;
use std::path::{Path, PathBuf};

use sconce::audio::Audio;
use sconce::pipeline::{
    AudioInput, AutomaticSpeechRecognitionOptions, AutomaticSpeechRecognitionPipeline, Pipeline,
    ReturnTimestamps,
};
use sconce::{Error, LoadOptions, ModelSource, Result};
use serde_json::{Value, json};
use wav::wav;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// A pipeline of a tiny checkpoint, whose generation config may be changed before.
fn pipeline(
    name: &str,
    change: impl FnOnce(&mut Value),
) -> (tempfile::TempDir, AutomaticSpeechRecognitionPipeline) {
    let folder = tempfile::tempdir().unwrap();
    let mut from = vec![goldens().join("speech_pipelines").join(name)];
    if name == "whisper" {
        from.push(goldens().join("transcripts/tokenizer"));
    }
    for entry in from.iter().flat_map(|from| fs::read_dir(from).unwrap()) {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = folder.path().join("generation_config.json");
    if let Ok(text) = fs::read_to_string(&config) {
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        fs::write(&config, value.to_string()).unwrap();
    }
    let source = ModelSource::directory(folder.path());
    let built = Pipeline::automatic_speech_recognition(source).options(LoadOptions::default());
    (folder, built.build().unwrap())
}

fn greedy() -> AutomaticSpeechRecognitionOptions {
    let mut options = AutomaticSpeechRecognitionOptions::default().ignore_warning(true);
    options.generate.generation.num_beams = Some(1);
    options.generate.generation.max_new_tokens = Some(4);
    options
}

/// Whole, in chunks and segment by segment; of a model that writes letters, in chunks.
fn every_way(
    whisper: &AutomaticSpeechRecognitionPipeline,
    letters: &AutomaticSpeechRecognitionPipeline,
    input: &AudioInput,
) -> Vec<Result<String>> {
    let chunked = greedy().chunk_length_s(2.0);
    let text = |found: Result<sconce::speech::transcript::Transcript>| found.map(|it| it.text);
    let mut plain = chunked.clone();
    plain.generate = Default::default();
    let streamed = whisper
        .stream_segments(input.clone(), &chunked)
        .and_then(|stream| stream.map(|segment| Ok(segment?.text)).collect::<Result<Vec<_>>>());
    vec![
        text(whisper.run_with(input.clone(), &greedy())),
        text(whisper.run_with(input.clone(), &chunked)),
        streamed.map(|texts| texts.concat()),
        text(letters.run_with(input.clone(), &plain)),
    ]
}

/// A second of a tone, from -1 to 1.
fn tone() -> impl Iterator<Item = f32> {
    (0..16_000).map(|at| (at as f32 * 0.13).sin() * 0.5)
}

fn of_16_bits(channels: u16) -> Vec<u8> {
    let frame = |sample: f32| ((sample * 32_768.0) as i16).to_le_bytes().repeat(channels.into());
    tone().flat_map(frame).collect()
}

#[test]
fn what_is_no_sound_is_one_error_each_way() {
    let ((_w, whisper), (_l, letters)) = (pipeline("whisper", |_| {}), pipeline("letters", |_| {}));
    let film = fs::read(goldens().join("audio/no_sound.mp4")).unwrap();
    let whole = of_16_bits(1);
    let not_numbers: Vec<u8> =
        tone().map(|x| if x > 0.49 { f32::NAN } else { x }).flat_map(f32::to_le_bytes).collect();
    for (name, bytes, words) in [
        ("empty", Vec::new(), "the file is empty"),
        ("a film without sound", film, "no audio track"),
        ("1 Hz", wav(1, 1, 1, 16, 32_000, &whole), "is 1 Hz the right sampling rate?"),
        ("no numbers", wav(3, 1, 16_000, 32, 64_000, &not_numbers), "of the audio is NaN"),
    ] {
        for (way, found) in every_way(&whisper, &letters, &bytes.into()).into_iter().enumerate() {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(words), "{name}, way {way}: {error}");
        }
    }
    // As a program's own samples.
    let audio = Audio::new(vec![0.0, f32::NAN], 16_000).unwrap_err();
    assert!(audio.is_caller_error() && audio.to_string().contains("NaN"), "{audio}");
    // One of several does not take the others with it.
    let inputs = [AudioInput::from(wav(1, 1, 16_000, 16, 32_000, &whole)), Vec::new().into()];
    let found: Vec<_> = whisper
        .stream(inputs.clone().into_iter().chain(inputs), &greedy().chunk_length_s(2.0))
        .unwrap()
        .map(|found| found.is_ok())
        .collect();
    assert_eq!(found, [true, false, true, false]);
}

#[test]
fn strange_files_are_read_to_their_end() {
    let ((_w, whisper), (_l, letters)) = (pipeline("whisper", |_| {}), pipeline("letters", |_| {}));
    let whole = of_16_bits(1);
    let of_24: Vec<u8> =
        tone().flat_map(|x| ((x * 8_388_608.0) as i32).to_le_bytes().into_iter().take(3)).collect();
    let of_float: Vec<u8> = tone().flat_map(f32::to_le_bytes).collect();
    let texts = |bytes: Vec<u8>| -> Vec<String> {
        let found = every_way(&whisper, &letters, &bytes.into());
        found.into_iter().map(Result::unwrap).collect()
    };
    let expected = texts(wav(1, 1, 16_000, 16, 32_000, &whole));
    for (name, bytes) in [
        ("a header that states too much", wav(1, 1, 16_000, 16, 3_200_000, &whole)),
        ("a header that states nothing", wav(1, 1, 16_000, 16, 0, &whole)),
        ("six channels", wav(1, 6, 16_000, 16, 192_000, &of_16_bits(6))),
    ] {
        assert_eq!(texts(bytes), expected, "{name}");
    }
    // Other numbers of bits round otherwise; of 8 the text may be another.
    let of_8: Vec<u8> = tone().map(|x| (x * 128.0 + 128.0) as u8).collect();
    for bytes in [
        wav(1, 1, 16_000, 24, 48_000, &of_24),
        wav(3, 1, 16_000, 32, 64_000, &of_float),
        wav(1, 1, 16_000, 8, 16_000, &of_8),
    ] {
        texts(bytes);
    }
    let cut = fs::read(goldens().join("audio/mono_22050.mp3")).unwrap();
    let half = texts(cut[..cut.len() / 2].to_vec());
    assert_eq!(half.len(), 4);
}

#[test]
fn what_a_model_cannot_do_is_told() {
    let (_folder, whisper) = pipeline("whisper", |config| {
        config.as_object_mut().unwrap().remove("alignment_heads");
    });
    let input = || AudioInput::from(wav(1, 1, 16_000, 16, 32_000, &of_16_bits(1)));
    let words = greedy().return_timestamps(ReturnTimestamps::Word);
    for options in [words.clone(), words.chunk_length_s(2.0)] {
        let error = whisper.run_with(input(), &options).unwrap_err();
        assert!(
            error.is_caller_error() && error.to_string().contains("alignment_heads"),
            "{error}"
        );
    }
    // A name with a letter too few.
    let error = whisper.run_with(input(), &greedy().language("germn")).unwrap_err();
    let Error::InvalidOption { option, reason } = &error else { panic!("{error:?}") };
    assert!(option == "language" && reason.contains("germn"), "{reason}");
    let called = Pipeline::from(whisper).call(
        json!(goldens().join("audio/pcm_s16.wav")),
        serde_json::from_value(json!({"language": "germn"})).unwrap(),
    );
    assert!(called.unwrap_err().to_string().contains("germn"));
}
