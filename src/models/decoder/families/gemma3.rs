//! Gemma 3: Gemma, except that
//! - each half of a layer is normed again before it is added;
//! - queries are scaled by `query_pre_attn_scalar` instead of `head_dim`;
//! - five layers in six attend to a sliding window, with a rope of their own (base
//!   `rope_local_base_freq`, never scaled);
//! - each query and key head is normed.
//!
//! Soft caps, which Gemma 2 has and no Gemma 3 uses, are refused.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, Residual};
use crate::models::decoder::families::Family;
use crate::models::decoder::families::gemma;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
use crate::weights::names::plus_one;

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma3_text"],
    gguf_architectures: &["gemma3"],
    gguf_pairing: RopePairing::Halves,
    config,
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
    if raw.flag("use_bidirectional_attention", false)? {
        return Err(raw.refuse("use_bidirectional_attention", "a decoder looks back only"));
    }
    let raw = raw.with_default("rope_theta", 1_000_000.0);
    for cap in ["attn_logit_softcapping", "final_logit_softcapping"] {
        if raw.number(cap, 0.0)? != 0.0 {
            return Err(raw.refuse(cap, "soft caps are not supported yet"));
        }
    }
    let mut config = gemma::config(&raw, pairing)?;
    let pattern = raw.optional_size("sliding_window_pattern")?.unwrap_or(6);
    let window = raw.optional_size("sliding_window")?.unwrap_or(4096);
    spans::slide(&raw, &mut config, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let local = RopeConfig {
        theta: raw.number("rope_local_base_freq", 10_000.0)?,
        scaling: RopeScaling::None,
        ..config.ropes[0].clone()
    };
    config.ropes.push(local);
    let scale = raw.number("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    for layer in &mut config.layers {
        layer.residual = Residual::Sandwich;
        layer.attention.scale = scale;
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
        if layer.attention.span != 0 {
            layer.attention.rope = Some(1);
        }
    }
    Ok(config)
}
