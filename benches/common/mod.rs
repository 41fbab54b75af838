//! What the benchmarks share: a model of a real shape with random weights, at every level.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sconce::models::{AutoModel, CausalLm};
use sconce::{DType, Device, LoadOptions, QuantLevel, Tensor};

/// The layers of SmolLM2-135M at a third of their number; speed per layer is what counts.
const LAYERS: usize = 10;
const HIDDEN: usize = 576;
const FEED_FORWARD: usize = 1536;
const VOCABULARY: usize = 8192;

/// How weights are held, with the name it has in reports; dense first, as the baseline.
pub fn levels() -> Vec<(&'static str, LoadOptions)> {
    let dense = ("f32", LoadOptions::default());
    let quantized = |level: &QuantLevel| (level.name(), LoadOptions::default().quantize(*level));
    std::iter::once(dense).chain(QuantLevel::ALL.iter().map(quantized)).collect()
}

/// Loads the model.
pub fn model(options: &LoadOptions) -> Arc<dyn CausalLm> {
    AutoModel::open::<dyn CausalLm>(folder(), options).expect("the folder was just written")
}

/// A folder with `config.json` and `model.safetensors`, written once a process.
pub fn folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sconce-bench-{}", std::process::id()));
    if !folder.exists() {
        fs::create_dir_all(&folder).expect("the temporary folder is writable");
        fs::write(folder.join("config.json"), config()).expect("as above");
        candle_core::safetensors::save(&weights(), folder.join("model.safetensors"))
            .expect("as above");
    }
    folder
}

fn config() -> String {
    format!(
        r#"{{"model_type": "llama", "hidden_size": {HIDDEN}, "intermediate_size": {FEED_FORWARD},
            "num_hidden_layers": {LAYERS}, "num_attention_heads": 9, "num_key_value_heads": 3,
            "vocab_size": {VOCABULARY}, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
            "tie_word_embeddings": false}}"#
    )
}

fn weights() -> HashMap<String, Tensor> {
    let matrix = |rows: usize, columns: usize| {
        let random = Tensor::randn(0.0_f32, 0.02, (rows, columns), &Device::Cpu);
        random.and_then(|tensor| tensor.to_dtype(DType::BF16)).expect("memory for a few matrices")
    };
    let norm = || Tensor::ones(HIDDEN, DType::BF16, &Device::Cpu).expect("as above");
    let mut tensors = HashMap::from([
        ("model.embed_tokens.weight".to_owned(), matrix(VOCABULARY, HIDDEN)),
        ("lm_head.weight".to_owned(), matrix(VOCABULARY, HIDDEN)),
        ("model.norm.weight".to_owned(), norm()),
    ]);
    for layer in 0..LAYERS {
        let mut add = |name: &str, tensor: Tensor| {
            tensors.insert(format!("model.layers.{layer}.{name}.weight"), tensor);
        };
        add("self_attn.q_proj", matrix(HIDDEN, HIDDEN));
        add("self_attn.k_proj", matrix(HIDDEN / 3, HIDDEN));
        add("self_attn.v_proj", matrix(HIDDEN / 3, HIDDEN));
        add("self_attn.o_proj", matrix(HIDDEN, HIDDEN));
        add("mlp.gate_proj", matrix(FEED_FORWARD, HIDDEN));
        add("mlp.up_proj", matrix(FEED_FORWARD, HIDDEN));
        add("mlp.down_proj", matrix(HIDDEN, FEED_FORWARD));
        add("input_layernorm", norm());
        add("post_attention_layernorm", norm());
    }
    tensors
}
