//! DINOv2 (<https://arxiv.org/abs/2304.07193>), and the same with registers (<https://arxiv.org/abs/2309.16588>).
//!
//! Config: `configuration_dinov2.py` and `configuration_dinov2_with_registers.py` of transformers, with their defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::vision::config::{Classified, ImagePooling, Leading, OtherSizes, VisionConfig};
use crate::models::vision::families::{Defaults, Family, layers, sizes};
use crate::nn::activation::Activation;
use crate::nn::layer::NormPlace;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::{Part, Rule, part, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["dinov2"],
    prefix: Some("dinov2"),
    vision: |raw| config(raw, 14),
    text: None,
    base_names: NAMES,
    names: &[],
};

pub(super) const WITH_REGISTERS: Family = Family {
    model_types: &["dinov2_with_registers"],
    prefix: Some("dinov2_with_registers"),
    vision: |raw| {
        let registers = raw.optional_size("num_register_tokens")?.unwrap_or(4);
        Ok(VisionConfig {
            leading: Leading::new(1, registers),
            other_sizes: OtherSizes::BicubicAntialiased,
            ..config(raw, 16)?
        })
    },
    text: None,
    base_names: NAMES,
    names: &[],
};

fn config(raw: &RawConfig, patch_size: usize) -> Result<VisionConfig> {
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let (image_size, patch_size) = sizes(raw, 224, patch_size)?;
    let ratio = raw.number("mlp_ratio", 4.0)?;
    let inner = (hidden_size as f64 * ratio) as usize;
    if !(1..MOST_INNER).contains(&inner) {
        return Err(raw.refuse("mlp_ratio", format!("a width of {inner} is none")));
    }
    let defaults = Defaults { heads: 12, layers: 12, mlp: inner, activation: "gelu", eps: 1e-6 };
    let mut layers = layers(&raw.without("intermediate_size"), hidden_size, &defaults)?;
    let qkv_bias = Bias::from(raw.flag("qkv_bias", true)?);
    let is_gated = raw.flag("use_swiglu_ffn", false)?;
    for layer in &mut layers {
        layer.norms = NormPlace::BeforeScaled;
        layer.attention.qkv_bias = qkv_bias;
        if is_gated {
            layer.mlp = MlpConfig::Gated {
                hidden: (inner * 2 / 3).next_multiple_of(8),
                activation: Activation::Silu,
                bias: Bias::Present,
            };
        }
    }
    let eps = raw.epsilon("layer_norm_eps", defaults.eps)?;
    Ok(VisionConfig {
        image_size,
        patch_size,
        patch_bias: Bias::Present,
        hidden_size,
        leading: Leading::new(1, 0),
        other_sizes: OtherSizes::Bicubic,
        embedding_norm: None,
        layers,
        final_norm: Some(NormConfig::Layer { eps }),
        pooling: ImagePooling::First,
        classified: Classified::FirstAndMean,
    })
}

const NAMES: &[Rule] = &[
    renamed("vision.embed.patches", "embeddings.patch_embeddings.projection"),
    renamed("vision.embed.class", "embeddings.cls_token"),
    renamed("vision.embed.registers", "embeddings.register_tokens"),
    renamed("vision.embed.positions", "embeddings.position_embeddings"),
    renamed("vision.layers.*.attn.q", "encoder.layer.*.attention.attention.query"),
    renamed("vision.layers.*.attn.k", "encoder.layer.*.attention.attention.key"),
    renamed("vision.layers.*.attn.v", "encoder.layer.*.attention.attention.value"),
    renamed("vision.layers.*.attn.o", "encoder.layer.*.attention.output.dense"),
    renamed("vision.layers.*.attn_norm", "encoder.layer.*.norm1"),
    renamed("vision.layers.*.attn_scale", "encoder.layer.*.layer_scale1.lambda1"),
    part("vision.layers.*.mlp.gate", "encoder.layer.*.mlp.weights_in", Part::Gate),
    renamed("vision.layers.*.mlp.act", "encoder.layer.*.mlp.activation"),
    renamed("vision.layers.*.mlp.up", "encoder.layer.*.mlp.fc1"),
    part("vision.layers.*.mlp.up", "encoder.layer.*.mlp.weights_in", Part::Up),
    renamed("vision.layers.*.mlp.down", "encoder.layer.*.mlp.fc2"),
    renamed("vision.layers.*.mlp.down", "encoder.layer.*.mlp.weights_out"),
    renamed("vision.layers.*.mlp_norm", "encoder.layer.*.norm2"),
    renamed("vision.layers.*.mlp_scale", "encoder.layer.*.layer_scale2.lambda1"),
    renamed("vision.final_norm", "layernorm"),
    renamed("head.out", "classifier"),
];

/// No model is wider between the projections of its MLPs.
const MOST_INNER: usize = 1 << 24;
