//! SigLIP (<https://arxiv.org/abs/2303.15343>), and SigLIP 2 of a fixed size: "CLIP, except" that a learned query pools
//! pictures, that tokens of texts see each other, and that each pair is judged by itself.
//!
//! Config: `configuration_siglip.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::encoder::EncoderConfig;
use crate::models::raw_config::RawConfig;
use crate::models::vision::config::{Classified, ImagePooling, Leading, OtherSizes, VisionConfig};
use crate::models::vision::families::{
    Defaults, Family, TOWERS, TextConfig, TowerConfig, half, layers, sizes,
};
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["siglip", "siglip_vision_model"],
    prefix: None,
    vision,
    text: Some(text),
    base_names: TOWERS,
    names: &[
        renamed("vision.final_norm", "vision_model.post_layernorm"),
        renamed("vision.pooler.probe", "vision_model.head.probe"),
        fused("vision.pooler.attn.qkv.weight", "vision_model.head.attention.in_proj_weight"),
        fused("vision.pooler.attn.qkv.bias", "vision_model.head.attention.in_proj_bias"),
        renamed("vision.pooler.attn.o", "vision_model.head.attention.out_proj"),
        renamed("vision.pooler.norm", "vision_model.head.layernorm"),
        renamed("vision.pooler.mlp.act", "vision_model.head.mlp.activation_fn"),
        renamed("vision.pooler.mlp.up", "vision_model.head.mlp.fc1"),
        renamed("vision.pooler.mlp.down", "vision_model.head.mlp.fc2"),
        renamed("text.embed.positions", "text_model.embeddings.position_embedding"),
        renamed("pair.text", "text_model.head"),
    ],
};

const DEFAULTS: Defaults =
    Defaults { heads: 12, layers: 12, mlp: 3072, activation: "gelu_pytorch_tanh", eps: 1e-6 };

fn vision(raw: &RawConfig) -> Result<VisionConfig> {
    let raw = &half(raw, "vision_config")?;
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let (image_size, patch_size) = sizes(raw, 224, 16)?;
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", DEFAULTS.eps)? };
    let layers = layers(raw, hidden_size, &DEFAULTS)?;
    let layer = &layers[0];
    let pooling = match raw.flag("vision_use_head", true)? {
        true => {
            ImagePooling::Attention { heads: layer.attention.heads, norm, mlp: layer.mlp.clone() }
        }
        false => ImagePooling::None,
    };
    Ok(VisionConfig {
        image_size,
        patch_size,
        patch_bias: Bias::Present,
        hidden_size,
        leading: Leading::new(0, 0),
        other_sizes: OtherSizes::Refused,
        embedding_norm: None,
        layers,
        final_norm: Some(norm),
        pooling,
        classified: Classified::Mean,
    })
}

fn text(raw: &RawConfig) -> Result<TextConfig> {
    let raw = &half(raw, "text_config")?;
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let max_positions = raw.optional_size("max_position_embeddings")?.unwrap_or(64);
    let layers = layers(raw, hidden_size, &DEFAULTS)?;
    let eps = raw.epsilon("layer_norm_eps", DEFAULTS.eps)?;
    let config = EncoderConfig::plain(
        [raw.optional_size("vocab_size")?.unwrap_or(32_000), hidden_size, max_positions],
        AbsolutePositions::Learned { offset: 0, rows: max_positions },
        layers,
        AttentionSpan::Bidirectional { window: None },
        Some(NormConfig::Layer { eps }),
    );
    let projection = raw.optional_size("projection_size")?.unwrap_or(hidden_size);
    Ok(TextConfig { tower: TowerConfig::Bidirectional(Box::new(config)), projection })
}
