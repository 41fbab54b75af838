//! The tiny XTTS in `tests/goldens/xtts` against the numbers that Coqui's code computed with the same weights.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use sconce::audio::{Audio, AudioReader};
use sconce::generation::GenerationConfig;
use sconce::models::speech::{SpeechRequest, Xtts, XttsVoice};
use sconce::pipeline::{SpokenText, TextToSpeechOptions, TextToSpeechPipeline};
use sconce::sound::{Utterance, utter};
use sconce::speech::XttsTokenizer;
use sconce::{LoadOptions, ModelSource, Pipeline};

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    language: String,
    speed: f64,
    repetition_penalty: f64,
    speaker: Option<String>,
    seed: Option<u64>,
    ids: Vec<u32>,
    codes: Vec<u32>,
    samples: usize,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/xtts/tiny")
}

fn open() -> Xtts {
    let files = ModelSource::directory(folder()).open().unwrap();
    Xtts::from_files(&files, &LoadOptions::default()).unwrap()
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    serde_json::from_str::<Expected>(&text).unwrap().cases
}

fn arrays() -> HashMap<String, Tensor> {
    let path = folder().join("expected.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn flat(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn recording() -> Audio {
    AudioReader::open(folder().join("voice.wav")).unwrap().mono(22_050).unwrap()
}

fn expect_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    let apart = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0_f32, f32::max);
    assert!(apart <= tolerance * largest, "{what}: {apart} apart, the largest is {largest}");
}

#[test]
fn a_cloned_voice_is_that_of_the_reference() {
    let (model, arrays) = (open(), arrays());
    let first = recording();
    let first = Audio::new(first.samples[..22_050].to_vec(), 22_050).unwrap();
    let mel = model.style_features(&first).unwrap();
    let every: Vec<u32> = (0..mel.dim(0).unwrap() as u32).step_by(8).collect();
    let mel = mel.index_select(&Tensor::new(every, &Device::Cpu).unwrap(), 0).unwrap();
    expect_close(&flat(&mel), &flat(&arrays["mel"]), 1e-4, "mel values");
    let voice = model.clone_voice(&[recording()], &model.config().cloning).unwrap();
    expect_close(voice.speaker(), &flat(&arrays["speaker"]), 1e-4, "speaker");
    expect_close(&flat(voice.latents()), &flat(&arrays["latents"]), 1e-3, "latents");
}

#[test]
fn codes_latents_and_samples_are_those_of_the_reference() {
    let (model, arrays) = (open(), arrays());
    let cloned = model.clone_voice(&[recording()], &model.config().cloning).unwrap();
    for (number, case) in cases().iter().enumerate() {
        let voice = match &case.speaker {
            None => &cloned,
            Some(name) => model.speaker(name).unwrap(),
        };
        let array = |name: &str| flat(&arrays[&format!("{number}.{name}")]);
        // The logits before each code, given those of the reference.
        let (mut cache, mut step) = model.begin(&case.ids, voice).unwrap();
        let mut logits = step.logits.clone();
        for (place, code) in case.codes[..case.codes.len() - 1].iter().enumerate() {
            step = model.step(*code, place + 1, &mut cache).unwrap();
            logits.extend(&step.logits);
        }
        expect_close(&logits, &array("logits"), 1e-3, &format!("case {number}, logits"));
        let config = GenerationConfig::default()
            .do_sample(case.seed.is_some())
            .repetition_penalty(case.repetition_penalty)
            .seed(case.seed.unwrap_or(0));
        let uttered =
            utter(&model, &case.ids, voice, &config, case.speed, &|| Ok(()), &mut |_| {}).unwrap();
        assert_eq!(uttered.codes, case.codes, "case {number}: {}", case.text);
        assert_eq!(uttered.audio.sampling_rate, 24_000);
        assert_eq!(uttered.audio.samples.len(), case.samples);
        let every: Vec<f32> = uttered.audio.samples.iter().copied().step_by(16).collect();
        expect_close(&every, &array("waveform"), 1e-3, &format!("case {number}, samples"));
        if case.speed == 1.0 {
            let what = format!("case {number}, {}, latents", case.language);
            expect_close(&flat(&uttered.latents), &array("latents"), 1e-3, &what);
        }
    }
}

/// In pieces of every length, each sample is that of the whole.
#[test]
fn speech_in_pieces_is_that_of_the_whole() {
    let model = open();
    let cloned = model.clone_voice(&[recording()], &model.config().cloning).unwrap();
    for (number, case) in cases().iter().enumerate() {
        let voice = match &case.speaker {
            None => &cloned,
            Some(name) => model.speaker(name).unwrap(),
        };
        let config = GenerationConfig::default()
            .do_sample(case.seed.is_some())
            .repetition_penalty(case.repetition_penalty)
            .seed(case.seed.unwrap_or(0));
        let expected = flat(&arrays()[&format!("{number}.waveform")]);
        let whole = utter(&model, &case.ids, voice, &config, case.speed, &|| Ok(()), &mut |_| {});
        let whole = whole.unwrap();
        for codes in [1, 5, 0] {
            let what = format!("case {number} by {codes} codes");
            let begin = Utterance::begin(&model, &case.ids, voice, &config, case.speed);
            let mut utterance = begin.unwrap();
            let (mut samples, mut pieces, mut first) = (Vec::new(), 0, 0);
            while let Some(piece) = utterance.next_piece(codes, &|| Ok(())).unwrap() {
                if pieces == 0 {
                    first = utterance.codes().len();
                }
                samples.extend(piece);
                pieces += 1;
            }
            assert_eq!(utterance.codes(), case.codes, "{what}");
            assert_eq!(samples.len(), case.samples, "{what}");
            let every: Vec<f32> = samples.iter().copied().step_by(16).collect();
            expect_close(&every, &expected, 1e-3, &what);
            expect_close(&samples, &whole.audio.samples, 1e-5, &what);
            // The first samples come long before the last code.
            if codes == 1 {
                let count = case.codes.len();
                assert!(
                    first <= 6 && pieces + first >= count,
                    "{what}: {pieces}, {first} of {count}"
                );
            }
            assert!(utterance.next_piece(codes, &|| Ok(())).unwrap().is_none());
        }
    }
    let ids = &cases()[0].ids;
    let config = GenerationConfig::default().do_sample(false);
    for speed in [0.0, f64::NAN, 21.0] {
        assert!(Utterance::begin(&model, ids, &cloned, &config, speed).is_err());
    }
    let mut utterance = Utterance::begin(&model, ids, &cloned, &config, 1.0).unwrap();
    let error = utterance.next_piece(3, &|| Err(sconce::Error::Interrupted)).unwrap_err();
    assert!(matches!(error, sconce::Error::Interrupted), "{error}");
}

#[test]
fn voices_that_cannot_be_are_refused() {
    let model = open();
    assert_eq!(model.speaker_names().count(), 3);
    let error = model.speaker("Claribel").unwrap_err().to_string();
    assert!(error.contains("Zofija Kendrick") && error.contains("Claribel Dervla"), "{error}");
    let cloning = model.config().cloning;
    for (samples, word) in [
        (Vec::new(), "0.00 seconds"),
        (vec![0.1; 5_000], "0.23 seconds"),
        (vec![0.0; 40_000], "silent"),
    ] {
        let recording = Audio::new(samples, 22_050).unwrap();
        let error = model.clone_voice(&[recording], &cloning).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(word), "{error}");
    }
    assert!(model.clone_voice(&[], &cloning).is_err());
    let latents = model.speaker("Claribel Dervla").unwrap().latents().clone();
    let wrong = XttsVoice::new(latents.clone(), vec![0.1; 9]).unwrap();
    let error = model.begin(&[4, 5], &wrong).unwrap_err().to_string();
    assert!(error.contains("another model"), "{error}");
    assert!(XttsVoice::new(latents, vec![f32::NAN; 8]).is_err());
    let voice = model.speaker("Claribel Dervla").unwrap();
    for ids in [vec![], vec![4; 80], vec![66]] {
        assert!(model.begin(&ids, voice).is_err());
    }
}

#[derive(Deserialize)]
struct Text {
    language: String,
    text: String,
    cleaned: String,
}

fn beside<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(folder().join("..").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn texts_are_cleaned_as_by_the_reference() {
    let tokenizer = XttsTokenizer::of(&open());
    assert_eq!(tokenizer.languages().len(), 17);
    for Text { language, text, cleaned } in beside::<Vec<Text>>("texts.json") {
        assert_eq!(tokenizer.clean(&text, &language).unwrap(), cleaned, "{language}: {text}");
    }
    for case in cases() {
        assert_eq!(tokenizer.encode(&case.text, &case.language).unwrap(), case.ids);
    }
}

#[test]
fn numbers_are_said_as_by_the_reference() {
    let tokenizer = XttsTokenizer::of(&open());
    let numbers: HashMap<String, HashMap<String, String>> = beside("numbers.json");
    for (language, numbers) in numbers {
        for (number, words) in numbers {
            let found = tokenizer.clean(&number, &language).unwrap();
            assert_eq!(found, words, "{language}: {number}");
        }
    }
    // What is not said stays.
    assert_eq!(tokenizer.clean("هناك 50", "ar").unwrap(), "هناك 50");
    assert_eq!(tokenizer.clean("через 3.14", "ru").unwrap(), "через 3.14");
}

#[test]
fn what_cannot_be_read_is_said() {
    let tokenizer = XttsTokenizer::of(&open());
    for (text, language, word) in
        [("hello", "xx", "en, es, fr"), ("你好", "zh-cn", "pinyin"), ("こんにちは", "ja", "romaji")]
    {
        let error = tokenizer.encode(text, language).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(word), "{error}");
    }
    assert!(
        tokenizer.encode("nihao", "zh").is_ok() && tokenizer.encode("konnichiwa", "ja").is_ok()
    );
    assert!(tokenizer.encode(" ?! ", "en").unwrap().is_empty());
    let read = tokenizer.read("naïve", "en").unwrap();
    assert_eq!(read.unknown.into_iter().collect::<String>(), "ï");
}

fn pipeline() -> TextToSpeechPipeline {
    Pipeline::text_to_speech(folder().as_path()).build().unwrap()
}

fn request() -> SpeechRequest {
    SpeechRequest::default().language("en")
}

#[test]
fn the_pipeline_speaks_in_voices_of_both_kinds() {
    let pipeline = pipeline();
    assert_eq!(pipeline.model().voices().len(), 3);
    let cases = cases();
    let wav = folder().join("voice.wav").to_str().unwrap().to_owned();
    let greedy = request().do_sample(false);
    let speak = |request: SpeechRequest, text: &str| {
        let options = TextToSpeechOptions::default().generate_kwargs(request).seed(11);
        pipeline.run_with(text, &options)
    };
    for (number, case) in cases.iter().enumerate() {
        let voiced = greedy.clone().speed(case.speed).repetition_penalty(case.repetition_penalty);
        let voiced = voiced.language(&case.language).do_sample(case.seed.is_some());
        let voiced = match &case.speaker {
            Some(name) => voiced.voice(name),
            None => voiced.speaker_wav([wav.clone()]),
        };
        let spoken = speak(voiced, &case.text).unwrap();
        let every: Vec<f32> = spoken.audio.samples.iter().copied().step_by(16).collect();
        let expected = flat(&arrays()[&format!("{number}.waveform")]);
        expect_close(&every, &expected, 1e-3, &format!("case {number}"));
    }
    let drawn = request().voice("Claribel Dervla").temperature(1.5);
    let [first, second] = [(); 2].map(|()| speak(drawn.clone(), "hello dog").unwrap());
    assert_eq!(first, second);
    // Two sentences are one text where they fit, and two where the text is cut.
    let cut = "the dog. ".repeat(12);
    let split = greedy.clone().language("ja").voice("Claribel Dervla");
    let split = split.enable_text_splitting(true);
    assert_eq!(speak(split, &cut).unwrap().parts.len(), 2);
    let options = TextToSpeechOptions::default().generate_kwargs(greedy.voice("Claribel Dervla"));
    let stream = pipeline.stream_audio("The dog. In the den.", &options).unwrap();
    let sentences: Vec<_> = stream.map(Result::unwrap).collect();
    assert_eq!(sentences.len(), 2);
    // In pieces: the same samples, and each part with the last piece of its sentence.
    let chunked = options.clone().forward_params(SpeechRequest::default().stream_chunk_size(3));
    let stream = pipeline.stream_audio("The dog. In the den.", &chunked).unwrap();
    let pieces: Vec<_> = stream.map(Result::unwrap).collect();
    assert!(pieces.len() > 4, "{}", pieces.len());
    let samples = |parts: &[SpokenText]| -> Vec<f32> {
        parts.iter().flat_map(|part| part.audio.samples.clone()).collect()
    };
    expect_close(&samples(&pieces), &samples(&sentences), 1e-5, "pieces");
    let parts = |spoken: &[SpokenText]| -> Vec<_> {
        spoken.iter().flat_map(|spoken| spoken.parts.clone()).collect()
    };
    assert_eq!(parts(&pieces), parts(&sentences));
    assert!(pieces[0].parts.is_empty() && !pieces[0].audio.samples.is_empty());
    // Drawn codes: the random numbers go on in the same way from one sentence to the next.
    let drawn = options.clone().generate_kwargs(request().voice("Claribel Dervla")).seed(3);
    let chunked = drawn.clone().forward_params(SpeechRequest::default().stream_chunk_size(4));
    let [whole, pieces] = [&drawn, &chunked].map(|options| {
        let stream = pipeline.stream_audio("The dog. In the den.", options).unwrap();
        samples(&stream.map(Result::unwrap).collect::<Vec<_>>())
    });
    expect_close(&pieces, &whole, 1e-5, "drawn pieces");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let pipeline = pipeline();
    let voiced = || request().voice("Claribel Dervla");
    let long = "the dog and the dog ".repeat(12);
    let missing = folder().join("nobody.wav").to_str().unwrap().to_owned();
    for (request, text, word) in [
        (request(), "hello", "Claribel Dervla, Zofija Kendrick"),
        (SpeechRequest::default().voice("Claribel Dervla"), "hello", "en, es, fr"),
        (voiced().language("tlh"), "hello", "en, es, fr"),
        (voiced(), "", "nothing to speak"),
        (voiced(), "…!", "nothing to speak"),
        (voiced().speaker_id(1), "hello", "speaker_id"),
        (voiced().speed(0.0), "hello", "speed"),
        (voiced().temperature(-1.0), "hello", "temperature"),
        (voiced().speaker_wav([missing.clone()]), "hello", "choose one"),
        (request().speaker_wav([missing]), "hello", "nobody.wav"),
        (request().voice("Nobody"), "hello", "Claribel Dervla"),
        (voiced(), long.as_str(), "enable_text_splitting"),
    ] {
        let options = TextToSpeechOptions::default().generate_kwargs(request);
        let error = pipeline.run_with(text, &options).unwrap_err().to_string();
        assert!(error.contains(word), "{text:?}: {error}");
    }
}
