//! Phi-3, 3.5 and 4 (mini, medium): Llama, except that query, key and value are stored fused, as are gate
//! and up; that rope may be partial; and that layers may attend to a sliding window.
//!
//! With `longrope` (the 128k models) a conversation that grows beyond the original context is computed
//! again with the other set of factors: `prepare_inputs_for_generation` in transformers' modeling_phi3.py.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopeScaling;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["phi3"],
        names: &[
            fused("layers.*.attn.qkv", "model.layers.*.self_attn.qkv_proj"),
            renamed("layers.*.mlp.act", "model.layers.*.mlp.activation_fn"),
            fused("layers.*.mlp.gate_up", "model.layers.*.mlp.gate_up_proj"),
        ],
        sizes: &sizes([32_064, 3072, 8192, 32, 32]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[32_000]), ("pad_token_id", &[32_000])],
        unread: &["attention_bias", "layer_types", "mlp_bias"],
        translate: with_longrope,
        ..HF
    },
    gguf: Dialect {
        types: &["phi3"],
        names: &[
            fused("layers.*.attn.qkv", "blk.*.attn_qkv"),
            fused("layers.*.mlp.gate_up", "blk.*.ffn_up"),
        ],
        translate: without_empty_window,
        keys: |config| match config.spans.len() {
            1 => vec![("attention.sliding_window", 0_usize.into())],
            _ => Vec::new(),
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("max_position_embeddings", 4096).with_default("rms_norm_eps", 1e-5);
    let raw = match raw.section("rope_parameters")? {
        Some(_) => raw,
        None => raw.with_default("original_max_position_embeddings", 4096),
    };
    let mut config = llama::config(&raw)?;
    if let RopeScaling::LongRope { original_positions, .. } = config.ropes[0].scaling {
        config.recomputed_beyond = Some(original_positions);
    }
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(&raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}

/// llama.cpp's converter says "no window" by a window of 0.
fn without_empty_window(raw: &RawConfig) -> Result<RawConfig> {
    match raw.number("sliding_window", 0.0)? == 0.0 {
        true => Ok(raw.without("sliding_window")),
        false => Ok(raw.clone()),
    }
}

/// `Phi3Config` knows one scaling, which configs of its first days call `su` or `yarn`.
fn with_longrope(raw: &RawConfig) -> Result<RawConfig> {
    let Some(section) = raw.section("rope_scaling")? else { return Ok(raw.clone()) };
    let field = if section.text("rope_type")?.is_some() { "rope_type" } else { "type" };
    match section.text(field)? {
        Some("longrope" | "su") => Ok(raw.clone()),
        Some("yarn") if field == "type" => {
            Ok(raw.with_section("rope_scaling", section.with("type", "longrope")))
        }
        _ => Err(section.refuse(field, "longrope is supported")),
    }
}
