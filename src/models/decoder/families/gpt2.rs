//! GPT-2: Llama, except that positions are learned and not rotated, norms are layer norms, the MLP has no
//! gate, everything has biases, the head is tied, and checkpoints hold query, key and value fused and
//! matrices transposed (`Conv1D`). Repositories of the base model leave out `transformer.`.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF, HF};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::weights::Bias;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["gpt2"],
        names: &[
            renamed("embed", "transformer.wte"),
            renamed("positions", "transformer.wpe"),
            renamed("final_norm", "transformer.ln_f"),
            renamed("layers.*.attn_norm", "transformer.h.*.ln_1"),
            fused("layers.*.attn.qkv", "transformer.h.*.attn.c_attn").transposed(),
            renamed("layers.*.attn.o", "transformer.h.*.attn.c_proj").transposed(),
            renamed("layers.*.mlp_norm", "transformer.h.*.ln_2"),
            renamed("layers.*.mlp.act", "transformer.h.*.mlp.act"),
            renamed("layers.*.mlp.up", "transformer.h.*.mlp.c_fc").transposed(),
            renamed("layers.*.mlp.down", "transformer.h.*.mlp.c_proj").transposed(),
        ],
        sizes: &[("vocab_size", 50_257), ("n_embd", 768), ("n_layer", 12), ("n_head", 12)],
        ids: &[("bos_token_id", &[50_256]), ("eos_token_id", &[50_256])],
        unread: &[
            "head_dim",
            "hidden_act",
            "intermediate_size",
            "layer_norm_eps",
            "num_key_value_heads",
            "partial_rotary_factor",
            "rope_scaling",
            "rope_theta",
        ],
        translate: |raw| Ok(raw.with_attribute_map(SPELLINGS)),
        ..HF
    },
    gguf: Dialect {
        types: &["gpt2"],
        names: &[
            renamed("positions", "position_embd"),
            fused("layers.*.attn.qkv", "blk.*.attn_qkv"),
        ],
        biases: EVERY_BIAS,
        ..GGUF
    },
};

/// The fields that are called otherwise, `attribute_map` of transformers' `GPT2Config`.
const SPELLINGS: &[(&str, &str)] = &[
    ("hidden_act", "activation_function"),
    ("hidden_size", "n_embd"),
    ("intermediate_size", "n_inner"),
    ("layer_norm_eps", "layer_norm_epsilon"),
    ("max_position_embeddings", "n_positions"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
];

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("max_position_embeddings", 1024);
    let hidden = match raw.optional_size("intermediate_size")? {
        Some(hidden) => hidden,
        None => 4 * raw.size("hidden_size")?,
    };
    let raw = raw.with("intermediate_size", hidden);
    let mut config = llama::config(&raw)?;
    config.head = llama::head(&raw, true)?;
    let eps = raw.epsilon("layer_norm_eps", 1e-5)?;
    config.final_norm = Some(NormConfig::Layer { eps });
    config.ropes.clear();
    config.positions = AbsolutePositions::Learned { offset: 0, rows: config.max_positions };
    let scaled = raw.flag("scale_attn_weights", true)?;
    let by_layer = raw.flag("scale_attn_by_inverse_layer_idx", false)?;
    for (i, layer) in config.layers.iter_mut().enumerate() {
        layer.norm = NormConfig::Layer { eps };
        layer.attention.positions = Positions::None;
        layer.attention.qkv_bias = Bias::Present;
        layer.attention.output_bias = Bias::Present;
        if !scaled {
            layer.attention.scale = 1.0;
        }
        if by_layer {
            layer.attention.scale /= (i + 1) as f64;
        }
        layer.mlp = MlpConfig::Plain {
            hidden,
            activation: raw.activation("hidden_act", "gelu_new")?,
            bias: Bias::Present,
        };
    }
    Ok(config)
}
