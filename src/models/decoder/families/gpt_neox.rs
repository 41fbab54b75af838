//! GPT-NeoX, Pythia: Llama, except that attention and MLP take the same input, each through a layer norm
//! of its own (unless `use_parallel_residual` is off), rope is partial, the MLP has no gate, everything
//! has biases, and query, key and value are stored fused, head by head.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::{fused, grouped, renamed};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["gpt_neox"],
        names: &[
            renamed("embed", "gpt_neox.embed_in"),
            renamed("final_norm", "gpt_neox.final_layer_norm"),
            renamed("head", "embed_out"),
            renamed("layers.*.attn_norm", "gpt_neox.layers.*.input_layernorm"),
            grouped("layers.*.attn.qkv", FUSED),
            renamed("layers.*.attn.o", "gpt_neox.layers.*.attention.dense"),
            renamed("layers.*.mlp_norm", "gpt_neox.layers.*.post_attention_layernorm"),
            renamed("layers.*.mlp.act", "gpt_neox.layers.*.mlp.act"),
            renamed("layers.*.mlp.up", "gpt_neox.layers.*.mlp.dense_h_to_4h"),
            renamed("layers.*.mlp.down", "gpt_neox.layers.*.mlp.dense_4h_to_h"),
        ],
        spellings: &[("partial_rotary_factor", "rotary_pct"), ("rope_theta", "rotary_emb_base")],
        sizes: &sizes([50_432, 6144, 24_576, 44, 64]),
        ids: &[("bos_token_id", &[0]), ("eos_token_id", &[2])],
        unread: &["num_key_value_heads"],
        ..HF
    },
    gguf: Dialect {
        types: &["gptneox"],
        names: &[fused("layers.*.attn.qkv", "blk.*.attn_qkv")],
        head: Some(HeadWeights::Own),
        biases: EVERY_BIAS,
        keys: |config| {
            let parallel = |layer: &LayerConfig| layer.norms == NormPlace::ParallelNorms;
            vec![("use_parallel_residual", config.layers.iter().all(parallel).into())]
        },
        ..GGUF
    },
};

const FUSED: &str = "gpt_neox.layers.*.attention.query_key_value";

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("partial_rotary_factor", 0.25);
    let mut config = llama::config(&raw)?;
    let eps = raw.epsilon("layer_norm_eps", 1e-5)?;
    let bias = Bias::from(raw.flag("attention_bias", true)?);
    let parallel = raw.flag("use_parallel_residual", true)?;
    config.final_norm = Some(NormConfig::Layer { eps });
    for layer in &mut config.layers {
        layer.norms = if parallel { NormPlace::ParallelNorms } else { NormPlace::Before };
        layer.norm = NormConfig::Layer { eps };
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = bias;
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "gelu")?,
            bias: Bias::Present,
        };
    }
    Ok(config)
}
