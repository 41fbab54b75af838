//! Activations with weights of their own, under the names that the reference has for them in each family:
//! `tests/goldens/activation_weights.json`, by `make_configs.py`. With weights of 0, `prelu` is `relu`.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, end them by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use sconce::batch::TokenBatch;
use sconce::models::heads::{Encoder, MaskedLm};
use sconce::models::{AutoModel, CausalLm, LogitsAt, Seq2SeqLm};
use sconce::{LoadOptions, Result};
use serde::Deserialize;
use serde_json::{Value, json};

/// A field of a family's config, and the tensors that are there where it is `prelu`.
#[derive(Deserialize)]
struct Named {
    folder: String,
    field: String,
    names: Vec<String>,
}

const IDS: [u32; 9] = [5, 9, 17, 6, 40, 33, 12, 9, 7];

#[test]
fn weights_of_activations_are_found_in_every_family() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = fs::read_to_string(goldens.join("activation_weights.json")).unwrap();
    let all: Vec<Named> = serde_json::from_str(&text).unwrap();
    assert!(all.len() > 40);
    let mut wrong = Vec::new();
    for Named { folder, field, names } in all {
        let run = |activation: &str, weight: f32| {
            let copy = tempfile::tempdir().unwrap();
            let from = goldens.join(&folder);
            let config = fs::read_to_string(from.join("config.json")).unwrap();
            let mut config: Value = serde_json::from_str(&config).unwrap();
            config[&field] = json!(activation);
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
