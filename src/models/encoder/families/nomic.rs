//! NomicBERT (<https://arxiv.org/abs/2402.01613>): BERT, except that positions are rotary, MLPs are
//! gated, and query, key and value are fused. Its references are remote code,
//! `modeling_hf_nomic_bert.py` of nomic-ai/nomic-bert-2048, and the class that transformers 5 has:
//! their configs differ, their tensors' names do not, but for the prefix.

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::families::{Family, bert, plain_rope};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::nn::attention::Positions;
use crate::nn::mlp::MlpConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
use crate::weights::Bias;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["nomic_bert"],
    gguf_architectures: &["nomic-bert"],
    prefixes: &["bert", "nomic_bert"],
    config,
    safetensors: &[
        renamed("embed.norm", "emb_ln"),
        fused("layers.*.attn.qkv", "encoder.layers.*.attn.Wqkv"),
        renamed("layers.*.attn.o", "encoder.layers.*.attn.out_proj"),
        renamed("layers.*.attn_norm", "encoder.layers.*.norm1"),
        renamed("layers.*.mlp.gate", "encoder.layers.*.mlp.fc12"),
        renamed("layers.*.mlp.up", "encoder.layers.*.mlp.fc11"),
        renamed("layers.*.mlp.down", "encoder.layers.*.mlp.fc2"),
        renamed("layers.*.mlp_norm", "encoder.layers.*.norm2"),
        renamed("masked.norm", "cls.predictions.transform.layer_norm"),
        renamed("masked.bias", "cls.predictions.bias"),
        renamed("masked.bias", "cls.predictions.decoder.bias"),
    ],
    gguf: &[fused("layers.*.attn.qkv", "blk.*.attn_qkv")],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let raw = raw.with_spellings(&[
        ("layer_norm_eps", "layer_norm_epsilon"),
        ("hidden_size", "n_embd"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "n_inner"),
        ("num_hidden_layers", "n_layer"),
        ("max_position_embeddings", "n_positions"),
        ("rope_theta", "rotary_emb_base"),
    ]);
    for flag in ["prenorm", "use_rms_norm", "rotary_emb_interleaved", "parallel_block", "causal"] {
        if raw.flag(flag, false)? {
            return Err(raw.refuse(flag, "no published model has it, and it is not supported"));
        }
    }
    for number in ["rotary_scaling_factor", "moe_every_n_layers", "rotary_emb_scale_base"] {
        if raw.number(number, 0.0)? != 0.0 {
            return Err(raw.refuse(number, "it is not supported yet"));
        }
    }
    if raw.number("rotary_emb_fraction", 1.0)? != 1.0 {
        return Err(raw.refuse("rotary_emb_fraction", "only 1 is supported"));
    }
    let activation = match raw.text("activation_function")? {
        None => raw.plain_activation("hidden_act", "silu")?,
        Some("swiglu") => Activation::Silu,
        Some("geglu") => Activation::Gelu,
        Some(_) => return Err(raw.refuse("activation_function", "it should be swiglu or geglu")),
    };
    let raw = raw.with_default("layer_norm_eps", 1e-12);
    let mut config = bert::config(&raw)?;
    config.embeddings.positions = AbsolutePositions::None;
    let heads = raw.optional_size("num_attention_heads")?.unwrap_or(12);
    let theta = match raw.section("rope_parameters")? {
        Some(section) => plain_rope(&section, 1000.0)?,
        None => raw.number("rope_theta", 10_000.0)?,
    };
    let rope = RopeConfig {
        theta,
        rotary_dim: config.hidden_size / heads,
        pairing: RopePairing::Halves,
        scaling: RopeScaling::None,
    };
    if !rope.rotary_dim.is_multiple_of(2) || rope.theta <= 1.0 {
        let reason = "rotating needs an even number of channels per head and a base above 1";
        return Err(raw.refuse("rope_theta", reason));
    }
    config.ropes = vec![rope];
    for layer in &mut config.layers {
        layer.attention.positions = Positions::Rotary(0);
        layer.attention.qkv_bias = Bias::IfStored;
        layer.attention.output_bias = Bias::IfStored;
        layer.mlp = MlpConfig::Gated {
            hidden: raw.optional_size("intermediate_size")?.unwrap_or(3072),
            activation,
            bias: Bias::IfStored,
        };
    }
    config.heads.masked.activation = activation;
    config.heads.masked.bias = Bias::IfStored;
    config.heads.masked_bias = Bias::IfStored;
    Ok(config)
}
