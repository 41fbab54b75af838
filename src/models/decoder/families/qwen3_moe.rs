//! Qwen3-MoE (Qwen3-30B-A3B, 235B-A22B): Qwen3, except that layers may have experts in place of the MLP,
//! as in Qwen2-MoE but without the one that every token takes; and that heads are as wide as in Llama.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, qwen2_moe};
use crate::models::decoder::family::{Dialect, Family, GGUF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["qwen3_moe"],
        sizes: &sizes([151_936, 2048, 6144, 24, 32]),
        ..qwen2_moe::FAMILY.hf
    },
    gguf: Dialect {
        types: &["qwen3moe"],
        // llama.cpp knows.
        translate: |raw| Ok(raw.with_default("norm_topk_prob", true)),
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 32768)
        .with_default("moe_intermediate_size", 768)
        .with_default("num_experts", 128)
        .with_default("num_experts_per_tok", 8)
        .with_default("num_key_value_heads", 4);
    let mut config = llama::config(&raw)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
    }
    let mixture = qwen2_moe::experts(&raw)?;
    qwen2_moe::spread(&raw, &mut config, &mixture)?;
    Ok(config)
}
