//! ModernBERT (<https://arxiv.org/abs/2412.13663>): BERT, except that positions are rotary, norms
//! stand before each half, MLPs are gated, nothing has a bias, two layers in three attend to a
//! window only, and every head begins with the same layer.

use crate::error::Result;
use crate::models::encoder::config::{EncoderConfig, HeadPooling, TransformConfig};
use crate::models::encoder::families::{Family, bert, plain_rope};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::layer::NormPlace;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["modernbert"],
    gguf_architectures: &[],
    prefixes: &["model"],
    config,
    safetensors: &[
        renamed("embed.words", "embeddings.tok_embeddings"),
        renamed("embed.norm", "embeddings.norm"),
        fused("layers.*.attn.qkv", "layers.*.attn.Wqkv"),
        renamed("layers.*.attn.o", "layers.*.attn.Wo"),
        renamed("layers.*.attn_norm", "layers.*.attn_norm"),
        renamed("layers.*.mlp.act", "layers.*.mlp.act"),
        fused("layers.*.mlp.gate_up", "layers.*.mlp.Wi"),
        renamed("layers.*.mlp.down", "layers.*.mlp.Wo"),
        renamed("layers.*.mlp_norm", "layers.*.mlp_norm"),
        renamed("sequence.dense", "head.dense"),
        renamed("sequence.act", "head.act"),
        renamed("sequence.norm", "head.norm"),
        renamed("token.dense", "head.dense"),
        renamed("token.act", "head.act"),
        renamed("token.norm", "head.norm"),
        renamed("spans.dense", "head.dense"),
        renamed("spans.act", "head.act"),
        renamed("spans.norm", "head.norm"),
        renamed("spans.out", "classifier"),
        renamed("masked.dense", "head.dense"),
        renamed("masked.act", "head.act"),
        renamed("masked.norm", "head.norm"),
        renamed("masked.out", "decoder"),
        renamed("masked.bias", "decoder.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    if let Some(scaling) = raw.section("rope_scaling")? {
        plain_rope(&scaling, 0.0)?;
    }
    // The class has no such fields.
    let unread = ["hidden_act", "layer_norm_eps", "type_vocab_size"];
    let raw = unread.iter().fold(raw.clone(), |raw, field| raw.without(field));
    let raw = raw
        .with_spellings(&[("hidden_act", "hidden_activation")])
        .with_default("vocab_size", 50368)
        .with_default("intermediate_size", 1152)
        .with_default("num_hidden_layers", 22)
        .with_default("max_position_embeddings", 8192);
    let mut config = bert::config(&raw)?;
    let eps = raw.epsilon("norm_eps", 1e-5)?;
    let norm = match raw.flag("norm_bias", false)? {
        true => NormConfig::Layer { eps },
        false => NormConfig::LayerWithoutBias { eps },
    };
    config.embeddings.positions = AbsolutePositions::None;
    config.embeddings.token_types = 0;
    config.embeddings.norm = Some(norm);
    config.final_norm = Some(norm);

    let head_dim = config.hidden_size / raw.optional_size("num_attention_heads")?.unwrap_or(12);
    let rope = |theta| RopeConfig {
        theta,
        rotary_dim: head_dim,
        pairing: RopePairing::Halves,
        scaling: RopeScaling::None,
    };
    let (global, local) = match raw.section("rope_parameters")? {
        Some(sections) => {
            let theta = |kind: &str, default: f64| match sections.section(kind)? {
                Some(section) => plain_rope(&section, default),
                None => Ok(default),
            };
            (theta("full_attention", 160_000.0)?, theta("sliding_attention", 10_000.0)?)
        }
        None => {
            let theta = raw.number("global_rope_theta", 160_000.0)?;
            (theta, raw.number("local_rope_theta", theta)?)
        }
    };
    config.ropes = vec![rope(global), rope(local)];
    if head_dim % 2 != 0 || config.ropes.iter().any(|rope| rope.theta <= 1.0) {
        let reason = "rotating needs an even number of channels per head and a base above 1";
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let every = raw.optional_size("global_attn_every_n_layers")?.unwrap_or(3);
    // transformers 5 names the kind of each layer.
    let kinds = raw.texts("layer_types")?.unwrap_or_default();
    let known = |kind: &&str| ["full_attention", "sliding_attention"].contains(kind);
    if !kinds.iter().all(known) || !(kinds.is_empty() || kinds.len() == config.layers.len()) {
        let reason = "it should hold full_attention or sliding_attention for each layer";
        return Err(raw.refuse("layer_types", reason));
    }
    let window = raw.optional_size("local_attention")?.unwrap_or(128) / 2 + 1;
    config.spans.push(AttentionSpan::Bidirectional { window: Some(window) });
    let bias = Bias::from(raw.flag("attention_bias", false)?);
    for (number, layer) in config.layers.iter_mut().enumerate() {
        let local = match kinds.get(number) {
            Some(kind) => *kind == "sliding_attention",
            None => !number.is_multiple_of(every),
        };
        layer.norms = if number == 0 { NormPlace::BeforeMlpOnly } else { NormPlace::Before };
        layer.norm = norm;
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = bias;
        layer.attention.positions = Positions::Rotary(usize::from(local));
        layer.attention.span = usize::from(local);
        layer.mlp = MlpConfig::Gated {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "gelu")?,
            bias: Bias::from(raw.flag("mlp_bias", false)?),
        };
    }
    let head = TransformConfig {
        size: config.hidden_size,
        activation: raw.activation("classifier_activation", "gelu")?,
        norm: Some(norm),
        bias: Bias::from(raw.flag("classifier_bias", false)?),
    };
    config.heads.pooling = match raw.text("classifier_pooling")? {
        None | Some("cls") => HeadPooling::First,
        Some("mean") => HeadPooling::Mean,
        Some(_) => return Err(raw.refuse("classifier_pooling", "it should be cls or mean")),
    };
    config.heads.sequence = head.clone();
    config.heads.token = Some(head.clone());
    config.heads.masked = head;
    config.heads.masked_bias = raw.flag("decoder_bias", true)?.into();
    Ok(config)
}
