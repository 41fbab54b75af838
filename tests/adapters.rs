//! Adapters of language models and of models that paint, against PEFT and diffusers:
//! `tests/goldens/make_adapters.py`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use sconce::batch::{PaddingSide, TokenBatch};
use sconce::models::{AutoModel, CausalLm, LogitsAt};
use sconce::{Adapter, AdapterPlace, LoadOptions, Precision, QuantLevel};
use serde_json::Value;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens")
}

fn expected() -> Value {
    let path = goldens().join("adapters/expected.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

/// Of a case of the script.
fn adapters(case: &Value, place: AdapterPlace) -> Vec<Adapter> {
    let of = |adapter: &Value| {
        let path = goldens().join("adapters").join(adapter[0].as_str().unwrap());
        let file = path.with_extension("safetensors");
        let adapter_of = Adapter::new(if file.exists() { file } else { path });
        let adapter_of = adapter_of.scale(adapter[1].as_f64().unwrap() as f32);
        match place {
            AdapterPlace::Beside => adapter_of.beside(),
            _ => adapter_of,
        }
    };
    case["adapters"].as_array().unwrap().iter().map(of).collect()
}

fn options(adapters: Vec<Adapter>) -> LoadOptions {
    let options = LoadOptions::default().device(Device::Cpu).dtype(Precision::F32);
    adapters.into_iter().fold(options, LoadOptions::with_adapter)
}

fn logits(base: &str, ids: &[u32], options: &LoadOptions) -> sconce::Result<Vec<f32>> {
    let model = AutoModel::open::<dyn CausalLm>(goldens().join(base), options)?;
    let batch = TokenBatch::padded(&[ids.to_vec()], 0, PaddingSide::Right)?;
    let logits = model.forward(&batch, &mut model.new_cache(), LogitsAt::EveryToken)?;
    Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

fn most_apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

#[test]
fn language_models_with_adapters_are_as_in_python() {
    let golden = expected();
    let ids: Vec<u32> = numbers(&golden["ids"]).into_iter().map(|id| id as u32).collect();
    let cases = golden["language"].as_array().unwrap();
    assert!(cases.len() >= 12);
    for case in cases {
        let base = case["base"].as_str().unwrap();
        let expected = numbers(&case["logits"]);
        let plain = logits(base, &ids, &options(Vec::new())).unwrap();
        let every = |all: Vec<f32>| all.into_iter().step_by(7).collect::<Vec<_>>();
        assert!(most_apart(&every(plain), &expected) > 0.1, "{}", case["adapters"]);
        for place in [AdapterPlace::Merged, AdapterPlace::Beside] {
            let found = logits(base, &ids, &options(adapters(case, place))).unwrap();
            let apart = most_apart(&every(found), &expected);
            assert!(apart < 1e-3, "{} {place:?}: {apart}", case["adapters"]);
        }
    }
}

/// Beside quantized weights an adapter is exact; merged, it is quantized with them.
#[test]
fn adapters_go_with_quantized_weights() {
    let golden = expected();
    let ids: Vec<u32> = numbers(&golden["ids"]).into_iter().map(|id| id as u32).collect();
    let case = &golden["language"][0];
    let expected = numbers(&case["logits"]);
    for place in [AdapterPlace::Merged, AdapterPlace::Beside] {
        let mut quantized = options(adapters(case, place)).quantize(QuantLevel::Q8_0);
        quantized.dtype = None;
        let found = logits("llama-tiny", &ids, &quantized).unwrap();
        let found: Vec<f32> = found.into_iter().step_by(7).collect();
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let apart = most_apart(&found, &expected);
        assert!(apart < 0.1 * largest, "{place:?}: {apart} of {largest}");
    }
}

#[test]
fn an_adapter_in_gguf_goes_with_a_model_in_gguf() {
    let golden = expected();
    let ids: Vec<u32> = numbers(&golden["ids"]).into_iter().map(|id| id as u32).collect();
    let is_plain = |case: &&Value| case["adapters"][0][0] == "llama-plain";
    let case = golden["language"].as_array().unwrap().iter().find(is_plain).unwrap();
    let adapter = Adapter::new(goldens().join("adapters/llama-plain.gguf"));
    let found = logits("llama-tiny/model.gguf", &ids, &options(vec![adapter])).unwrap();
    let found: Vec<f32> = found.into_iter().step_by(7).collect();
    assert!(most_apart(&found, &numbers(&case["logits"])) < 1e-3);
}

#[test]
fn adapters_of_other_models_are_refused() {
    let folder = goldens().join("adapters");
    let error = |base: &str, adapter: Adapter| {
        logits(base, &[1, 2], &options(vec![adapter])).unwrap_err().to_string()
    };
    // Of modules that are not there.
    let text = error("gpt2-tiny", Adapter::new(folder.join("llama")));
    assert!(
        text.contains("another model") && text.contains("q_proj") && text.contains("c_attn"),
        "{text}"
    );
    // Of another size.
    let text = error("llama-gqa-tiny", Adapter::new(folder.join("llama")));
    assert!(text.contains("another model"), "{text}");
    // Of pictures.
    let text = error("llama-tiny", Adapter::new(folder.join("kohya.safetensors")));
    assert!(text.contains("another model") && text.contains("lora_te"), "{text}");
    let text = error("llama-tiny", Adapter::new(goldens().join("sd1-nothing")));
    assert!(text.contains("sd1-nothing"), "{text}");
    let text = error("llama-tiny", Adapter::new(goldens().join("llama-tiny")));
    assert!(text.contains("adapter_model"), "{text}");
    let text = error("llama-tiny", Adapter::new(goldens().join("llama-tiny/model.safetensors")));
    assert!(text.contains("no LoRA"), "{text}");
    let text = error("llama-tiny", Adapter::new(folder.join("llama")).scale(f32::NAN));
    assert!(text.contains("adapters"), "{text}");
    let text = error("llama-tiny", Adapter::new(goldens().join("llama-tiny/model.gguf")));
    assert!(text.contains("no LoRA"), "{text}");
}

#[test]
fn a_model_with_adapters_is_not_saved_as_without() {
    let adapter = Adapter::new(goldens().join("adapters/llama"));
    let files = sconce::ModelSource::from(goldens().join("llama-tiny")).open().unwrap();
    let model = AutoModel::from_files::<dyn CausalLm>(&files, &options(vec![adapter])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for to in ["saved", "saved.gguf"] {
        let error = sconce::models::save(&files, model.inventory(), folder.path().join(to));
        assert!(error.unwrap_err().to_string().contains("adapters"));
    }
}

#[cfg(feature = "image")]
mod pictures {
    use sconce::diffusion::{PaintOptions, Painter};

    use super::*;

    #[test]
    fn pictures_with_adapters_are_as_in_python() {
        let golden = expected();
        let mut complaints = Vec::new();
        for case in golden["pictures"].as_array().unwrap() {
            for place in [AdapterPlace::Merged, AdapterPlace::Beside] {
                let folder = goldens().join("diffusion").join(case["base"].as_str().unwrap());
                let options = options(adapters(case, place));
                let painter = Painter::open(folder.as_path(), &options).unwrap();
                let options: PaintOptions =
                    serde_json::from_value(case["options"].clone()).unwrap();
                let painted = painter.paint(golden["prompt"].as_str().unwrap(), &options).unwrap();
                let bytes = painted.images.iter().flat_map(|image| image.rgb.clone());
                let found: Vec<f32> = bytes.step_by(17).map(f32::from).collect();
                let apart = most_apart(&found, &numbers(&case["pixels"]));
                if apart > 1.0 {
                    complaints
                        .push(format!("{} {} {place:?}: {apart}", case["base"], case["adapters"]));
                }
            }
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    #[test]
    fn adapters_of_other_pictures_are_refused() {
        let error = |base: &str, adapter: &str| {
            let adapter = Adapter::new(goldens().join(format!("adapters/{adapter}.safetensors")));
            let folder = goldens().join("diffusion").join(base);
            Painter::open(folder.as_path(), &options(vec![adapter])).unwrap_err().to_string()
        };
        // The second encoder is not there, modules are not, and sizes differ.
        let text = error("sd1", "sgm");
        assert!(text.contains("lora_te2") && text.contains("unet, text_encoder"), "{text}");
        let text = error("flux-dev", "kohya");
        assert!(text.contains("another model"), "{text}");
        let text = error("sdxl", "lcm");
        assert!(text.contains("another model"), "{text}");
    }
}
