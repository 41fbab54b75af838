//! MusicGen and Bark against the reference: `tests/goldens/sound`, by `make_music.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use sconce::audio::{Audio, AudioFeatures, ChromaFeatureExtractor};
use sconce::generation::{CancelHandle, GenerationConfig};
use sconce::models::AutoModel;
use sconce::models::bark::Bark;
use sconce::models::music::MusicGen;
use sconce::pipeline::{GeneratedAudio, Task, TextToAudioOptions};
use sconce::sound::{BarkSettings, ComposeInput, Composed, Stage, Voice, compose, speak};
use sconce::{Device, LoadOptions, ModelSource, Pipeline, QuantLevel};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Expected<C> {
    cases: BTreeMap<String, C>,
}

#[derive(Deserialize)]
struct MusicCase {
    texts: Option<Vec<Vec<u32>>>,
    #[serde(default)]
    prompt: bool,
    options: Map<String, Value>,
}

#[derive(Deserialize)]
struct BarkCase {
    text: Vec<u32>,
    #[serde(default)]
    voice: bool,
    options: Map<String, Value>,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/sound").join(name)
}

fn cases<C: for<'de> Deserialize<'de>>(folder: &Path) -> BTreeMap<String, C> {
    let text = fs::read(folder.join("expected.json")).unwrap();
    serde_json::from_slice::<Expected<C>>(&text).unwrap().cases
}

fn tensors(folder: &Path) -> impl Fn(&str) -> Tensor + use<> {
    let path = folder.join("expected.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    move |name| tensors.get(name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    let ids: Vec<i64> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    ids.into_iter().map(|id| id as u32).collect()
}

fn load(name: &str) -> (Arc<MusicGen>, GenerationConfig) {
    let files = ModelSource::directory(folder(name)).open().unwrap();
    let options = LoadOptions::default().device(Device::Cpu);
    let model = AutoModel::from_files::<MusicGen>(&files, &options).unwrap();
    let config = GenerationConfig::from_file(folder(name).join("generation_config.json")).unwrap();
    (model, config)
}

fn composed(
    model: &MusicGen,
    inputs: &[ComposeInput],
    config: &GenerationConfig,
) -> sconce::Result<Vec<Composed>> {
    compose(model, inputs, config, &CancelHandle::default(), &mut |_, _| {})
}

fn near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0_f32, |most, it| most.max(it.abs()));
    let most = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max);
    assert!(most < 1e-3 * largest, "{what}: {most} of {largest}");
}

fn text(ids: &[u32]) -> ComposeInput {
    ComposeInput { text: Some(ids.to_vec()), ..Default::default() }
}

#[test]
fn music_is_that_of_the_reference() {
    for name in ["musicgen-tiny", "musicgen-stereo-tiny"] {
        let (model, defaults) = load(name);
        let tensor = tensors(&folder(name));
        for (case, how) in cases::<MusicCase>(&folder(name)) {
            let options = GenerationConfig::from_json(&Value::Object(how.options)).unwrap();
            let config = defaults.clone().overlaid(&options);
            let prompt = how.prompt.then(|| tensor("prompt").to_vec2::<f32>().unwrap());
            let texts =
                how.texts.map_or_else(|| vec![None], |texts| texts.into_iter().map(Some).collect());
            let inputs: Vec<ComposeInput> = texts
                .into_iter()
                .map(|text| ComposeInput { text, prompt: prompt.clone(), melody: None })
                .collect();
            let found = composed(&model, &inputs, &config).unwrap();
            let (codes, audio) =
                (tensor(&format!("{case}.codes")), tensor(&format!("{case}.audio")));
            assert_eq!(found.len(), inputs.len());
            for (number, piece) in found.iter().enumerate() {
                let what = format!("{name}, {case}, {number}");
                let codes = ids(&codes.get(number).unwrap());
                assert_eq!(piece.codes.concat(), codes, "{what}");
                let audio = audio.get(number).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(piece.channels.len(), audio.len(), "{what}");
                for (found, expected) in piece.channels.iter().zip(&audio) {
                    near(found, expected, &what);
                }
            }
        }
    }
}

#[test]
fn seeds_make_music_reproducible_and_pieces_differ() {
    let (model, defaults) = load("musicgen-tiny");
    let options = GenerationConfig::default().max_new_tokens(20).num_return_sequences(2);
    let config = defaults.overlaid(&options.clone().seed(5));
    let input = [text(&[5, 9, 33])];
    let found = composed(&model, &input, &config).unwrap();
    assert_eq!(found.len(), 2);
    assert_ne!(found[0].codes, found[1].codes);
    assert_eq!(composed(&model, &input, &config).unwrap(), found);
    assert_ne!(composed(&model, &input, &config.clone().seed(6)).unwrap(), found);
}

#[test]
fn quantized_models_make_music() {
    let files = ModelSource::directory(folder("musicgen-tiny")).open().unwrap();
    let options = LoadOptions::default().device(Device::Cpu).quantize(QuantLevel::Q8_0);
    let model = AutoModel::from_files::<MusicGen>(&files, &options).unwrap();
    let config = GenerationConfig::default().max_new_tokens(12).guidance_scale(3.0);
    let music = composed(&model, &[text(&[5, 9, 33])], &config).unwrap();
    assert_eq!(music[0].channels[0].len(), 90);
}

#[test]
fn wrong_calls_for_music_are_refused() {
    let (model, _) = load("musicgen-tiny");
    let config = GenerationConfig::default().max_new_tokens(12);
    let refused = |inputs: &[ComposeInput], config: &GenerationConfig, part: &str| {
        let error = composed(&model, inputs, config).unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(part), "{error}");
    };
    refused(&[text(&[])], &config, "empty");
    refused(&[text(&[5]), ComposeInput::default()], &config, "once for each");
    refused(&[text(&[99_999])], &config, "99999");
    refused(&[text(&[5; 5_000])], &config, "4096");
    refused(&[text(&[5])], &config.clone().max_new_tokens(0), "max_new_tokens");
    refused(&[text(&[5])], &config.clone().max_new_tokens(5_000), "80");
    refused(&[text(&[5])], &config.clone().guidance_scale(-1.0), "guidance_scale");
    refused(&[text(&[5])], &config.clone().num_beams(2), "num_beams");
    let mut prompted = text(&[5]);
    prompted.prompt = Some(vec![vec![0.0; 20]; 2]);
    refused(&[prompted.clone()], &config, "channels");
    prompted.prompt = Some(vec![Vec::new()]);
    refused(&[prompted], &config, "no samples");
    let cancel = CancelHandle::default();
    cancel.cancel();
    let error = compose(&model, &[text(&[5])], &config, &cancel, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, sconce::Error::Interrupted));
    assert!(composed(&model, &[], &config).unwrap().is_empty());
}

fn bark() -> (Arc<Bark>, BarkSettings) {
    let files = ModelSource::directory(folder("bark-tiny")).open().unwrap();
    let options = LoadOptions::default().device(Device::Cpu);
    let model = AutoModel::from_files::<Bark>(&files, &options).unwrap();
    (model, BarkSettings::from_files(&files).unwrap())
}

#[test]
fn bark_says_what_the_reference_says() {
    let (model, settings) = bark();
    let folder = folder("bark-tiny");
    let tensor = tensors(&folder);
    let voice = Voice::from_npz(folder.join("voice.npz")).unwrap();
    for (case, how) in cases::<BarkCase>(&folder) {
        let settings = settings.clone().with_options(&how.options).unwrap();
        let voice = how.voice.then_some(&voice);
        let cancel = CancelHandle::default();
        let mut stages = Vec::new();
        let found =
            speak(&model, &how.text, voice, &settings, 1, &cancel, &mut |stage| stages.push(stage));
        let found = found.unwrap();
        let expected = |stage: &str| ids(&tensor(&format!("{case}.{stage}")));
        let semantic = expected("semantic");
        assert_eq!(found.semantic, semantic, "{case}");
        assert_eq!(found.coarse, expected("coarse"), "{case}");
        assert_eq!(found.fine.concat(), expected("fine"), "{case}");
        let audio: Vec<f32> = tensor(&format!("{case}.audio")).to_vec1().unwrap();
        near(&found.audio.samples, &audio, &case);
        assert_eq!(stages.first(), Some(&Stage::Semantic(1)));
        assert_eq!(stages.last(), Some(&Stage::Decoding));
    }
}

#[test]
fn voices_are_read_from_every_kind_of_file() {
    let files = ModelSource::directory(folder("bark-tiny")).open().unwrap();
    let voice = Voice::from_npz(folder("bark-tiny").join("voice.npz")).unwrap();
    assert_eq!((voice.semantic.len(), voice.coarse.len(), voice.fine.len()), (23, 2, 4));
    let packed = folder("bark-tiny").join("voice-packed.npz");
    assert_eq!(Voice::from_npz(packed).unwrap(), voice);
    assert_eq!(Voice::from_files(&files, "one").unwrap(), voice);
    assert_eq!(Voice::from_files(&files, "voice").unwrap(), voice);
    let error = Voice::from_files(&files, "onee").unwrap_err().to_string();
    assert!(error.contains("onee") && error.contains("one"), "{error}");
    assert!(Voice::from_npz_bytes(b"PK").is_err());
    let whole = fs::read(folder("bark-tiny").join("voice.npz")).unwrap();
    for length in [10, 100, whole.len() / 2] {
        assert!(Voice::from_npz_bytes(&whole[..length]).is_err());
    }
}

#[test]
fn bark_samples_reproducibly_and_refuses_what_makes_no_sense() {
    let (model, settings) = bark();
    let cancel = CancelHandle::default();
    let say = |text: &[u32], voice: Option<&Voice>, seed: u64| {
        speak(&model, text, voice, &settings, seed, &cancel, &mut |_| {})
    };
    let found = say(&[5, 9], None, 3).unwrap();
    assert_eq!(say(&[5, 9], None, 3).unwrap(), found);
    assert_ne!(say(&[5, 9], None, 4).unwrap().semantic, found.semantic);
    assert!(say(&[], None, 3).is_err_and(|error| error.is_caller_error()));
    let voice = Voice::from_npz(folder("bark-tiny").join("voice.npz")).unwrap();
    let mut wrong = voice.clone();
    wrong.fine.pop();
    let error = say(&[5], Some(&wrong), 3).unwrap_err();
    assert!(error.is_caller_error() && error.to_string().contains("fine_prompt"), "{error}");
    let mut wrong = voice.clone();
    wrong.semantic[0] = 10_000;
    assert!(say(&[5], Some(&wrong), 3).unwrap_err().to_string().contains("semantic_prompt"));
    let option = |name: &str, value: Value| {
        settings.clone().with_options(&Map::from_iter([(name.to_owned(), value)]))
    };
    assert!(option("no_such", 1.into()).is_err());
    assert!(option("fine_top_k", 1.into()).is_err());
    assert!(option("num_return_sequences", 4.into()).is_err());
    assert!(option("semantic_temperature", "hot".into()).is_err());
    assert_eq!(option("temperature", 0.3.into()).unwrap().fine.temperature, Some(0.3));
    let of_coarse = option("coarse_temperature", 0.3.into()).unwrap();
    assert_eq!(of_coarse.coarse.generation.temperature, Some(0.3));
    assert_ne!(of_coarse.semantic.generation.temperature, Some(0.3));
}

/// A call of `pipeline.json`, by `make_music_pipeline.py`.
#[derive(Deserialize)]
struct Call {
    input: Value,
    options: Value,
    sampling_rate: Option<u32>,
    #[serde(default)]
    shapes: Vec<Vec<usize>>,
    error: Option<String>,
}

#[test]
fn the_pipeline_returns_what_pythons_returns() {
    for name in ["musicgen-tiny", "musicgen-stereo-tiny", "bark-tiny"] {
        let folder = folder(name);
        let pipeline =
            Pipeline::text_to_audio(folder.as_path()).device(Device::Cpu).build().unwrap();
        let calls: Vec<Call> =
            serde_json::from_slice(&fs::read(folder.join("pipeline.json")).unwrap()).unwrap();
        let path = folder.join("pipeline.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        for (number, call) in calls.into_iter().enumerate() {
            let what = format!("{name}, {number}");
            let texts: Vec<String> = match call.input {
                Value::String(text) => vec![text],
                texts => serde_json::from_value(texts).unwrap(),
            };
            let options: TextToAudioOptions = serde_json::from_value(call.options).unwrap();
            let found = pipeline.run_batch(texts, &options);
            if let Some(error) = call.error {
                assert!(found.is_err_and(|error| error.is_caller_error()), "{what}: {error}");
                continue;
            }
            let found = found.unwrap();
            assert_eq!(found.len(), call.shapes.len(), "{what}");
            for (place, (sound, shape)) in found.iter().zip(&call.shapes).enumerate() {
                assert_eq!(Some(sound.sampling_rate), call.sampling_rate, "{what}");
                // MusicGen's arrays have a dimension for the batch and one for channels, Bark's have the first only.
                let channels = if shape.len() == 3 { shape[1] } else { 1 };
                assert_eq!(sound.channels.len(), channels, "{what}");
                let expected = tensors[&format!("{number}.{place}")].flatten_all().unwrap();
                near(&sound.channels.concat(), &expected.to_vec1::<f32>().unwrap(), &what);
            }
        }
    }
}

#[test]
fn what_does_not_go_with_bark_is_found_while_loading() {
    let folder_of = folder("bark-tiny");
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&folder_of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = copy.path().join("generation_config.json");
    let stored: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    for (stage, name, value) in [
        ("semantic_config", "temperature", json!(-1.0)),
        ("coarse_acoustics_config", "top_p", json!(7.0)),
        ("fine_acoustics_config", "n_fine_codebooks", json!(1)),
        ("fine_acoustics_config", "max_fine_history_length", json!(100_000)),
    ] {
        let mut wrong = stored.clone();
        wrong[stage][name] = value;
        fs::write(&config, wrong.to_string()).unwrap();
        let error = Pipeline::text_to_audio(copy.path()).device(Device::Cpu).build().unwrap_err();
        assert!(error.to_string().contains(stage), "{stage} {name}: {error}");
    }
}

#[test]
fn the_pipeline_refuses_what_makes_no_sense() {
    let open = |name: &str| {
        Pipeline::text_to_audio(folder(name).as_path()).device(Device::Cpu).build().unwrap()
    };
    let (music, bark) = (open("musicgen-tiny"), open("bark-tiny"));
    let options = TextToAudioOptions::default;
    let refused = |outcome: sconce::Result<GeneratedAudio>, part: &str| {
        let error = outcome.unwrap_err();
        assert!(error.is_caller_error() && error.to_string().contains(part), "{error}");
    };
    refused(music.run_with("", &options()), "empty");
    refused(bark.run_with("  ", &options()), "empty");
    refused(music.run_with("a", &options().voice_preset("one".to_owned())), "no voices");
    refused(bark.run_with("a", &options().voice_preset("nobody".to_owned())), "one");
    let prompt = Audio::new(vec![0.0; 100], 4_000).unwrap();
    refused(bark.run_with("a", &options().prompt(prompt.clone())), "voice_preset");
    let cancel = CancelHandle::default();
    cancel.cancel();
    assert!(music.run_with("a", &options().cancel(cancel)).is_err());
    // Resampled, and then continued.
    let short = Map::from_iter([("max_new_tokens".to_owned(), Value::from(12))]);
    let going_on = options().prompt(prompt).generate_kwargs(short).seed(3);
    let sound = music.run_with("a", &going_on).unwrap();
    assert_eq!(sound.channels[0].len(), 10 * (5 + 12 + 1 - 4));
    assert_eq!(music.run_with("a", &going_on).unwrap(), sound);
    let spoken = bark.run_with("a", &options().voice_preset("one".to_owned()).seed(3)).unwrap();
    assert_eq!(spoken.mono().unwrap().sampling_rate, 2_000);
    // Both names open either kind of model.
    let (task, source) = (Task::TextToSpeech, folder("bark-tiny"));
    let output = Pipeline::open(task, source.as_path(), LoadOptions::default()).unwrap();
    assert_eq!(output.task(), Task::TextToAudio);
    let voice = Map::from_iter([("voice_preset".to_owned(), json!("one"))]);
    let output = output.call(json!("a"), voice).unwrap();
    assert_eq!((output.json, output.media.len()), (json!({"sampling_rate": 2_000}), 1));
}

#[derive(Deserialize)]
struct MelodyCase {
    texts: Vec<Vec<u32>>,
    melody: usize,
    options: Map<String, Value>,
}

/// The pitches of the maker's `heard`.
fn heard(frames: usize, pitches: usize) -> Option<AudioFeatures> {
    let mut values = vec![0.0; frames * pitches];
    (0..frames).for_each(|frame| values[frame * pitches + (frame * frame + 1) % pitches] = 1.0);
    (frames > 0).then(|| AudioFeatures::new(values, pitches, frames).unwrap())
}

#[test]
fn music_follows_melodies_as_in_the_reference() {
    for (name, pitches) in [("melody-tiny", 12), ("melody-stereo-tiny", 24)] {
        let (model, defaults) = load(name);
        assert!(model.hears_melodies());
        let tensor = tensors(&folder(name));
        for (case, how) in cases::<MelodyCase>(&folder(name)) {
            let options = GenerationConfig::from_json(&Value::Object(how.options)).unwrap();
            let config = defaults.clone().overlaid(&options);
            let melody = heard(how.melody, pitches);
            let inputs: Vec<ComposeInput> = how
                .texts
                .into_iter()
                .map(|ids| ComposeInput { melody: melody.clone(), ..text(&ids) })
                .collect();
            let found = composed(&model, &inputs, &config).unwrap();
            let (codes, audio) =
                (tensor(&format!("{case}.codes")), tensor(&format!("{case}.audio")));
            for (number, piece) in found.iter().enumerate() {
                let what = format!("{name}, {case}, {number}");
                assert_eq!(piece.codes.concat(), ids(&codes.get(number).unwrap()), "{what}");
                let audio = audio.get(number).unwrap().to_vec2::<f32>().unwrap();
                for (found, expected) in piece.channels.iter().zip(&audio) {
                    near(found, expected, &what);
                }
            }
        }
        let nothing = ComposeInput::default();
        let prompted = ComposeInput { prompt: Some(vec![vec![0.1; 60]]), ..text(&[5, 1]) };
        let foreign = ComposeInput { melody: heard(3, 5), ..text(&[5, 1]) };
        for (input, word) in [(nothing, "text"), (prompted, "prompt"), (foreign, "pitches")] {
            let error = composed(&model, &[input], &defaults).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
    let (model, defaults) = load("musicgen-tiny");
    let melody = ComposeInput { melody: heard(3, 12), ..text(&[5, 1]) };
    let error = composed(&model, &[melody], &defaults).unwrap_err().to_string();
    assert!(error.contains("musicgen-melody"), "{error}");
}

#[derive(Deserialize)]
struct ChromaCase {
    options: Value,
    seconds: f64,
    pitch: f64,
    pitches: Vec<usize>,
}

#[test]
fn pitches_are_heard_as_by_the_reference() {
    let cases: Vec<ChromaCase> =
        serde_json::from_slice(&fs::read(folder("chroma.json")).unwrap()).unwrap();
    for ChromaCase { options, seconds, pitch, pitches } in cases {
        let config = serde_json::from_value(options).unwrap();
        let extractor = ChromaFeatureExtractor::new(config).unwrap();
        let rate = extractor.config().sampling_rate;
        let sample = |at: usize| {
            let step = (at * 10 / rate as usize) as f64;
            let turns = pitch * 2_f64.powf(step / 3.0) * at as f64 / f64::from(rate);
            let angle = std::f64::consts::TAU * turns;
            (0.5 * angle.sin() + 0.2 * (2.0 * angle).sin()) as f32
        };
        let count = (seconds * f64::from(rate)) as usize;
        let samples: Vec<f32> = (0..count).map(sample).collect();
        let heard = extractor.extract(&samples, rate).unwrap();
        let loudest = heard.values().chunks_exact(heard.width());
        let loudest = loudest.map(|frame| frame.iter().position(|share| *share == 1.0).unwrap());
        assert_eq!(loudest.collect::<Vec<_>>(), pitches, "{seconds} s from {pitch} Hz");
    }
}

#[test]
fn the_pipeline_follows_a_melody() {
    let pipeline = Pipeline::text_to_audio(folder("melody-tiny").as_path()).build().unwrap();
    let tone = (0..3000).map(|at| (at as f32 * 0.4).sin()).collect();
    let melody = Audio::new(tone, 3000).unwrap();
    let options = TextToAudioOptions::default().seed(3);
    let with = pipeline.run_with("a", &options.clone().melody(melody.clone())).unwrap();
    assert_ne!(with, pipeline.run_with("a", &options.clone()).unwrap());
    let deaf = Pipeline::text_to_audio(folder("musicgen-tiny").as_path()).build().unwrap();
    let error = deaf.run_with("a", &options.melody(melody)).unwrap_err().to_string();
    assert!(error.contains("melody"), "{error}");
}
