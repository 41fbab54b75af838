//! Mistral 7B, Nemo, Ministral: Llama, except that layers may attend to a sliding window only (v0.1)
//! and heads have their own size (Nemo; Llama's config reads it too).
//!
//! GGUF files of Mistral models say `llama`.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    model_types: &["mistral"],
    gguf_architectures: &[],
    config,
    sizes: &[
        ("vocab_size", 32_000),
        ("hidden_size", 4096),
        ("intermediate_size", 14_336),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("bos_token_id", 1),
        ("eos_token_id", 2),
    ],
    unread: &["attention_bias", "layer_types", "mlp_bias"],
    ..llama::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = &raw
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_key_value_heads", 8)
        .with_default("sliding_window", 4096);
    let mut config = llama::config(raw, pairing)?;
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}
