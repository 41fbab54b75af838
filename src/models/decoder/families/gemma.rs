//! Gemma: Llama, except that
//! - embeddings are scaled by `sqrt(hidden_size)`, and the head is tied to them;
//! - heads are 256 wide unless the config says otherwise;
//! - the MLP gates with tanh-GELU unless the config says otherwise: Gemma's `hidden_act`, later ones'
//!   `hidden_activation`, and neither the other's;
//! - checkpoints hold the norms' weights minus one (GGUF files do not).

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::mlp::MlpConfig;
use crate::weights::names::{Rule, plus_one};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["gemma"],
        names: &[
            FINAL_NORM,
            plus_one("layers.*.attn_norm", "model.layers.*.input_layernorm"),
            plus_one("layers.*.mlp_norm", "model.layers.*.post_attention_layernorm"),
        ],
        sizes: &sizes([256_000, 3072, 24_576, 28, 16]),
        ids: &[("bos_token_id", &[2]), ("eos_token_id", &[1]), ("pad_token_id", &[0])],
        ..HF
    },
    gguf: Dialect { types: &["gemma"], head: Some(HeadWeights::TiedToEmbedding), ..GGUF },
};

pub(super) const FINAL_NORM: Rule = plus_one("final_norm", "model.norm");

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    scaled(raw, "hidden_act")
}

/// What all Gemmas share; `activation` is the field that names the gate's.
pub(super) fn scaled(raw: &RawConfig, activation: &str) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("head_dim", 256)
        .with_default("max_position_embeddings", 8192)
        .with_default("num_key_value_heads", 16);
    let mut config = llama::config(&raw.without("hidden_act").without("mlp_bias"))?;
    config.head = llama::head(&raw, true)?;
    config.embedding_scale = Some((config.hidden_size as f64).sqrt());
    let activation = raw.activation(activation, "gelu_pytorch_tanh")?;
    for layer in &mut config.layers {
        if let MlpConfig::Gated { activation: gate, .. } = &mut layer.mlp {
            *gate = activation;
        }
    }
    Ok(config)
}
