//! GLM-4 of 2024 (9B, GLM-Edge): Llama, except that neighbouring channels are rotated together and only half
//! of them, that queries, keys and values have biases, and that gate and up are stored fused.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;
use crate::weights::Bias;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["glm"],
        pairing: RopePairing::Adjacent,
        names: &[
            renamed("layers.*.mlp.act", "model.layers.*.mlp.activation_fn"),
            fused("layers.*.mlp.gate_up", "model.layers.*.mlp.gate_up_proj"),
        ],
        sizes: &sizes([151_552, 4096, 13_696, 40, 32]),
        ids: &[("eos_token_id", &[151_329, 151_336, 151_338]), ("pad_token_id", &[151_329])],
        unread: &["mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["chatglm"],
        pairing: RopePairing::Adjacent,
        names: &[fused("layers.*.mlp.gate_up", "blk.*.ffn_up")],
        translate: |raw| {
            let head_dim = raw.size("hidden_size")? / raw.size("num_attention_heads")?;
            Ok(raw.with_default("head_dim", head_dim))
        },
        ..GGUF
    },
};

pub(super) fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("attention_bias", true)
        .with_default("head_dim", 128)
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_key_value_heads", 2)
        .with_default("partial_rotary_factor", 0.5)
        .with_default("rms_norm_eps", 1.5625e-7);
    let mut config = llama::config(&raw)?;
    for layer in &mut config.layers {
        layer.attention.output_bias = Bias::Absent;
    }
    Ok(config)
}
