//! Gemma 3 (text): Gemma 2, except that
//! - nothing is capped unless the config says so;
//! - five layers in six attend to a sliding window, with a rope of their own (base
//!   `rope_local_base_freq`, never scaled);
//! - each query and key head is normed;
//! - with `use_bidirectional_attention` (EmbeddingGemma) tokens attend both ways, with half of the
//!   window on either side. GGUF files have an architecture of its own for it.
//!
//! Multimodal checkpoints (`gemma3`) hold all this in `text_config`, and leave out what is as in the 4B model.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{gemma2, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{Positions, QkNorm};
use crate::nn::rope::{RopeConfig, RopeScaling};
use crate::nn::span::AttentionSpan;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["gemma3_text", "gemma3"],
        // They are in `text_config`, where there is one.
        sizes: &[],
        ..gemma2::FAMILY.hf
    },
    gguf: Dialect {
        types: &["gemma3", EMBEDDING],
        spellings: &[("rope_local_base_freq", "rope.freq_base_swa")],
        translate: |raw| {
            let looks_ahead = raw.model_type()? == EMBEDDING;
            gemma2::scaled_by_heads(&raw.with("use_bidirectional_attention", looks_ahead), 62)
        },
        ..GGUF
    },
};

/// EmbeddingGemma.
const EMBEDDING: &str = "gemma-embedding";

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
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
    let mut config = gemma2::sandwich(&raw)?;
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
    if raw.flag("use_bidirectional_attention", false)? {
        for span in &mut config.spans {
            let window = span.window().map(|window| window / 2 + 1);
            *span = AttentionSpan::Bidirectional { window };
        }
    }
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
        // The reference has `attn_logit_softcapping` and does not use it.
        layer.attention.score_cap = None;
        if layer.attention.span != 0 {
            layer.attention.positions = Positions::Rotary(1);
        }
    }
    Ok(config)
}
