//! `automatic-speech-recognition` against Python's, on the tiny checkpoints of
//! `tests/goldens/make_speech_pipelines.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sconce::audio::{Audio, FeatureExtractor, WavSamples};
use sconce::generation::CancelHandle;
use sconce::models::AutoModel;
use sconce::models::speech::Ctc;
use sconce::pipeline::{
    AudioInput, AudioProgressCall, AutomaticSpeechRecognitionOptions,
    AutomaticSpeechRecognitionPipeline, Input, Pipeline, Progress, ReturnTimestamps, StrideLength,
    TaskName,
};
use sconce::speech::ctc::{CtcBeamOptions, CtcTokenizer};
use sconce::speech::transcript::Transcript;
use sconce::{LoadOptions, ModelSource};
use serde_json::{Map, Value, json};

#[path = "support/recording.rs"]
mod recording;

use recording::recording;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

/// The pipeline of a golden, and its calls.
fn golden(name: &str) -> (tempfile::TempDir, Pipeline, Vec<Value>) {
    let folder = goldens().join("speech_pipelines").join(name);
    let text = fs::read_to_string(folder.join("golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let checkpoint = tempfile::tempdir().unwrap();
    let tokenizer = golden["tokenizer"].as_str().map(|tokenizer| goldens().join(tokenizer));
    for folder in [folder].into_iter().chain(tokenizer) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != "golden.json" {
                fs::copy(&path, checkpoint.path().join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let task: TaskName = golden["task"].as_str().unwrap().parse().unwrap();
    let source = ModelSource::directory(checkpoint.path());
    let pipeline = Pipeline::open(task, source, LoadOptions::default()).unwrap();
    (checkpoint, pipeline, golden["calls"].as_array().unwrap().clone())
}

fn whisper() -> (tempfile::TempDir, AutomaticSpeechRecognitionPipeline) {
    let (folder, pipeline, _) = golden("whisper");
    let Pipeline::AutomaticSpeechRecognition(pipeline) = pipeline else { panic!() };
    (folder, pipeline)
}

fn options(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Where two results differ; numbers may by so much.
fn difference(expected: &Value, found: &Value, most: f64) -> Option<String> {
    let differs = || Some(format!("{found}, not {expected}"));
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            let near = (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < most;
            if near { None } else { differs() }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| difference(a, b, most))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(name, a)| match b.get(name) {
                Some(b) => difference(a, b, most).map(|what| format!("{name}: {what}")),
                None => differs(),
            })
        }
        (a, b) if a == b => None,
        _ => differs(),
    }
}

#[test]
fn what_whisper_writes_is_pythons() {
    outputs_are_pythons("whisper");
}

#[test]
fn what_models_of_letters_write_is_pythons() {
    outputs_are_pythons("letters");
}

fn outputs_are_pythons(name: &str) {
    let (_folder, pipeline, calls) = golden(name);
    calls_are_pythons(name, &pipeline, &calls);
}

/// A search over letters, whole and in chunks whose strides are left out: `make_letters_searched.py`.
#[test]
fn searches_write_what_pythons_do() {
    let (_folder, pipeline, _) = golden("letters");
    let text =
        fs::read_to_string(goldens().join("speech_pipelines/letters_searched.json")).unwrap();
    let searched: Value = serde_json::from_str(&text).unwrap();
    calls_are_pythons("searched", &pipeline, searched["calls"].as_array().unwrap());
}

fn calls_are_pythons(name: &str, pipeline: &Pipeline, calls: &[Value]) {
    let mut wrong = Vec::new();
    for call in calls {
        let recordings = call["recordings"].as_array().unwrap().iter().map(|one| {
            let length = one["length"].as_u64().unwrap() as usize;
            Input::from(recording(one["seed"].as_u64().unwrap(), length))
        });
        let mut inputs: Vec<_> = recordings.collect();
        let input = if inputs.len() == 1 { inputs.remove(0) } else { Input::List(inputs) };
        let outcome = pipeline.call(input, options(&call["options"])).map(|output| output.json);
        // How Whisper's attention rounds decides where a word ends: a frame sooner or later.
        let of_words = name == "whisper" && call["options"]["return_timestamps"] == "word";
        let most = if of_words { 0.0201 } else { 1e-6 };
        let problem = match (call.get("output"), outcome) {
            (Some(expected), Ok(found)) => difference(expected, &found, most),
            (Some(_), Err(error)) => Some(error.to_string()),
            (None, Ok(found)) => Some(format!("no error but {found}")),
            (None, Err(error)) if !error.is_caller_error() => Some(format!("{error:?}")),
            (None, Err(_)) => None,
        };
        wrong.extend(problem.map(|problem| {
            format!("{name} {} {}: {problem}", call["recordings"], call["options"])
        }));
    }
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn timed() -> AutomaticSpeechRecognitionOptions {
    AutomaticSpeechRecognitionOptions::default().return_timestamps(ReturnTimestamps::Segments)
}

#[test]
fn a_recording_is_the_same_in_every_form() {
    let (folder, pipeline) = whisper();
    let audio = recording(2, 120_000);
    let path = folder.path().join("recording.wav");
    // In 32 bits, as it is.
    audio.write(fs::File::create(&path).unwrap(), WavSamples::Float32).unwrap();
    let expected = pipeline.run_with(audio.clone(), &timed()).unwrap();
    assert!(expected.segments.len() > 1 && !expected.text.is_empty());
    let bytes = fs::read(&path).unwrap();
    for input in [AudioInput::from(path.as_path()), bytes.into()] {
        assert_eq!(pipeline.run_with(input, &timed()).unwrap(), expected);
    }
    let json = |input: Value| {
        let options = options(&json!({"return_timestamps": true}));
        Pipeline::from(pipeline.clone()).call(input, options).unwrap().json
    };
    let samples = &audio.samples;
    let found = json(json!({"raw": samples, "sampling_rate": 16_000}));
    assert_eq!(found["text"], expected.text);
    assert_eq!(json(json!({"array": samples, "sampling_rate": 16_000, "path": "x"})), found);
    assert_eq!(json(json!(samples)), found);
    assert_eq!(json(json!([path, samples])), json!([found, found]));
    // Two channels, whichever stands first, are mixed.
    let frames: Vec<_> = samples.iter().map(|sample| [*sample, *sample]).collect();
    assert_eq!(json(json!({"raw": [samples, samples], "sampling_rate": 16_000})), found);
    assert_eq!(json(json!({"raw": frames, "sampling_rate": 16_000})), found);
    // What stands beside the samples comes back.
    let marked = json(json!({"raw": samples, "sampling_rate": 16_000, "id": 3}));
    assert_eq!((&marked["id"], &marked["chunks"]), (&json!([3]), &found["chunks"]));
}

#[test]
fn whole_numbers_are_samples_of_16_bits() {
    let (_folder, pipeline) = whisper();
    let whole: Vec<i32> =
        recording(1, 32_000).samples.iter().map(|x| (x * 32_768.0).round() as i32).collect();
    let scaled: Vec<f32> = whole.iter().map(|x| *x as f32 / 32_768.0).collect();
    let read = |samples: Value| {
        let input = json!({"raw": samples, "sampling_rate": 16_000});
        Pipeline::from(pipeline.clone()).call(input, Map::new()).unwrap().json
    };
    assert_eq!(read(json!(whole)), read(json!(scaled)));
}

/// `decoder_kwargs` search in what the model says of each frame: a search that is one prefix wide writes what
/// the likeliest letters do, and a wide one what the search by itself finds.
#[test]
fn letters_are_searched() {
    let (folder, pipeline, _) = golden("letters");
    let Pipeline::AutomaticSpeechRecognition(pipeline) = pipeline else { panic!() };
    let files = ModelSource::directory(folder.path()).open().unwrap();
    let tokenizer = CtcTokenizer::open(&files).unwrap();
    let model = AutoModel::from_files::<dyn Ctc>(&files, &LoadOptions::default()).unwrap();
    let extractor = FeatureExtractor::from_files(&files).unwrap();
    for seed in 1..6 {
        let audio = recording(seed, 48_000);
        let features = extractor.extract(&audio.samples, 16_000).unwrap();
        let logits = model.logits(&[&features]).unwrap();
        let search = CtcBeamOptions::default();
        let expected = tokenizer.beams(&logits[0], &search).unwrap().swap_remove(0);
        let asked = AutomaticSpeechRecognitionOptions::default()
            .decoder_kwargs(search.clone())
            .return_timestamps(ReturnTimestamps::Word);
        let found = pipeline.run_with(audio.clone(), &asked).unwrap();
        assert_eq!(found.text, expected.text);
        let words = &found.segments[0].words;
        assert_eq!(words.len(), expected.words.len());
        for (word, expected) in words.iter().zip(&expected.words) {
            let time = |frame: usize| Some(frame as f64 * 320.0 / 16_000.0);
            assert_eq!((word.start, word.end), (time(expected.start), time(expected.end)));
        }
        // In chunks, of which each has all of the others as context.
        let chunked = asked.chunk_length_s(2.0).ignore_warning(true);
        assert!(!pipeline.run_with(audio.clone(), &chunked).unwrap().text.is_empty());
        // Called as Python is.
        let given =
            options(&json!({"decoder_kwargs": {"beam_width": 100, "token_min_logp": -5.0}}));
        let called = Pipeline::from(pipeline.clone()).call(Input::from(audio), given).unwrap();
        assert_eq!(called.json["text"], expected.text);
    }
    let refused = |pipeline: Pipeline, given: Value| {
        let error = pipeline.call(Input::from(recording(1, 8000)), options(&given)).unwrap_err();
        assert!(error.is_caller_error(), "{error:?}");
        error.to_string()
    };
    for (given, expected) in [
        (json!({"decoder_kwargs": {"beam_widht": 3}}), "beam_width"),
        (json!({"decoder_kwargs": {"beam_width": 0}}), "width"),
        (json!({"decoder_kwargs": {}, "return_timestamps": "char"}), "return_timestamps"),
    ] {
        let found = refused(pipeline.clone().into(), given);
        assert!(found.contains(expected), "{found}");
    }
    let found = refused(whisper().1.into(), json!({"decoder_kwargs": {"beam_width": 3}}));
    assert!(found.contains("decoder_kwargs") && found.contains("num_beams"), "{found}");
}

fn streamed(
    pipeline: &AutomaticSpeechRecognitionPipeline,
    audio: &Audio,
    options: &AutomaticSpeechRecognitionOptions,
) -> Transcript {
    let segments = pipeline.stream_segments(audio.clone(), options).unwrap();
    Transcript::of(segments.collect::<Result<Vec<_>, _>>().unwrap())
}

#[test]
fn segments_come_as_they_are_written() {
    let (_folder, pipeline) = whisper();
    let audio = recording(2, 120_000);
    let chunked = timed().chunk_length_s(2.0).ignore_warning(true);
    for options in [chunked.clone(), chunked.return_timestamps(ReturnTimestamps::Word)] {
        let whole = pipeline.run_with(audio.clone(), &options).unwrap();
        assert_eq!(streamed(&pipeline, &audio, &options).text, whole.text);
    }
    let whole = pipeline.run_with(audio.clone(), &timed()).unwrap();
    assert_eq!(streamed(&pipeline, &audio, &timed()).text, whole.text);
    let mut stream = pipeline.stream_segments(audio, &timed()).unwrap();
    assert_eq!((stream.progress().done, stream.progress().total), (0.0, 7.5));
    stream.next().unwrap().unwrap();
    assert!(stream.progress().done > 0.0);
    // Nothing more after a cancel but what was written before.
    stream.cancel_handle().cancel();
    assert!(stream.all(|segment| segment.is_ok()));
}

#[test]
fn many_recordings_give_what_each_gives_alone() {
    let (_folder, pipeline) = whisper();
    let recordings: Vec<_> = [(1, 32_000), (2, 120_000), (3, 8_000)]
        .map(|(seed, length)| recording(seed, length))
        .into();
    let expected: Vec<_> =
        recordings.iter().map(|one| pipeline.run_with(one.clone(), &timed()).unwrap()).collect();
    let done = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&done);
    let options = timed()
        .batch_size(2)
        .progress(Progress::call(move |done, _| told.lock().unwrap().push(done)));
    assert_eq!(pipeline.run_batch(recordings, &options).unwrap(), expected);
    assert_eq!(done.lock().unwrap().last(), Some(&3));
}

#[test]
fn progress_is_told_in_seconds_of_audio() {
    let (_folder, pipeline) = whisper();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let options = timed().audio_progress(AudioProgressCall::new(move |progress| {
        tell.lock().unwrap().push((progress.done, progress.total));
    }));
    pipeline.run_with(recording(2, 120_000), &options).unwrap();
    let told = told.lock().unwrap();
    assert!(told.is_sorted_by(|a, b| a.0 <= b.0));
    assert_eq!(told.last(), Some(&(7.5, 7.5)));
}

#[test]
fn a_cancelled_call_returns_what_was_transcribed() {
    let (_folder, pipeline) = whisper();
    let cancel = CancelHandle::default();
    cancel.cancel();
    let output = pipeline.run_with(recording(2, 120_000), &timed().cancel(cancel)).unwrap();
    assert_eq!(output.text, "");
}

#[test]
fn languages_come_by_name() {
    let (_folder, pipeline) = whisper();
    let call = |options: Value| {
        let input = Input::from(recording(1, 32_000));
        Pipeline::from(pipeline.clone()).call(input, self::options(&options)).unwrap().json
    };
    let plain = call(json!({"language": "french"}));
    let with = call(json!({"language": "french", "return_language": true}));
    assert_eq!(with["text"], plain["text"]);
    let chunks = with["chunks"].as_array().unwrap();
    let texts = chunks.iter().map(|chunk| chunk["text"].as_str().unwrap());
    assert_eq!(texts.collect::<String>(), plain["text"].as_str().unwrap());
    let is_plain =
        |chunk: &Value| chunk["language"] == "french" && chunk.get("timestamp").is_none();
    assert!(chunks.iter().all(is_plain), "{with}");
    let timed = call(json!({"language": "fr", "return_language": true, "return_timestamps": true}));
    assert!(timed["chunks"].as_array().unwrap().iter().all(|one| one["language"] == "french"));
    let options = AutomaticSpeechRecognitionOptions::default().language("fr");
    let output = pipeline.run_with(recording(1, 32_000), &options).unwrap();
    assert_eq!(output.language.as_deref(), Some("french"));
}

#[test]
fn wrong_calls_are_told_what_is_wrong() {
    let (_folder, pipeline) = whisper();
    let call = |input: Input, options: Value| {
        let pipeline = Pipeline::from(pipeline.clone());
        pipeline.call(input, self::options(&options)).unwrap_err().to_string()
    };
    let audio = || Input::from(recording(1, 16_000));
    for (options, expected) in [
        (json!({"chunk_length_s": 4}), "Whisper reads 3 seconds at once"),
        (json!({"chunk_length_s": -1}), "no number of seconds"),
        (json!({"chunk_length_s": 1, "stride_length_s": [0.5, 0.5]}), "`stride_length_s`"),
        (json!({"stride_length_s": "long"}), "a number of seconds, or two"),
        (json!({"return_timestamps": "sentence"}), "\"word\" or \"char\""),
        (json!({"return_timestamps": "char"}), "not of characters"),
        (json!({"batch_size": 0}), "at least 1"),
        (json!({"generate_kwargs": {"languag": "en"}}), "language"),
        (json!({"language": ["en", "de"]}), "one for all recordings"),
        (json!({"chunk_lenth_s": 1}), "no such option"),
    ] {
        let message = call(audio(), options);
        assert!(message.contains(expected), "{message}");
    }
    for (input, expected) in [
        (json!("http://example.org/a.mp3"), "download it"),
        (json!("./no-such-file.mp3"), "no-such-file.mp3"),
        (json!({"raw": [0.1, "a"], "sampling_rate": 16_000}), "a sample"),
        (json!({"raw": [0.1]}), "`sampling_rate`"),
        (json!({"raw": [0.1], "sampling_rate": 0}), "sampling rate of 0"),
        (json!({"raw": [0.1], "sampling_rate": 16_000, "stride": [1, 1]}), "only 1"),
        (json!({"raw": [[0.1], [0.1, 0.2]], "sampling_rate": 16_000}), "differ in length"),
        (json!(7), "the path of an audio file"),
    ] {
        let message = call(input.into(), json!({}));
        assert!(message.contains(expected), "{message}");
    }
    let both = AudioInput::with_stride(recording(1, 16_000), 10, 10);
    let chunked = timed().chunk_length_s(1.0).stride_length_s(StrideLength::Both(0.1));
    let message = pipeline.run_with(both, &chunked).unwrap_err().to_string();
    assert!(message.contains("leave one out"), "{message}");
}

#[test]
fn a_recording_without_samples_says_nothing_in_chunks() {
    let (_folder, pipeline) = whisper();
    let empty = Audio::new(Vec::new(), 16_000).unwrap();
    let chunked = timed().chunk_length_s(2.0).ignore_warning(true);
    assert_eq!(pipeline.run_with(empty.clone(), &chunked).unwrap(), Transcript::default());
    // As Python's, it is 30 seconds of silence without.
    pipeline.run_with(empty, &timed()).unwrap();
}

#[test]
fn models_that_write_letters_refuse_options_of_generation() {
    let (_folder, pipeline, _) = golden("letters");
    for (options, expected) in [
        (json!({"num_beams": 2}), "`num_beams`"),
        (json!({"language": "en"}), "`language`"),
        (json!({"return_timestamps": true}), "`\"char\"`"),
    ] {
        let input = Input::from(recording(1, 16_000));
        let message = pipeline.call(input, self::options(&options)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    // A recording that is too short for a frame.
    let short = Input::from(recording(1, 100));
    assert!(pipeline.call(short, Map::new()).unwrap_err().is_caller_error());
}

#[test]
fn letters_have_times_and_context_is_left_out() {
    let (_folder, pipeline, _) = golden("letters");
    let Pipeline::AutomaticSpeechRecognition(pipeline) = pipeline else { panic!() };
    let options =
        AutomaticSpeechRecognitionOptions::default().return_timestamps(ReturnTimestamps::Char);
    let audio = recording(5, 48_000);
    let whole = pipeline.run_with(audio.clone(), &options).unwrap();
    assert_eq!(streamed(&pipeline, &audio, &options), whole);
    let inner =
        pipeline.run_with(AudioInput::with_stride(audio, 16_000, 16_000), &options).unwrap();
    let last = inner.words().last().unwrap().end.unwrap();
    assert!(inner.text.len() < whole.text.len() && last <= 1.0, "{inner:?}");
}
