//! Gemma 3 (text): Gemma 2, except that
//! - nothing is capped unless the config says so;
//! - five layers in six attend to a sliding window, with a rope of their own (base
//!   `rope_local_base_freq`, never scaled);
//! - each query and key head is normed.
//!
//! Multimodal checkpoints (`gemma3`) hold all this in `text_config`, and leave out what is as in the 4B model.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::gemma2;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{Positions, QkNorm};
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};

pub(super) const FAMILY: Family = Family {
    model_types: &["gemma3_text", "gemma3"],
    gguf_architectures: &["gemma3"],
    config,
    // In `text_config`, where there is one.
    sizes: &[],
    ..gemma2::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw
        .section("text_config")?
        .unwrap_or_else(|| raw.clone())
        .with_default("hidden_size", 2304)
        .with_default("intermediate_size", 9216)
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_attention_heads", 8)
        .with_default("num_hidden_layers", 26)
        .with_default("rope_theta", 1_000_000.0)
        .with_default("vocab_size", 262_208);
    refuse(&raw)?;
    let mut config = gemma2::sandwich(&raw, pairing, 62)?;
    let pattern = raw.optional_size("sliding_window_pattern")?.unwrap_or(6);
    let window = raw.optional_size("sliding_window")?.unwrap_or(4096);
    spans::slide(&raw, &mut config, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    let parameters = raw.section("rope_parameters")?;
    let sliding =
        parameters.map(|parameters| parameters.section("sliding_attention")).transpose()?;
    let theta = match sliding.flatten() {
        Some(sliding) => sliding.number("rope_theta", 10_000.0)?,
        None => raw.number("rope_local_base_freq", 10_000.0)?,
    };
    let local = RopeConfig { theta, scaling: RopeScaling::None, ..config.ropes[0].clone() };
    config.ropes.push(local);
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
        if layer.attention.span != 0 {
            layer.attention.positions = Positions::Rotary(1);
        }
    }
    Ok(config)
}

fn refuse(raw: &RawConfig) -> Result<()> {
    if raw.flag("use_bidirectional_attention", false)? {
        return Err(raw.refuse("use_bidirectional_attention", "a decoder looks back only"));
    }
    // The reference has this field and does not use it.
    if raw.number("attn_logit_softcapping", 0.0)? != 0.0 {
        return Err(raw.refuse("attn_logit_softcapping", "no Gemma 3 caps its scores"));
    }
    Ok(())
}
