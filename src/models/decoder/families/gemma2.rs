//! Gemma 2: Gemma, except that
//! - each half of a layer is normed again before it is added;
//! - queries are scaled by `query_pre_attn_scalar` instead of `head_dim`;
//! - scores and logits are capped;
//! - every other layer attends to a sliding window.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::{gemma, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::layer::NormPlace;
use crate::weights::names::plus_one;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["gemma2"],
        // Those of queries and keys are Gemma 3's.
        names: &[
            gemma::FINAL_NORM,
            plus_one("layers.*.attn_norm", "model.layers.*.input_layernorm"),
            plus_one("layers.*.attn.q_norm", "model.layers.*.self_attn.q_norm"),
            plus_one("layers.*.attn.k_norm", "model.layers.*.self_attn.k_norm"),
            plus_one("layers.*.attn_post_norm", "model.layers.*.post_attention_layernorm"),
            plus_one("layers.*.mlp_norm", "model.layers.*.pre_feedforward_layernorm"),
            plus_one("layers.*.mlp_post_norm", "model.layers.*.post_feedforward_layernorm"),
        ],
        sizes: &sizes([256_000, 2304, 9216, 26, 8]),
        ids: &[("bos_token_id", &[2]), ("eos_token_id", &[1]), ("pad_token_id", &[0])],
        ..HF
    },
    gguf: Dialect {
        types: &["gemma2"],
        translate: |raw| scaled_by_heads(raw, 46),
        head: Some(HeadWeights::TiedToEmbedding),
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("attn_logit_softcapping", 50.0)
        .with_default("final_logit_softcapping", 30.0)
        .with_default("sliding_window", 4096);
    let mut config = sandwich(&raw)?;
    let window = raw.size("sliding_window")?;
    spans::slide(&raw, &mut config, window, |layer| layer.is_multiple_of(2))?;
    Ok(config)
}

/// GGUF files do not say how queries are scaled. llama.cpp scales by `head_dim`, except for the 27B
/// models, which it knows by their number of layers.
pub(super) fn scaled_by_heads(raw: &RawConfig, layers_of_27b: usize) -> Result<RawConfig> {
    let scalar = match raw.layers()? == Some(layers_of_27b) {
        true => raw.size("hidden_size")? / raw.size("num_attention_heads")?,
        false => raw.optional_size("head_dim")?.unwrap_or(256),
    };
    Ok(raw.with("query_pre_attn_scalar", scalar))
}

/// What Gemma 2 and 3 share: all but spans.
pub(super) fn sandwich(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = &raw.with_default("num_key_value_heads", 4);
    let mut config = gemma::scaled(raw, "hidden_activation")?;
    config.logit_cap = raw.optional_number("final_logit_softcapping")?;
    let scalar = raw.number("query_pre_attn_scalar", 256.0)?;
    for layer in &mut config.layers {
        let attention = &mut layer.attention;
        attention.scale = scalar.powf(-0.5);
        attention.score_cap = raw.optional_number("attn_logit_softcapping")?;
        layer.norms = NormPlace::Sandwich;
    }
    Ok(config)
}
