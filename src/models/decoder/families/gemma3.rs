//! Gemma 3 (text): Gemma 2, except that
//! - nothing is capped unless the config says so;
//! - five layers in six attend to a sliding window, with a rope of their own (base
//!   `rope_local_base_freq`, never scaled);
//! - each query and key head is normed.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::gemma2;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{Positions, QkNorm};
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma3_text"],
    gguf_architectures: &["gemma3"],
    config,
    ..gemma2::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    if raw.flag("use_bidirectional_attention", false)? {
        return Err(raw.refuse("use_bidirectional_attention", "a decoder looks back only"));
    }
    // The reference has this field and does not use it.
    if raw.number("attn_logit_softcapping", 0.0)? != 0.0 {
        return Err(raw.refuse("attn_logit_softcapping", "no Gemma 3 caps its scores"));
    }
    let raw = raw.with_default("rope_theta", 1_000_000.0);
    let mut config = gemma2::sandwich(&raw, pairing, 62)?;
    let pattern = raw.optional_size("sliding_window_pattern")?.unwrap_or(6);
    let window = raw.optional_size("sliding_window")?.unwrap_or(4096);
    spans::slide(&raw, &mut config, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let local = RopeConfig {
        theta: raw.number("rope_local_base_freq", 10_000.0)?,
        scaling: RopeScaling::None,
        ..config.ropes[0].clone()
    };
    config.ropes.push(local);
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
        if layer.attention.span != 0 {
            layer.attention.positions = Positions::Rotary(1);
        }
    }
    Ok(config)
}
