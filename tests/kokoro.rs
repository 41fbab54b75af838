//! The tiny random models of Kokoro in `tests/goldens/voices` against the numbers the Python reference computed with
//! the same weights and the same random numbers, and the pipeline `text-to-speech` on them.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use sconce::models::speech::{KokoroModel, SpeechRequest};
use sconce::pipeline::{TextToSpeechOptions, TextToSpeechPipeline};
use sconce::random::Generator;
use sconce::{LoadOptions, ModelSource, Pipeline, Result};

#[derive(Deserialize)]
struct Expected {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    phonemes: String,
    voice: String,
    speed: f64,
    seed: u64,
    frames: Vec<usize>,
    /// The number that the generator gives afterwards.
    next: f32,
    ids: Vec<u32>,
}

impl Case {
    fn request(&self) -> SpeechRequest {
        SpeechRequest::default().voice(self.voice.as_str()).speed(self.speed)
    }
}

const GOLDENS: [&str; 2] = ["kokoro-tiny", "kokoro-odd-tiny"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/voices").join(name)
}

fn golden(name: &str) -> (Vec<Case>, HashMap<String, Tensor>) {
    let expected = fs::read_to_string(folder(name).join("expected.json")).unwrap();
    let Expected { cases } = serde_json::from_str(&expected).unwrap();
    let arrays = folder(name).join("expected.safetensors");
    (cases, candle_core::safetensors::load(arrays, &Device::Cpu).unwrap())
}

fn model(folder: &Path) -> Result<KokoroModel> {
    KokoroModel::from_files(&ModelSource::directory(folder).open()?, &LoadOptions::default())
}

fn pipeline() -> TextToSpeechPipeline {
    Pipeline::text_to_speech(folder("kokoro-tiny").as_path()).build().unwrap()
}

fn expect_close(found: &[f32], expected: &Tensor, tolerance: f32, what: &str) {
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let apart = found.iter().zip(&expected).map(|(x, y)| (x - y).abs()).fold(0.0_f32, f32::max);
    assert!(apart <= tolerance * largest, "{what}: {apart} apart, the largest is {largest}");
}

#[test]
fn every_stage_is_that_of_the_reference() {
    for name in GOLDENS {
        let (cases, arrays) = golden(name);
        let model = model(&folder(name)).unwrap();
        for (number, case) in cases.iter().enumerate() {
            let mut generator = Generator::seed(case.seed);
            let stages =
                model.stages(&case.ids, &case.request(), &mut generator, &|| Ok(())).unwrap();
            assert_eq!(stages.frames, case.frames, "{name}, case {number}");
            let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (stage, found) in [
                ("bert", flat(&stages.bert)),
                ("prosody", flat(&stages.prosody)),
                ("durations", stages.durations.clone()),
                ("pitch", stages.pitch.clone()),
                ("energy", stages.energy.clone()),
                ("text", flat(&stages.text)),
                ("source", stages.source.clone()),
                ("decoded", flat(&stages.decoded)),
                ("waveform", stages.waveform.clone()),
            ] {
                // Phases are sums of pitches: the last digits of these count.
                let tolerance = match stage {
                    "source" | "waveform" => 1e-3,
                    _ => 1e-4,
                };
                let what = format!("{name}, case {number}, {stage}");
                expect_close(&found, &arrays[&format!("{number}.{stage}")], tolerance, &what);
            }
            let next = generator.rand::<f32>(1);
            assert_eq!(next, [case.next], "{name}, case {number}: drawn as often");
        }
    }
}

#[test]
fn phonemes_become_the_ids_and_the_samples_of_the_reference() {
    for name in GOLDENS {
        let (cases, arrays) = golden(name);
        let pipeline = Pipeline::text_to_speech(folder(name).as_path()).build().unwrap();
        assert_eq!(pipeline.model().voices(), ["af_one", "bf_two"]);
        for (number, case) in cases.iter().enumerate() {
            let options = TextToSpeechOptions::default()
                .forward_params(case.request())
                .phonemes(true)
                .seed(case.seed);
            let spoken = pipeline.run_with(case.phonemes.as_str(), &options).unwrap();
            let what = format!("{name}, case {number}");
            let expected = &arrays[&format!("{number}.waveform")];
            expect_close(&spoken.audio.samples, expected, 1e-3, &what);
            assert_eq!(spoken.sampling_rate, 24_000);
            let part = &spoken.parts[0];
            let symbols: String = part.symbols.iter().map(|span| span.text.as_str()).collect();
            // `ɪ` is no phoneme of these models.
            let known: String = case.phonemes.chars().filter(|c| !" ɪ".contains(*c)).collect();
            assert_eq!(symbols, known);
            let pairs = part.symbols.windows(2);
            assert!(pairs.into_iter().all(|pair| pair[0].end <= pair[1].start), "{part:?}");
            assert!(part.words.iter().all(|word| word.end <= part.end), "{part:?}");
        }
    }
}

#[test]
fn long_phonemes_are_spoken_one_part_after_the_other() {
    let pipeline = pipeline();
    let read = |text: &str| pipeline.reader().read(text, true, None).unwrap();
    let text = "abe dab, kom lon. tom som ".repeat(6);
    let parts = read(&text);
    assert!(parts.len() > 4 && parts.iter().all(|part| part.ids.len() <= 32), "{parts:?}");
    let together: Vec<_> = parts.iter().filter_map(|part| part.text.clone()).collect();
    assert_eq!(together.join(" "), text.trim());
    let request = SpeechRequest::default().voice("af_one");
    let options = TextToSpeechOptions::default().forward_params(request).phonemes(true).seed(1);
    let whole = pipeline.run_with(text.as_str(), &options).unwrap();
    let [part] = &whole.parts[..] else { panic!("{:?}", whole.parts) };
    assert_eq!((part.start, part.end), (0, whole.audio.samples.len()));
    assert!(part.words.windows(2).all(|pair| pair[0].start <= pair[1].start), "{part:?}");
    let words: Vec<_> = part.words.iter().map(|word| word.text.as_str()).collect();
    assert_eq!(words[..6], ["abe", "dab", ",", "kom", "lon", "."]);

    let stream = pipeline.stream_audio("abe dab. Kom lon.", &options).unwrap();
    let streamed = stream.collect::<Result<Vec<_>>>().unwrap();
    assert_eq!(streamed.len(), 2);
}

#[test]
fn unknown_phonemes_are_named() {
    let pipeline = pipeline();
    let read = pipeline.reader().read("ab ɪ§d", true, None).unwrap();
    assert_eq!(read[0].unknown.iter().collect::<String>(), "§ɪ");
    assert_eq!(read[0].ids.len(), "ab d".len() + 2);
    let options = TextToSpeechOptions::default()
        .forward_params(SpeechRequest::default().voice("af_one"))
        .phonemes(true);
    for text in ["", "  ", "§§ ɪ"] {
        let error = pipeline.run_with(text, &options).unwrap_err();
        assert!(error.to_string().contains("nothing to speak"), "{text:?}: {error}");
    }
}

#[test]
fn voices_and_options_that_cannot_be_are_refused() {
    let pipeline = pipeline();
    let said = |request: SpeechRequest| {
        let options = TextToSpeechOptions::default().forward_params(request).phonemes(true);
        pipeline.run_with("ab", &options).map(|_| ()).unwrap_err()
    };
    let voice = |name: &str| SpeechRequest::default().voice(name);
    for (request, words) in [
        (SpeechRequest::default(), "af_one, bf_two"),
        (voice("af_on"), "did you mean \"af_one\""),
        (voice("af_one,xx"), "af_one, bf_two"),
        (voice(""), "af_one, bf_two"),
        (voice("../af_one"), "af_one, bf_two"),
        (voice("af_one").speed(0.0), "speed"),
        (voice("af_one").speed(f64::NAN), "speed"),
        (voice("af_one").noise_scale(1.0), "noise_scale"),
        (voice(&"af_one,".repeat(100)), "at most 64"),
    ] {
        let error = said(request);
        assert!(error.is_caller_error() && error.to_string().contains(words), "{error}");
    }
    let model = model(&folder("kokoro-tiny")).unwrap();
    for ids in [&[][..], &[0], &[0, 0], &[0, 99, 0], &[1; 33]] {
        let found = model.stages(ids, &voice("af_one"), &mut Generator::seed(0), &|| Ok(()));
        assert!(found.is_err(), "{ids:?}");
    }
    // Texts need the feature `g2p`, and a language that it reads.
    let options = TextToSpeechOptions::default().forward_params(voice("ff_siwis"));
    let error = pipeline.run_with("Bonjour", &options).unwrap_err().to_string();
    assert!(error.contains("French") && error.contains("phonemes"), "{error}");
    let options = TextToSpeechOptions::default().forward_params(voice("af_one"));
    let spoken = pipeline.run_with("ten", &options);
    assert_eq!(spoken.is_ok(), cfg!(feature = "g2p"), "{spoken:?}");
}

#[test]
fn bad_files_are_refused() {
    let name = folder("kokoro-odd-tiny");
    let copy = |change: &dyn Fn(&mut Map<String, Value>)| {
        let copy = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(name.join("config.json")).unwrap();
        let mut config: Map<String, Value> = serde_json::from_str(&config).unwrap();
        change(&mut config);
        let config = serde_json::to_string(&config).unwrap();
        fs::write(copy.path().join("config.json"), config).unwrap();
        fs::copy(name.join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
        copy
    };
    assert!(model(copy(&|_| ()).path()).is_ok());
    for (field, value) in [
        ("hidden_dim", json!(7)),
        ("style_dim", json!(5)),
        ("n_layer", json!(1 << 20)),
        ("max_dur", json!(0)),
        ("text_encoder_kernel_size", json!(2)),
        ("istftnet.upsample_rates", json!([5, 5])),
        ("istftnet.upsample_kernel_sizes", json!([4])),
        ("istftnet.upsample_kernel_sizes", json!([6])),
        ("istftnet.upsample_initial_channel", json!(1)),
        ("istftnet.resblock_kernel_sizes", json!([3])),
        ("istftnet.resblock_kernel_sizes", json!([3, 4])),
        ("istftnet.resblock_dilation_sizes", json!([[1, 2], [1, 2]])),
        ("istftnet.gen_istft_n_fft", json!(9)),
        ("istftnet.gen_istft_hop_size", json!(0)),
        ("plbert.max_position_embeddings", json!(2)),
        ("plbert.hidden_size", json!(9)),
    ] {
        let folder = copy(&|config| match field.split_once('.') {
            Some((section, field)) => config[section][field] = value.clone(),
            None => config[field] = value.clone(),
        });
        assert!(model(folder.path()).is_err(), "{field}: {value}");
    }
    // A voice of another model, and what is none.
    let other = copy(&|_| ());
    fs::create_dir(other.path().join("voices")).unwrap();
    let wide = folder("kokoro-tiny").join("voices/af_one.pt");
    fs::copy(wide, other.path().join("voices/wide.pt")).unwrap();
    fs::write(other.path().join("voices/broken.pt"), b"PK\x03\x04").unwrap();
    let model = model(other.path()).unwrap();
    fs::write(other.path().join("voices/short.bin"), [0; 100]).unwrap();
    for voice in ["wide", "broken", "short"] {
        let request = SpeechRequest::default().voice(voice);
        let found = model.stages(&[0, 1, 0], &request, &mut Generator::seed(0), &|| Ok(()));
        assert!(found.unwrap_err().to_string().contains(voice));
    }
}
