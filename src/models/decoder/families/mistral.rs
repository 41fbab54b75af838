//! Mistral 7B, Nemo, Ministral: Llama, except that layers may attend to a sliding window only (v0.1)
//! and heads have their own size (Nemo; Llama's config reads it too).
//!
//! GGUF files of Mistral models say `llama`.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, spans};
use crate::models::decoder::family::{Dialect, Family, HF, sizes};
use crate::models::raw_config::RawConfig;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["mistral"],
        sizes: &sizes([32_000, 4096, 14_336, 32, 32]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[2])],
        unread: &["attention_bias", "layer_types", "mlp_bias"],
        ..HF
    },
    gguf: llama::FAMILY.gguf,
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = &raw
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_key_value_heads", 8)
        .with_default("sliding_window", 4096);
    let mut config = llama::config(raw)?;
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}
