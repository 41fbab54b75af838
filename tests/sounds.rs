//! Models that classify sounds, and their pipelines, against Python's: the tiny checkpoints of
//! `tests/goldens/make_sounds.py`.
#![cfg(feature = "audio")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use sconce::audio::{Audio, FeatureExtractor};
use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::speech::{AudioClassifier, AudioTextModel};
use sconce::models::{AutoModel, save};
use sconce::pipeline::{AudioInput, Input, LabelScore, Pipeline, TaskName};
use sconce::tokenizer::Tokenizer;
use sconce::{LoadOptions, ModelSource, QuantLevel};
use serde_json::{Map, Value, json};

#[path = "support/recording.rs"]
mod recording;

use recording::recording;

/// Of scores, and of vectors of length 1.
const TOLERANCE: f64 = 1e-4;

struct Golden {
    folder: PathBuf,
    golden: Value,
    arrays: HashMap<String, Tensor>,
}

impl Golden {
    fn all() -> Vec<Self> {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/sounds");
        let folders = fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path());
        let all: Vec<_> = folders.map(Self::open).collect();
        assert!(all.len() >= 6);
        all
    }

    fn named(name: &str) -> Self {
        Self::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/sounds").join(name))
    }

    fn open(folder: PathBuf) -> Self {
        let text = fs::read_to_string(folder.join("golden.json")).unwrap();
        let file = folder.join("expected.safetensors");
        let arrays = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
        Self { golden: serde_json::from_str(&text).unwrap(), folder, arrays }
    }

    fn name(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    fn is_clap(&self) -> bool {
        self.name().starts_with("clap")
    }

    fn source(&self) -> ModelSource {
        ModelSource::directory(&self.folder)
    }

    fn extractor(&self) -> FeatureExtractor {
        FeatureExtractor::from_files(&self.source().open().unwrap()).unwrap()
    }

    fn pipeline(&self) -> Pipeline {
        let task: TaskName = self.golden["task"].as_str().unwrap().parse().unwrap();
        Pipeline::open(task, self.source(), LoadOptions::default()).unwrap()
    }

    fn recordings(of: &Value) -> Vec<Audio> {
        let recording = |one: &Value| {
            recording(one["seed"].as_u64().unwrap(), one["length"].as_u64().unwrap() as usize)
        };
        of.as_array().unwrap().iter().map(recording).collect()
    }

    fn close(&self, name: &str, found: &Tensor) {
        let expected = &self.arrays[name];
        assert_eq!(found.dims(), expected.dims(), "{}: {name}", self.name());
        let apart = (found - expected).unwrap().abs().unwrap().max_all().unwrap();
        let apart = f64::from(apart.to_scalar::<f32>().unwrap());
        assert!(apart < TOLERANCE, "{}: {name} is {apart} apart", self.name());
    }
}

fn cpu() -> LoadOptions {
    LoadOptions::default().device(Device::Cpu)
}

fn options(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn classifiers_and_clap_compute_what_the_reference_does_alone_and_together() {
    for golden in Golden::all() {
        let extractor = golden.extractor();
        let rows: Vec<_> = Golden::recordings(&golden.golden["recordings"])
            .iter()
            .map(|one| extractor.extract(&one.samples, one.sampling_rate).unwrap())
            .collect();
        let rows: Vec<_> = rows.iter().collect();
        if !golden.is_clap() {
            let model = AutoModel::open::<dyn AudioClassifier>(golden.source(), &cpu()).unwrap();
            let together = model.classify(&rows).unwrap();
            for (number, row) in rows.iter().enumerate() {
                let name = format!("logits.{number}");
                golden.close(&name, &together.get(number).unwrap());
                golden.close(&name, &model.classify(&[row]).unwrap().get(0).unwrap());
            }
            continue;
        }
        let model = AutoModel::open::<dyn AudioTextModel>(golden.source(), &cpu()).unwrap();
        let together = model.audio_features(&rows).unwrap();
        assert_eq!(together.dim(1).unwrap(), model.embedding_size());
        for number in 0..rows.len() {
            golden.close(&format!("audio.{number}"), &together.get(number).unwrap());
        }
        let tokenizer = Tokenizer::from_files(&golden.source().open().unwrap()).unwrap();
        let texts = golden.golden["texts"].as_array().unwrap().iter();
        let ids: Vec<Vec<u32>> =
            texts.map(|text| tokenizer.encode(text.as_str().unwrap()).unwrap().ids).collect();
        let batch = TokenBatch::padded(&ids, 1, PaddingSide::Right).unwrap();
        golden.close("texts", &model.text_features(&batch).unwrap());
        assert!(model.logit_scales().audio > model.logit_scales().text);
    }
}

/// Quantized while loading, and saved: the same numbers, near those of the dense model.
#[test]
fn models_are_quantized_and_saved() {
    let temporary = tempfile::tempdir().unwrap();
    for golden in Golden::all().into_iter().filter(Golden::is_clap) {
        let one = &Golden::recordings(&golden.golden["recordings"])[0];
        let row = golden.extractor().extract(&one.samples, one.sampling_rate).unwrap();
        let read = |source: ModelSource, options: &LoadOptions| {
            let model = AutoModel::open::<dyn AudioTextModel>(source, options).unwrap();
            let vector = model.audio_features(&[&row]).unwrap();
            (model, vector.get(0).unwrap().to_vec1::<f32>().unwrap())
        };
        let (_, dense) = read(golden.source(), &cpu());
        for (form, options, least) in
            [("dense", cpu(), 0.999_999), ("q8_0", cpu().quantize(QuantLevel::Q8_0), 0.98)]
        {
            let (model, found) = read(golden.source(), &options);
            let alike: f32 = dense.iter().zip(&found).map(|(a, b)| a * b).sum();
            assert!(alike >= least, "{}, {form}: {alike}", golden.name());
            let to = temporary.path().join(format!("{}-{form}", golden.name()));
            save(&golden.source().open().unwrap(), model.inventory(), &to).unwrap();
            let (_, again) = read(ModelSource::directory(&to), &cpu());
            let alike: f32 = found.iter().zip(&again).map(|(a, b)| a * b).sum();
            assert!(alike >= 0.999_99, "{}, {form}, saved: {alike}", golden.name());
        }
    }
}

/// Where two results differ.
fn difference(expected: &Value, found: &Value) -> Option<String> {
    let differs = || Some(format!("{found}, not {expected}"));
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            let near = (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < TOLERANCE;
            if near { None } else { differs() }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).find_map(|(a, b)| difference(a, b))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(name, a)| b.get(name).map_or_else(differs, |b| difference(a, b)))
        }
        (a, b) if a == b => None,
        _ => differs(),
    }
}

#[test]
fn outputs_of_pipelines_are_pythons() {
    let mut wrong = Vec::new();
    for golden in Golden::all() {
        let pipeline = golden.pipeline();
        for call in golden.golden["calls"].as_array().unwrap() {
            let mut inputs: Vec<_> =
                Golden::recordings(&call["recordings"]).into_iter().map(Input::from).collect();
            let input = if inputs.len() == 1 { inputs.remove(0) } else { Input::List(inputs) };
            let outcome = pipeline.call(input, options(&call["options"]));
            let problem = match (call.get("output"), outcome.map(|output| output.json)) {
                (Some(expected), Ok(found)) => difference(expected, &found),
                (Some(_), Err(error)) => Some(error.to_string()),
                (None, Ok(found)) => Some(format!("no error but {found}")),
                (None, Err(error)) if !error.is_caller_error() => Some(format!("{error:?}")),
                (None, Err(_)) => None,
            };
            wrong.extend(problem.map(|problem| {
                format!("{} {} {}: {problem}", golden.name(), call["recordings"], call["options"])
            }));
        }
    }
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_recording_is_the_same_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let (audio, path) = (recording(1, 5000), folder.path().join("recording.wav"));
    let file = fs::File::create(&path).unwrap();
    audio.write(file, sconce::audio::WavSamples::Float32).unwrap();
    let Pipeline::AudioClassification(classifier) = Golden::named("ast").pipeline() else {
        panic!()
    };
    let expected = classifier.run(audio.clone()).unwrap();
    assert_eq!(expected.len(), classifier.labels().names.len());
    let bytes = fs::read(&path).unwrap();
    for input in [AudioInput::from(path.as_path()), bytes.into()] {
        assert_eq!(classifier.run(input).unwrap(), expected);
    }
    let raw = json!({"raw": audio.samples, "sampling_rate": 16_000});
    for input in [raw, json!(audio.samples), json!(path)] {
        let found = Pipeline::from(classifier.clone()).call(input, Map::new()).unwrap().json;
        assert_eq!(difference(&serde_json::to_value(&expected).unwrap(), &found), None);
    }
    // Another rate is resampled, and an iterator gives each what it gives alone.
    let twice = audio.clone().resampled(32_000).unwrap();
    let given = [AudioInput::from(twice), audio.into()];
    let found: Vec<Vec<LabelScore>> =
        classifier.stream(given, &Default::default()).unwrap().map(Result::unwrap).collect();
    assert_eq!(found[1], expected);
    assert_eq!(found[0][0].label, expected[0].label);
    let with_stride = AudioInput::with_stride(recording(1, 5000), 10, 10);
    assert!(classifier.run(with_stride).unwrap_err().is_caller_error());

    let Pipeline::ZeroShotAudioClassification(classifier) = Golden::named("clap").pipeline() else {
        panic!()
    };
    let found = classifier.classify(path.as_path(), ["rain", "a dog"]).unwrap();
    assert!((found.iter().map(|one| one.score).sum::<f32>() - 1.0).abs() < 1e-6);
    assert_eq!(classifier.classify(recording(1, 5000), ["rain", "a dog"]).unwrap(), found);
}

/// What cannot be read says what is wrong.
#[test]
fn wrong_input_is_refused() {
    let golden = Golden::named("clap");
    let pipeline = golden.pipeline();
    let labels = options(&json!({"candidate_labels": ["rain"]}));
    let message = |input: Input, given: &Map<String, Value>| {
        let error = pipeline.call(input, given.clone()).unwrap_err();
        assert!(error.is_caller_error(), "{error:?}");
        error.to_string()
    };
    let silent = || Input::from(Audio::new(Vec::new(), 16_000).unwrap());
    for (input, given, expected) in [
        (silent(), labels.clone(), "without samples"),
        (silent(), options(&json!({"candidate_labels": "rain"})), "candidate_labels"),
        (silent(), options(&json!({"candidate_label": ["rain"]})), "candidate_labels"),
        (json!({"raw": [0.1]}).into(), labels.clone(), "sampling_rate"),
        (json!("https://example.org/a.wav").into(), labels.clone(), "download it"),
    ] {
        let found = message(input, &given);
        assert!(found.contains(expected), "{found}\ndoes not say\n{expected}");
    }
    // A checkpoint of another kind.
    let other = AutoModel::open::<dyn AudioTextModel>(Golden::named("ast").source(), &cpu());
    assert!(other.unwrap_err().to_string().contains("sounds and texts"));
    let other = AutoModel::open::<dyn AudioClassifier>(golden.source(), &cpu());
    assert!(other.unwrap_err().to_string().contains("\"clap\""));
    // Configs that do not fit together.
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(&golden.folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config: Value =
        serde_json::from_slice(&fs::read(golden.folder.join("config.json")).unwrap()).unwrap();
    for (field, value) in [
        ("spec_size", json!(70)),
        ("spec_size", json!(8)),
        ("window_size", json!(0)),
        ("window_size", json!(40)),
        ("depths", json!([])),
        ("depths", json!([1, 1, 1, 1, 1, 1, 1])),
        ("depths", json!([1e30])),
        ("num_attention_heads", json!([0, 0, 0])),
        ("num_attention_heads", json!([3, 2, 4])),
        ("patch_stride", json!([0, 4])),
        ("patch_size", json!([4])),
        ("patch_size", json!(99999)),
        ("hidden_size", json!(31)),
        ("patch_embeds_hidden_size", json!(7)),
        ("num_mel_bins", json!(0)),
    ] {
        let mut config = config.clone();
        config["audio_config"][field] = value.clone();
        fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let opened = AutoModel::open::<dyn AudioTextModel>(folder.path(), &cpu());
        assert!(opened.is_err(), "{field} {value}");
    }
}
