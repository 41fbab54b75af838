//! Activations with weights of their own, under the names that the reference has for them in each family:
//! `tests/goldens/activation_weights.json`, by `make_configs.py`. With weights of 0, `prelu` is `relu`.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end them by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
#[cfg(feature = "audio")]
use sconce::audio::AudioFeatures;
use sconce::batch::TokenBatch;
#[cfg(feature = "image")]
use sconce::image::ImageProcessor;
use sconce::models::heads::{Encoder, MaskedLm};
#[cfg(feature = "audio")]
use sconce::models::speech::{AudioClassifier, Ctc, SpeechSeq2Seq};
#[cfg(feature = "image")]
use sconce::models::vision::{ImageClassifier, ImageEncoder, ImageTextModel};
use sconce::models::{AutoModel, CausalLm, LogitsAt, Seq2SeqLm};
#[cfg(feature = "image")]
use sconce::source::ModelSource;
use sconce::{LoadOptions, Result};
use serde::Deserialize;
use serde_json::{Value, json};

#[cfg(feature = "image")]
#[path = "support/picture.rs"]
mod picture;

/// A field of a family's config, and the tensors that are there where it is `prelu`.
#[derive(Deserialize)]
struct Named {
    folder: String,
    field: String,
    /// The configs within the config that have the field; none where it is in the config itself.
    parts: Vec<String>,
    names: Vec<String>,
}

/// The folders of models that hear.
const HEARD: [&str; 4] = ["ctc/", "moonshine/", "sounds/", "speech/"];

const IDS: [u32; 9] = [5, 9, 17, 6, 38, 33, 12, 9, 7];

#[test]
fn weights_of_activations_are_found_in_every_family() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = fs::read_to_string(goldens.join("activation_weights.json")).unwrap();
    let all: Vec<Named> = serde_json::from_str(&text).unwrap();
    assert!(all.len() > 70);
    let mut wrong = Vec::new();
    for Named { folder, field, parts, names } in all {
        let is_heard = HEARD.iter().any(|place| folder.starts_with(place));
        if folder.starts_with("vision/") && !cfg!(feature = "image")
            || is_heard && !cfg!(feature = "audio")
        {
            continue;
        }
        let run = |activation: &str, weight: f32| {
            let copy = tempfile::tempdir().unwrap();
            let from = goldens.join(&folder);
            let config = fs::read_to_string(from.join("config.json")).unwrap();
            let mut config: Value = serde_json::from_str(&config).unwrap();
            match parts.is_empty() {
                true => config[&field] = json!(activation),
                false => parts.iter().for_each(|part| config[part][&field] = json!(activation)),
            }
            fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
            let file = "model.safetensors";
            let mut tensors: HashMap<String, Tensor> =
                candle_core::safetensors::load(from.join(file), &Device::Cpu).unwrap();
            if activation == "prelu" {
                for name in &names {
                    let weight = Tensor::new(&[weight], &Device::Cpu).unwrap();
                    tensors.insert(name.clone(), weight);
                }
            }
            candle_core::safetensors::save(&tensors, copy.path().join(file)).unwrap();
            outputs(&folder, copy.path())
        };
        let [plain, zero, half] = [("relu", 0.0), ("prelu", 0.0), ("prelu", 0.5)]
            .map(|(activation, weight)| run(activation, weight).map_err(|error| error.to_string()));
        if plain != zero || plain == half || plain.is_err() {
            let shown = |outcome: std::result::Result<Vec<f32>, String>| match outcome {
                Ok(numbers) => format!("{:?}", &numbers[..3]),
                Err(error) => error,
            };
            let [plain, zero, half] = [plain, zero, half].map(shown);
            wrong.push(format!("{folder}, {field}: {plain} {zero} {half}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Some numbers that all layers have a part in.
fn outputs(kind: &str, folder: &Path) -> Result<Vec<f32>> {
    let options = LoadOptions::default().device(Device::Cpu);
    let batch = TokenBatch::single(&IDS)?;
    #[cfg(feature = "image")]
    if kind.starts_with("vision/") {
        return seen(kind, folder, &options);
    }
    #[cfg(feature = "audio")]
    if HEARD.iter().any(|place| kind.starts_with(place)) {
        return heard(kind, folder, &options);
    }
    let found = if kind.starts_with("seq2seq/") {
        let model = AutoModel::open::<dyn Seq2SeqLm>(folder, &options)?;
        model.forward(&batch, &mut model.encode(&batch)?, LogitsAt::EveryToken)?
    } else if kind.contains("gemma3-embedding") {
        AutoModel::open::<dyn Encoder>(folder, &options)?.encode(&batch)?
    } else if kind.starts_with("encoders/") {
        let model = AutoModel::open::<dyn MaskedLm>(folder, &options)?;
        model.predict(&batch, &[(0, 2), (0, 5)])?
    } else {
        let model = AutoModel::open::<dyn CausalLm>(folder, &options)?;
        model.forward(&batch, &mut model.new_cache(), LogitsAt::EveryToken)?
    };
    Ok(found.flatten_all()?.to_vec1()?)
}

/// The same of a model that hears: what it makes of as many frames as it reads.
#[cfg(feature = "audio")]
fn heard(kind: &str, folder: &Path, options: &LoadOptions) -> Result<Vec<f32>> {
    let config: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let size = |field: &str| config[field].as_u64().map(|size| size as usize);
    let width = size("num_mel_bins").or_else(|| size("feature_projection_input_dim")).unwrap_or(1);
    let frames = match (kind.split_once('/').unwrap().0, width) {
        ("speech", _) => 2 * size("max_source_positions").unwrap(),
        ("sounds", _) => size("max_length").unwrap(),
        (_, 1) => 4000,
        _ => 40,
    };
    let values = (0..frames * width).map(|at| ((at * 7919) % 1009) as f32 / 504.5 - 1.0).collect();
    let features = AudioFeatures::new(values, width, frames)?;
    let found = match kind.split_once('/').unwrap().0 {
        "ctc" => AutoModel::open::<dyn Ctc>(folder, options)?.logits(&[&features])?.remove(0),
        "sounds" => {
            AutoModel::open::<dyn AudioClassifier>(folder, options)?.classify(&[&features])?
        }
        _ => {
            let model = AutoModel::open::<dyn SpeechSeq2Seq>(folder, options)?;
            let mut cache = model.encode(&[&features])?;
            model.forward(&TokenBatch::single(&IDS)?, &mut cache, LogitsAt::EveryToken)?
        }
    };
    Ok(found.flatten_all()?.to_vec1()?)
}

/// The same of a model that sees: of pictures, and of texts where it reads them, too.
#[cfg(feature = "image")]
fn seen(kind: &str, folder: &Path, options: &LoadOptions) -> Result<Vec<f32>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(kind);
    let processor = ImageProcessor::from_files(&ModelSource::directory(golden).open()?)?;
    let values = processor.process(&picture::picture(40, 30))?;
    let mut numbers = Vec::new();
    if let Ok(pair) = AutoModel::open::<dyn ImageTextModel>(folder, options) {
        numbers.extend(pair.embed_images(&[&values])?.flatten_all()?.to_vec1::<f32>()?);
        numbers.extend(pair.embed_texts(&[IDS.to_vec()])?.flatten_all()?.to_vec1::<f32>()?);
        return Ok(numbers);
    }
    let classifier = AutoModel::open::<dyn ImageClassifier>(folder, options);
    let found = match classifier {
        Ok(classifier) => classifier.classify(&[&values])?,
        Err(_) => AutoModel::open::<dyn ImageEncoder>(folder, options)?.pool(&[&values])?,
    };
    Ok(found.flatten_all()?.to_vec1()?)
}
