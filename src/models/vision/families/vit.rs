//! ViT (<https://arxiv.org/abs/2010.11929>), and DeiT (<https://arxiv.org/abs/2012.12877>), which has a second token that
//! learned from a teacher.
//!
//! Config: `configuration_vit.py` and `configuration_deit.py` of transformers, with their defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::vision::config::{Classified, ImagePooling, Leading, OtherSizes, VisionConfig};
use crate::models::vision::families::{Defaults, Family, layers, sizes};
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::{Rule, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["vit"],
    prefix: Some("vit"),
    vision: config,
    text: None,
    base_names: NAMES,
    names: &[],
};

pub(super) const DEIT: Family = Family {
    model_types: &["deit"],
    prefix: Some("deit"),
    vision: |raw| {
        let classes = raw.texts("architectures")?.unwrap_or_default();
        let has_teacher = classes.iter().any(|class| class.ends_with("WithTeacher"));
        Ok(VisionConfig {
            leading: Leading::new(2, 0),
            classified: if has_teacher { Classified::FirstAndSecond } else { Classified::First },
            ..config(raw)?
        })
    },
    text: None,
    base_names: NAMES,
    names: &[
        renamed("vision.embed.distillation", "embeddings.distillation_token"),
        renamed("head.out", "cls_classifier"),
        renamed("head.out", "classifier"),
        renamed("head.second", "distillation_classifier"),
    ],
};

fn config(raw: &RawConfig) -> Result<VisionConfig> {
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let (image_size, patch_size) = sizes(raw, 224, 16)?;
    let defaults = Defaults { heads: 12, layers: 12, mlp: 3072, activation: "gelu", eps: 1e-12 };
    let mut layers = layers(raw, hidden_size, &defaults)?;
    let qkv_bias = Bias::from(raw.flag("qkv_bias", true)?);
    layers.iter_mut().for_each(|layer| layer.attention.qkv_bias = qkv_bias);
    let eps = raw.epsilon("layer_norm_eps", defaults.eps)?;
    Ok(VisionConfig {
        image_size,
        patch_size,
        patch_bias: Bias::Present,
        hidden_size,
        leading: Leading::new(1, 0),
        other_sizes: OtherSizes::Refused,
        embedding_norm: None,
        layers,
        final_norm: Some(NormConfig::Layer { eps }),
        pooling: ImagePooling::Dense {
            size: raw.optional_size("pooler_output_size")?.unwrap_or(hidden_size),
            activation: raw.activation("pooler_act", "tanh")?,
        },
        classified: Classified::First,
    })
}

/// As in BERT, but for the norms.
const NAMES: &[Rule] = &[
    renamed("vision.embed.patches", "embeddings.patch_embeddings.projection"),
    renamed("vision.embed.class", "embeddings.cls_token"),
    renamed("vision.embed.positions", "embeddings.position_embeddings"),
    renamed("vision.layers.*.attn.q", "encoder.layer.*.attention.attention.query"),
    renamed("vision.layers.*.attn.k", "encoder.layer.*.attention.attention.key"),
    renamed("vision.layers.*.attn.v", "encoder.layer.*.attention.attention.value"),
    renamed("vision.layers.*.attn.o", "encoder.layer.*.attention.output.dense"),
    renamed("vision.layers.*.attn_norm", "encoder.layer.*.layernorm_before"),
    renamed("vision.layers.*.mlp.act", "encoder.layer.*.intermediate.intermediate_act_fn"),
    renamed("vision.layers.*.mlp.up", "encoder.layer.*.intermediate.dense"),
    renamed("vision.layers.*.mlp.down", "encoder.layer.*.output.dense"),
    renamed("vision.layers.*.mlp_norm", "encoder.layer.*.layernorm_after"),
    renamed("vision.final_norm", "layernorm"),
    renamed("vision.pooler.act", "pooler.activation"),
    renamed("vision.pooler.dense", "pooler.dense"),
    renamed("head.out", "classifier"),
];
