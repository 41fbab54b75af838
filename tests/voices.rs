//! Every tiny model that speaks in `tests/goldens/voices` against the numbers the Python reference computed with the
//! same weights and the same random numbers, and the pipeline `text-to-speech` on them.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use sconce::generation::CancelHandle;
use sconce::models::speech::{SpeechRequest, SpeechT5ForTextToSpeech, SpeechT5HifiGan, VitsModel};
use sconce::pipeline::{Media, SpokenSpan, TextToSpeechOptions, TextToSpeechPipeline};
use sconce::random::Generator;
use sconce::{Error, LoadOptions, ModelSource, Pipeline, Task};

/// One folder.
struct Golden {
    folder: PathBuf,
    cases: Vec<Case>,
    arrays: HashMap<String, Tensor>,
}

/// `expected.json`.
#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    seed: u64,
    ids: Vec<u32>,
    options: SpeechRequest,
}

impl Golden {
    fn open(name: &str) -> Self {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/voices");
        let folder = goldens.join(name);
        let expected = fs::read_to_string(folder.join("expected.json")).unwrap();
        let Expected { cases } = serde_json::from_str(&expected).unwrap();
        let arrays = folder.join("expected.safetensors");
        let arrays = candle_core::safetensors::load(arrays, &Device::Cpu).unwrap();
        Self { folder, cases, arrays }
    }

    fn numbers(&self, case: usize, stage: &str) -> Vec<f32> {
        self.arrays[&format!("{case}.{stage}")].flatten_all().unwrap().to_vec1().unwrap()
    }

    fn pipeline(&self) -> TextToSpeechPipeline {
        let builder = Pipeline::text_to_speech(self.folder.as_path());
        let vocoder = self.folder.join("vocoder");
        if vocoder.exists() { builder.vocoder(vocoder.as_path()) } else { builder }.build().unwrap()
    }
}

const VITS: [&str; 4] = ["vits-tiny", "vits-speakers-tiny", "vits-certain-tiny", "vits-small-tiny"];
const SPEECHT5: [&str; 2] = ["speecht5-tiny", "speecht5-three-tiny"];

fn expect_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    let apart = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0_f32, f32::max);
    assert!(apart <= tolerance * largest, "{what}: {apart} apart, the largest is {largest}");
}

#[test]
fn every_stage_of_vits_is_that_of_the_reference() {
    for name in VITS {
        let golden = Golden::open(name);
        let files = ModelSource::directory(&golden.folder).open().unwrap();
        let model = VitsModel::from_files(&files, &LoadOptions::default()).unwrap();
        for (number, case) in golden.cases.iter().enumerate() {
            let mut generator = Generator::seed(case.seed);
            let stages =
                model.stages(&case.ids, &case.options, &mut generator, &|| Ok(())).unwrap();
            let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (stage, found) in [
                ("hidden_states", flat(&stages.hidden_states)),
                ("prior_means", flat(&stages.prior_means)),
                ("prior_log_variances", flat(&stages.prior_log_variances)),
                ("log_durations", stages.log_durations.clone()),
                ("spectrogram", flat(&stages.spectrogram)),
                ("waveform", stages.waveform.clone()),
            ] {
                let tolerance = if stage == "waveform" { 1e-3 } else { 1e-4 };
                let what = format!("{name}, case {number}, {stage}");
                expect_close(&found, &golden.numbers(number, stage), tolerance, &what);
            }
        }
    }
}

#[test]
fn spectrograms_of_speecht5_are_those_of_the_reference() {
    for name in SPEECHT5 {
        let golden = Golden::open(name);
        let files = ModelSource::directory(&golden.folder).open().unwrap();
        let model = SpeechT5ForTextToSpeech::from_files(&files, &LoadOptions::default()).unwrap();
        for (number, case) in golden.cases.iter().enumerate() {
            let mut generator = Generator::seed(case.seed);
            let found =
                model.spectrogram(&case.ids, &case.options, &mut generator, &|| Ok(())).unwrap();
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let what = format!("{name}, case {number}");
            expect_close(&found, &golden.numbers(number, "spectrogram"), 1e-4, &what);
        }
    }
}

#[test]
fn texts_become_the_ids_and_the_samples_of_the_reference() {
    for name in VITS.into_iter().chain(SPEECHT5) {
        let golden = Golden::open(name);
        let pipeline = golden.pipeline();
        for (number, case) in golden.cases.iter().enumerate() {
            let ids = &pipeline.reader().read(&case.text, false, None).unwrap()[0].ids;
            assert_eq!(ids, &case.ids, "{name}: {:?}", case.text);
            let options =
                TextToSpeechOptions::default().forward_params(case.options.clone()).seed(case.seed);
            let spoken = pipeline.run_with(case.text.as_str(), &options).unwrap();
            let what = format!("{name}, case {number}");
            expect_close(&spoken.audio.samples, &golden.numbers(number, "waveform"), 1e-3, &what);
            let part = &spoken.parts[0];
            assert_eq!(part.end, spoken.audio.samples.len());
            // SpeechT5 does not know.
            assert_eq!(part.symbols.is_empty(), name.starts_with("speecht5"));
            let spans = part.words.iter().chain(&part.symbols);
            assert!(spans.into_iter().all(|span| span.start <= span.end && span.end <= part.end));
            let letters = |spans: &[SpokenSpan]| -> String {
                spans.iter().map(|span| span.text.as_str()).collect()
            };
            assert_eq!(letters(&part.words), letters(&part.symbols));
        }
    }
}

#[test]
fn characters_that_the_voice_does_not_know_are_named() {
    let pipeline = Golden::open("vits-tiny").pipeline();
    let read = pipeline.reader().read("a, é… b", false, None).unwrap();
    assert_eq!(read[0].unknown.iter().collect::<String>(), ",é…");
    for text in ["", "   ", "?!…"] {
        let error = pipeline.run(text).unwrap_err();
        assert!(error.to_string().contains("nothing to speak"), "{text:?}: {error}");
    }
}

#[test]
fn a_task_of_either_name_gives_sound_beside_json() {
    let golden = Golden::open("vits-tiny");
    let [speech, audio] = ["text-to-speech", "text-to-audio"].map(|name| name.parse().unwrap());
    assert_eq!((speech, audio), (Task::TextToSpeech, Task::TextToAudio));
    let pipeline = Pipeline::open(audio, golden.folder.as_path(), LoadOptions::default()).unwrap();
    assert_eq!(pipeline.task(), Task::TextToSpeech);
    let options =
        |options: Value| -> Map<String, Value> { serde_json::from_value(options).unwrap() };
    let seed = json!({"seed": golden.cases[0].seed});
    let texts = json!([golden.cases[0].text, "a"]);
    let output = pipeline.call(texts, options(seed)).unwrap();
    assert_eq!(output.json[1]["sampling_rate"], 16_000);
    let [Media::Audio(first), Media::Audio(second)] = &output.media[..] else {
        panic!("{:?}", output.media)
    };
    expect_close(&first.samples, &golden.numbers(0, "waveform"), 1e-3, "the first text");
    assert!(!second.samples.is_empty());
    for (wrong, place) in [
        (json!({"generate_kwargs": {"threshold": 0.5}}), "generate_kwargs"),
        (json!({"forward_params": {"speaker_id": 0}}), "speaker_id"),
        (json!({"forward_params": {"speaking_rate": 0.0}}), "speaking_rate"),
        (json!({"forward_params": {"speaker": 0}}), "speaker"),
        (json!({"forward_params": {"noise_scale": -1.0}}), "noise_scale"),
        (json!({"pause": -1.0}), "pause"),
    ] {
        let error = pipeline.call("a", options(wrong)).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(place), "{error}");
    }
}

#[test]
fn speakers_are_chosen_by_number() {
    let pipeline = Golden::open("vits-speakers-tiny").pipeline();
    assert_eq!((pipeline.model().speakers(), pipeline.model().sampling_rate()), (3, 22_050));
    let speaker = |number| {
        let request = SpeechRequest::default().speaker_id(number);
        let options = TextToSpeechOptions::default().forward_params(request).seed(1);
        pipeline.run_with("hello", &options)
    };
    assert_ne!(speaker(0).unwrap(), speaker(1).unwrap());
    assert_eq!(speaker(2).unwrap(), speaker(2).unwrap());
    let error = speaker(3).unwrap_err().to_string();
    assert!(error.contains("0 to 2"), "{error}");
}

#[test]
fn sentences_are_spoken_one_after_the_other() {
    let pipeline = Golden::open("vits-tiny").pipeline();
    let text = "Hello dog. How is it? … Good";
    let request = SpeechRequest::default().noise_scale(0.0).noise_scale_duration(0.0);
    let options = TextToSpeechOptions::default().forward_params(request).seed(3).pause(0.01);
    let whole = pipeline.run_with(text, &options).unwrap();
    let texts: Vec<_> = whole.parts.iter().map(|part| part.text.as_str()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(whole.parts.windows(2).all(|pair| pair[1].start == pair[0].end + 160));
    let alone = pipeline.run_with("Hello dog.", &options).unwrap();
    assert_eq!(alone.audio.samples, whole.audio.samples[..whole.parts[0].end]);

    // The same as a stream, also where the text comes in pieces.
    let stream = |parts: Vec<&str>| {
        let pieces: Vec<_> = parts.into_iter().map(|piece| Ok(piece.to_owned())).collect();
        let stream = pipeline.stream_pieces(pieces, &options).unwrap();
        stream.collect::<sconce::Result<Vec<_>>>().unwrap()
    };
    for spoken in [stream(vec![text]), stream(text.split_inclusive(['o', ' ']).collect())] {
        let samples: Vec<_> = spoken.iter().flat_map(|part| part.audio.samples.clone()).collect();
        assert_eq!(samples, whole.audio.samples);
        let parts: Vec<_> = spoken.into_iter().flat_map(|part| part.parts).collect();
        assert_eq!(parts, whole.parts);
    }
    let broken = vec![Ok("Go on. Be".to_owned()), Err(Error::Interrupted)];
    let stream: Vec<_> = pipeline.stream_pieces(broken, &options).unwrap().collect();
    assert!(matches!(&stream[..], [Ok(_), Err(Error::Interrupted)]), "{stream:?}");
}

#[test]
fn speecht5_says_what_it_lacks() {
    let golden = Golden::open("speecht5-tiny");
    let without = Pipeline::text_to_speech(golden.folder.as_path()).build().unwrap();
    let speaker = golden.cases[0].options.clone();
    let said = |pipeline: &TextToSpeechPipeline, request: SpeechRequest| {
        let options = TextToSpeechOptions::default().generate_kwargs(request);
        pipeline.run_with("hello", &options).unwrap_err().to_string()
    };
    assert!(said(&without, speaker.clone()).contains("vocoder"));
    let pipeline = golden.pipeline();
    assert!(said(&pipeline, SpeechRequest::default()).contains("5 numbers"));
    assert!(
        said(&pipeline, speaker.clone().speaker_embeddings(vec![1.0])).contains("5 finite ones")
    );
    assert!(said(&pipeline, speaker.clone().speaker_id(1)).contains("speaker_id"));
    assert!(said(&pipeline, speaker.clone().threshold(f64::NAN)).contains("threshold"));
    let long = TextToSpeechOptions::default().forward_params(speaker);
    let text = "hello my dog ".repeat(10);
    assert!(pipeline.run_with(text, &long).unwrap_err().to_string().contains("60"));
    let vits = Golden::open("vits-tiny");
    let refused = Pipeline::text_to_speech(vits.folder.as_path());
    let refused = refused.vocoder(golden.folder.join("vocoder").as_path()).build().unwrap_err();
    assert!(refused.to_string().contains("vocoder"), "{refused}");
}

#[test]
fn a_cancelled_call_ends() {
    let pipeline = Golden::open("vits-tiny").pipeline();
    let cancel = CancelHandle::default();
    let options = TextToSpeechOptions::default().cancel(cancel.clone());
    assert!(pipeline.run_with("hello", &options).is_ok());
    cancel.cancel();
    assert!(matches!(pipeline.run_with("hello", &options), Err(Error::Interrupted)));
}

#[test]
fn bad_folders_and_ids_are_refused() {
    let golden = Golden::open("vits-tiny");
    let files = ModelSource::directory(&golden.folder).open().unwrap();
    let model = VitsModel::from_files(&files, &LoadOptions::default()).unwrap();
    let stages = |ids: &[u32], request: &SpeechRequest| {
        model.stages(ids, request, &mut Generator::seed(0), &|| Ok(())).map(|_| ())
    };
    assert!(stages(&[], &SpeechRequest::default()).is_err());
    assert!(stages(&[39], &SpeechRequest::default()).is_err());
    let slow = SpeechRequest::default().speaking_rate(0.05);
    assert!(stages(&[1; 40], &slow).is_ok());

    for (field, value) in [
        ("upsample_rates", json!([0, 3])),
        ("upsample_rates", json!([4, 3, 2])),
        ("upsample_kernel_sizes", json!([2, 7])),
        ("resblock_dilation_sizes", json!([[1, 3]])),
        ("resblock_dilation_sizes", json!("wide")),
        ("upsample_initial_channel", json!(3)),
        ("num_attention_heads", json!(3)),
        ("flow_size", json!(7)),
        ("depth_separable_channels", json!(4)),
        ("duration_predictor_kernel_size", json!(4)),
        ("num_speakers", json!(4)),
        ("hidden_act", json!("wave")),
        ("num_hidden_layers", json!(5)),
    ] {
        let folder = with_field(&golden.folder, field, &value);
        let files = ModelSource::directory(folder.path()).open().unwrap();
        let model = VitsModel::from_files(&files, &LoadOptions::default());
        assert!(model.is_err(), "{field}: {value}");
    }
}

/// A copy of a model's folder whose config has another value in one field.
fn with_field(folder: &Path, field: &str, value: &Value) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config: Map<String, Value> = serde_json::from_str(&config).unwrap();
    config.insert(field.to_owned(), value.clone());
    let config = serde_json::to_string(&config).unwrap();
    fs::write(copy.path().join("config.json"), config).unwrap();
    let weights = "model.safetensors";
    fs::copy(folder.join(weights), copy.path().join(weights)).unwrap();
    copy
}

#[test]
fn numbers_out_of_range_are_refused_with_the_name_of_the_file() {
    let options = LoadOptions::default();
    let vits = Golden::open("vits-tiny").folder;
    let vocoder = Golden::open("speecht5-tiny").folder.join("vocoder");
    for (field, value) in [
        ("speaking_rate", json!(0.0)),
        ("speaking_rate", json!(21.0)),
        ("noise_scale", json!(-1.0)),
        ("noise_scale_duration", json!(11.0)),
        ("leaky_relu_slope", json!(-0.1)),
        ("leaky_relu_slope", json!(1e30)),
        ("sampling_rate", json!((1 << 18) + 1)),
    ] {
        let folder = with_field(&vits, field, &value);
        let files = ModelSource::directory(folder.path()).open().unwrap();
        let error = VitsModel::from_files(&files, &options).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(field), "{error}");
    }
    for (field, value) in [("leaky_relu_slope", json!(2)), ("sampling_rate", json!(1 << 20))] {
        let folder = with_field(&vocoder, field, &value);
        let files = ModelSource::directory(folder.path()).open().unwrap();
        let error = SpeechT5HifiGan::from_files(&files, &options).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(field), "{error}");
    }
    let folder = with_field(&vits, "sampling_rate", &json!(1 << 18));
    let files = ModelSource::directory(folder.path()).open().unwrap();
    assert!(VitsModel::from_files(&files, &options).is_ok());
}

#[test]
fn a_text_that_is_too_long_for_attention_is_refused() {
    let golden = Golden::open("vits-tiny");
    let error = golden.pipeline().run("a".repeat((1 << 15) + 1)).unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("sentences"), "{error}");
}

#[test]
fn the_same_ids_sound_alike_where_attention_is_computed_in_parts() {
    let files = ModelSource::directory(Golden::open("vits-tiny").folder).open().unwrap();
    let model = VitsModel::from_files(&files, &LoadOptions::default()).unwrap();
    let request = SpeechRequest::default().speaking_rate(20.0);
    // 2 heads, 3000 ids: 2796 queries at once.
    let stages = model.stages(&[5; 3000], &request, &mut Generator::seed(0), &|| Ok(())).unwrap();
    let rows = stages.hidden_states.to_vec2::<f32>().unwrap();
    for row in 2750..2850 {
        expect_close(&rows[row], &rows[1000], 1e-4, &format!("id {row}"));
    }
}

#[test]
fn silence_between_many_sentences_is_limited() {
    let pipeline = Golden::open("vits-tiny").pipeline();
    let options = TextToSpeechOptions::default().pause(60.0);
    let error = pipeline.run_with("Hi. ".repeat(62), &options).unwrap_err();
    assert!(error.is_caller_error(), "{error}");
    assert!(error.to_string().contains("pause"), "{error}");
    assert!(error.to_string().contains("stream_audio"), "{error}");
}

#[test]
fn a_long_text_is_streamed_by_its_sentences() {
    let pipeline = Golden::open("vits-tiny").pipeline();
    let options = TextToSpeechOptions::default();
    let text = "Hello dog. ".repeat(200_000);
    let mut stream = pipeline.stream_audio(text, &options).unwrap();
    for spoken in stream.by_ref().take(3) {
        assert_eq!(spoken.unwrap().parts[0].text, "Hello dog.");
    }
    // A sentence that does not end comes after those that do.
    let text = format!("Hello dog! {}", "Hello ".repeat(200_000));
    let pieces = vec![Ok(text), Ok("more".to_owned())];
    let stream: Vec<_> = pipeline.stream_pieces(pieces, &options).unwrap().collect();
    let [Ok(first), Err(error)] = &stream[..] else { panic!("{stream:?}") };
    assert_eq!(first.parts[0].text, "Hello dog!");
    assert!(error.to_string().contains("million"), "{error}");
}
