//! Nemotron and Minitron: Llama, except that norms are layer norms whose weights are stored minus one, that
//! rope is partial and never scaled, and that the MLP has no gate, and squares what is above 0.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::names::plus_one;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["nemotron"],
        // Their biases are stored as they are.
        names: &[
            plus_one("final_norm.weight", "model.norm.weight"),
            plus_one("layers.*.attn_norm.weight", "model.layers.*.input_layernorm.weight"),
            plus_one("layers.*.mlp_norm.weight", "model.layers.*.post_attention_layernorm.weight"),
        ],
        spellings: &[("layer_norm_eps", "norm_eps")],
        sizes: &sizes([256_000, 6144, 24_576, 32, 48]),
        ids: &[("bos_token_id", &[2]), ("eos_token_id", &[3])],
        unread: &["layer_norm_eps", "rope_scaling"],
        ..HF
    },
    gguf: Dialect {
        types: &["nemotron"],
        head: Some(HeadWeights::Own),
        biases: EVERY_BIAS,
        // The converter takes `norm_eps` for the one of RMS norms, too.
        keys: |config| match config.final_norm {
            Some(NormConfig::Layer { eps }) => vec![
                ("rope.scaling.type", "none".into()),
                ("attention.layer_norm_rms_epsilon", eps.into()),
            ],
            _ => Vec::new(),
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 4096)
        .with_default("partial_rotary_factor", 0.5);
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    let mut config = llama::config(&raw)?;
    config.final_norm = Some(norm);
    for layer in &mut config.layers {
        layer.norm = norm;
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "relu2")?,
            bias: raw.flag("mlp_bias", false)?.into(),
        };
    }
    Ok(config)
}
