//! Llama 2, 3, 3.1, 3.2, 3.3, and other models of type `llama`: SmolLM2, TinyLlama, Yi. All other
//! families are written as "Llama, except …".
//!
//! Config: `configuration_llama.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::experts;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF, sizes};
use crate::models::decoder::rope_config;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{AttentionConfig, Positions};
use crate::nn::experts::ExpertShares;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::RopePairing;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    config: with_experts,
    hf: Dialect {
        types: &["llama"],
        sizes: &sizes([32_000, 4096, 11_008, 32, 32]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[2])],
        unread: &["num_experts"],
        ..HF
    },
    gguf: Dialect { types: &["llama"], pairing: RopePairing::Adjacent, biases: EVERY_BIAS, ..GGUF },
};

/// GGUF files of Mixtral say `llama` too, and how many experts there are.
fn with_experts(raw: &RawConfig) -> Result<DecoderConfig> {
    let mut config = config(raw)?;
    if raw.number("num_experts", 0.0)? > 0.0 {
        let mixture = experts::read(raw, "intermediate_size", ExpertShares::OfChosen)?;
        experts::spread(&mut config, &mixture, |_| true);
    }
    Ok(config)
}

/// Every layer alike, attending to everything, rotated as the config says.
pub(super) fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    raw.refuse_pruned_heads()?;
    let layer = layer(raw)?;
    let (rope, max_positions) = rope_config::read(raw, layer.attention.head_dim)?;
    Ok(DecoderConfig {
        vocab_size: raw.size("vocab_size")?,
        hidden_size: raw.size("hidden_size")?,
        max_positions,
        recomputed_beyond: None,
        embedding_scale: None,
        embedding_norm: None,
        final_norm: Some(layer.norm),
        layers: vec![layer; raw.layers()?.ok_or_else(|| raw.missing("num_hidden_layers"))?],
        positions: AbsolutePositions::None,
        ropes: vec![rope],
        alibis: Vec::new(),
        spans: vec![AttentionSpan::Causal { window: None }],
        head: head(raw, false)?,
        head_bias: Bias::Absent,
        logit_scale: None,
        logit_cap: None,
    })
}

/// `tie_word_embeddings`, where the family's default is `tied`.
pub(super) fn head(raw: &RawConfig, tied: bool) -> Result<HeadWeights> {
    Ok(match raw.flag("tie_word_embeddings", tied)? {
        true => HeadWeights::TiedToEmbedding,
        false => HeadWeights::Own,
    })
}

fn layer(raw: &RawConfig) -> Result<LayerConfig> {
    let hidden_size = raw.size("hidden_size")?;
    let heads = raw.size("num_attention_heads")?;
    let kv_heads = raw.optional_size("num_key_value_heads")?.unwrap_or(heads);
    if !heads.is_multiple_of(kv_heads) {
        let reason = format!("it should divide `num_attention_heads`, which is {heads}");
        return Err(raw.refuse("num_key_value_heads", reason));
    }
    let head_dim = raw.optional_size("head_dim")?.unwrap_or(hidden_size / heads);
    let attention_bias = raw.flag("attention_bias", false)?;
    Ok(LayerConfig {
        norms: NormPlace::Before,
        residual_scale: None,
        norm: NormConfig::Rms { eps: raw.epsilon("rms_norm_eps", 1e-6)? },
        attention: AttentionConfig {
            kv_heads,
            positions: Positions::Rotary(0),
            qkv_bias: attention_bias.into(),
            ..AttentionConfig::plain(
                heads,
                head_dim,
                raw.flag("attention_output_bias", attention_bias)?.into(),
            )
        },
        cross: None,
        mlp: MlpConfig::Gated {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "silu")?,
            bias: Bias::from(raw.flag("mlp_bias", false)?),
        },
    })
}
