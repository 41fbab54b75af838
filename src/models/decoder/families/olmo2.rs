//! OLMo 2: Llama, except that norms stand after each half instead of before it, and queries and keys are
//! normed, all heads together.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, Residual};
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::rope::RopePairing;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["olmo2"],
    gguf_architectures: &["olmo2"],
    gguf_pairing: RopePairing::Halves,
    config,
    sizes: &[
        ("vocab_size", 50_304),
        ("hidden_size", 4096),
        ("intermediate_size", 11_008),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("eos_token_id", 50_279),
        ("pad_token_id", 1),
    ],
    unread: &["mlp_bias"],
    safetensors: &[
        renamed("layers.*.attn_post_norm", "model.layers.*.post_attention_layernorm"),
        renamed("layers.*.mlp_post_norm", "model.layers.*.post_feedforward_layernorm"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let mut config = llama::config(&raw.with_default("rms_norm_eps", 1e-5), pairing)?;
    for layer in &mut config.layers {
        layer.residual = Residual::PostNorm;
        layer.attention.qk_norm = QkNorm::AllHeads(layer.norm);
    }
    Ok(config)
}
