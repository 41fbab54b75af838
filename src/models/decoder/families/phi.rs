//! Phi-1, 1.5 and 2: Llama, except that attention and MLP take the same input through one layer norm, rope
//! is partial, the MLP has no gate, everything has biases, the output head too, and each query and key
//! head may be layer-normed.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::layer::NormPlace;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["phi"],
        names: &[
            renamed("final_norm", "model.final_layernorm"),
            renamed("layers.*.attn.o", "model.layers.*.self_attn.dense"),
            renamed("layers.*.attn.q_norm", "model.layers.*.self_attn.q_layernorm"),
            renamed("layers.*.attn.k_norm", "model.layers.*.self_attn.k_layernorm"),
            renamed("layers.*.mlp.act", "model.layers.*.mlp.activation_fn"),
            renamed("layers.*.mlp.up", "model.layers.*.mlp.fc1"),
            renamed("layers.*.mlp.down", "model.layers.*.mlp.fc2"),
        ],
        sizes: &sizes([51_200, 2048, 8192, 24, 32]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[2])],
        ..HF
    },
    gguf: Dialect { types: &["phi2"], head: Some(HeadWeights::Own), biases: EVERY_BIAS, ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("partial_rotary_factor", 0.5);
    let mut config = llama::config(&raw)?;
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    let qk_norm = raw.flag("qk_layernorm", false)?;
    config.final_norm = Some(norm);
    config.head_bias = Bias::Present;
    for layer in &mut config.layers {
        layer.norms = NormPlace::Parallel;
        layer.norm = norm;
        layer.attention.qkv_bias = Bias::Present;
        layer.attention.output_bias = Bias::Present;
        layer.attention.qk_norm = if qk_norm { QkNorm::PerHead(norm) } else { QkNorm::None };
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "gelu_new")?,
            bias: Bias::Present,
        };
    }
    Ok(config)
}
