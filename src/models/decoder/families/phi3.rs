//! Phi-3, 3.5 and 4 (mini, medium): Llama, except that query, key and value are stored fused, as are gate
//! and up; that rope may be partial; and that layers may attend to a sliding window.
//!
//! With `longrope` (the 128k models) a conversation that grows beyond the original context is computed
//! again with the other set of factors: `prepare_inputs_for_generation` in transformers' modeling_phi3.py.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::{RopePairing, RopeScaling};
use crate::weights::names::{Part, part};

pub(super) const FAMILY: Family = Family {
    model_types: &["phi3"],
    gguf_architectures: &["phi3"],
    gguf_pairing: RopePairing::Halves,
    config,
    sizes: &[
        ("vocab_size", 32_064),
        ("hidden_size", 3072),
        ("intermediate_size", 8192),
        ("num_hidden_layers", 32),
        ("num_attention_heads", 32),
        ("bos_token_id", 1),
        ("eos_token_id", 32_000),
        ("pad_token_id", 32_000),
    ],
    unread: &["attention_bias", "layer_types", "mlp_bias"],
    safetensors: &[
        part("layers.*.attn.q", "model.layers.*.self_attn.qkv_proj", Part::Query),
        part("layers.*.attn.k", "model.layers.*.self_attn.qkv_proj", Part::Key),
        part("layers.*.attn.v", "model.layers.*.self_attn.qkv_proj", Part::Value),
        part("layers.*.mlp.gate", "model.layers.*.mlp.gate_up_proj", Part::Gate),
        part("layers.*.mlp.up", "model.layers.*.mlp.gate_up_proj", Part::Up),
    ],
    gguf: &[
        part("layers.*.attn.q", "blk.*.attn_qkv", Part::Query),
        part("layers.*.attn.k", "blk.*.attn_qkv", Part::Key),
        part("layers.*.attn.v", "blk.*.attn_qkv", Part::Value),
        part("layers.*.mlp.gate", "blk.*.ffn_up", Part::Gate),
        part("layers.*.mlp.up", "blk.*.ffn_up", Part::Up),
    ],
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw.with_default("max_position_embeddings", 4096).with_default("rms_norm_eps", 1e-5);
    let raw = match raw.section("rope_parameters")? {
        Some(_) => raw,
        None => raw.with_default("original_max_position_embeddings", 4096),
    };
    let raw = with_longrope(raw)?;
    let mut config = llama::config(&raw, pairing)?;
    if let RopeScaling::LongRope { original_positions, .. } = config.ropes[0].scaling {
        config.recomputed_beyond = Some(original_positions);
    }
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(&raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}

/// `Phi3Config` knows one scaling, which configs of its first days call `su` or `yarn`.
fn with_longrope(raw: RawConfig) -> Result<RawConfig> {
    let Some(section) = raw.section("rope_scaling")?.filter(|_| !raw.is_gguf()) else {
        return Ok(raw);
    };
    let field = if section.text("rope_type")?.is_some() { "rope_type" } else { "type" };
    match section.text(field)? {
        Some("longrope" | "su") => Ok(raw),
        Some("yarn") if field == "type" => {
            Ok(raw.with_section("rope_scaling", section.with("type", "longrope")))
        }
        _ => Err(section.refuse(field, "longrope is supported")),
    }
}
