//! Qwen3-MoE (Qwen3-30B-A3B, 235B-A22B): Qwen3, except that layers may have experts in place of the MLP,
//! as in Qwen2-MoE but without the one that every token takes; and that heads are as wide as in Llama.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::qwen2_moe;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    model_types: &["qwen3_moe"],
    gguf_architectures: &["qwen3moe"],
    config,
    sizes: &[
        ("vocab_size", 151_936),
        ("hidden_size", 2048),
        ("intermediate_size", 6144),
        ("num_hidden_layers", 24),
        ("num_attention_heads", 32),
    ],
    ..qwen2_moe::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 32768)
        .with_default("moe_intermediate_size", 768)
        .with_default("num_experts", 128)
        .with_default("num_experts_per_tok", 8)
        .with_default("num_key_value_heads", 4);
    let mut config = llama::config(&raw, pairing)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
    }
    // GGUF files do not say; llama.cpp knows.
    let mixture = qwen2_moe::experts(&raw, raw.is_gguf())?;
    qwen2_moe::spread(&raw, &mut config, &mixture)?;
    Ok(config)
}
