//! Gemma 2: Gemma, except that
//! - each half of a layer is normed again before it is added;
//! - queries are scaled by `query_pre_attn_scalar` instead of `head_dim`;
//! - scores and logits are capped;
//! - every other layer attends to a sliding window.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, Residual};
use crate::models::decoder::families::Family;
use crate::models::decoder::families::gemma;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;
use crate::weights::names::plus_one;

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma2"],
    gguf_architectures: &["gemma2"],
    gguf_pairing: RopePairing::Halves,
    config,
    sizes: &[
        ("vocab_size", 256_000),
        ("hidden_size", 2304),
        ("intermediate_size", 9216),
        ("num_hidden_layers", 26),
        ("num_attention_heads", 8),
        ("bos_token_id", 2),
        ("eos_token_id", 1),
        ("pad_token_id", 0),
    ],
    unread: &[],
    // Those of queries and keys are Gemma 3's.
    safetensors: &[
        gemma::FINAL_NORM,
        plus_one("layers.*.attn_norm", "model.layers.*.input_layernorm"),
        plus_one("layers.*.attn.q_norm", "model.layers.*.self_attn.q_norm"),
        plus_one("layers.*.attn.k_norm", "model.layers.*.self_attn.k_norm"),
        plus_one("layers.*.attn_post_norm", "model.layers.*.post_attention_layernorm"),
        plus_one("layers.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"),
        plus_one("layers.*.mlp_post_norm", "model.layers.*.post_feedforward_layernorm"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("attn_logit_softcapping", 50.0)
        .with_default("final_logit_softcapping", 30.0)
        .with_default("sliding_window", 4096);
    let mut config = sandwich(&raw, pairing, 46)?;
    let window = raw.size("sliding_window")?;
    spans::slide(&raw, &mut config, window, |layer| layer.is_multiple_of(2))?;
    Ok(config)
}

/// What Gemma 2 and 3 share: all but spans. GGUF files do not say how queries are scaled: llama.cpp
/// knows that only the 27B models, by their number of layers, do not go by `head_dim`.
pub(super) fn sandwich(
    raw: &RawConfig,
    pairing: RopePairing,
    layers_of_27b: usize,
) -> Result<DecoderConfig> {
    let raw = &raw.with_default("num_key_value_heads", 4);
    let mut config = gemma::scaled(raw, pairing, "hidden_activation")?;
    config.logit_cap = raw.optional_number("final_logit_softcapping")?;
    let hidden_size = config.hidden_size;
    let is_27b = config.layers.len() == layers_of_27b;
    for layer in &mut config.layers {
        let attention = &mut layer.attention;
        let scalar = match raw.is_gguf() {
            true if is_27b => (hidden_size / attention.heads) as f64,
            true => attention.head_dim as f64,
            false => raw.number("query_pre_attn_scalar", 256.0)?,
        };
        attention.scale = scalar.powf(-0.5);
        attention.score_cap = raw.optional_number("attn_logit_softcapping")?;
        layer.residual = Residual::Sandwich;
    }
    Ok(config)
}
