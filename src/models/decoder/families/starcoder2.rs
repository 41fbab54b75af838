//! StarCoder2: Llama, except that norms are layer norms, the MLP has no gate, everything has biases, the
//! head is tied, and layers may attend to a sliding window.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, spans};
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["starcoder2"],
        names: &[
            renamed("layers.*.mlp.act", "model.layers.*.mlp.act"),
            renamed("layers.*.mlp.up", "model.layers.*.mlp.c_fc"),
            renamed("layers.*.mlp.down", "model.layers.*.mlp.c_proj"),
        ],
        sizes: &sizes([49_152, 3072, 12_288, 30, 24]),
        ids: &[("bos_token_id", &[50_256]), ("eos_token_id", &[50_256])],
        unread: &["layer_norm_eps", "layer_types"],
        ..HF
    },
    gguf: Dialect { types: &["starcoder2"], biases: EVERY_BIAS, ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw =
        &raw.with_default("max_position_embeddings", 4096).with_default("num_key_value_heads", 2);
    let mut config = llama::config(raw)?;
    config.head = llama::head(raw, true)?;
    let eps = raw.epsilon("layer_norm_eps", raw.number("norm_epsilon", 1e-5)?)?;
    let bias = Bias::from(raw.flag("use_bias", true)?);
    config.final_norm = Some(NormConfig::Layer { eps });
    for layer in &mut config.layers {
        layer.norm = NormConfig::Layer { eps };
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = bias;
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "gelu_pytorch_tanh")?,
            bias,
        };
    }
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}
