//! Qwen3: Llama, except that each query and key head is RMS-normed, heads are 128 wide unless the
//! config says otherwise, and windows are as in Qwen2.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, qwen2};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect { types: &["qwen3"], sizes: qwen2::FAMILY.hf.sizes, unread: &["mlp_bias"], ..HF },
    gguf: Dialect { types: &["qwen3"], ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = &raw
        .with_default("head_dim", 128)
        .with_default("max_position_embeddings", 32768)
        .with_default("num_key_value_heads", 32);
    let mut config = llama::config(raw)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
    }
    qwen2::slide(raw, &mut config)?;
    Ok(config)
}
