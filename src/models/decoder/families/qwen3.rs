//! Qwen3: Llama, except that each query and key head is RMS-normed, heads are 128 wide unless the
//! config says otherwise, and windows are as in Qwen2.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::qwen2;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    model_types: &["qwen3"],
    gguf_architectures: &["qwen3"],
    gguf_pairing: RopePairing::Halves,
    config,
    sizes: qwen2::FAMILY.sizes,
    unread: &["mlp_bias"],
    ..llama::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = &raw
        .with_default("head_dim", 128)
        .with_default("max_position_embeddings", 32768)
        .with_default("num_key_value_heads", 32);
    let mut config = llama::config(raw, pairing)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
    }
    qwen2::slide(raw, &mut config)?;
    Ok(config)
}
