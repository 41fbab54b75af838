//! CLIP (<https://arxiv.org/abs/2103.00020>): an encoder of pictures and an encoder of texts whose tokens see those before
//! them.
//!
//! Config: `configuration_clip.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::clip_text::ClipTextConfig;
use crate::models::raw_config::RawConfig;
use crate::models::vision::config::{Classified, ImagePooling, Leading, OtherSizes, VisionConfig};
use crate::models::vision::families::{
    Defaults, Family, TOWERS, TextConfig, TowerConfig, half, layers, sizes,
};
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["clip", "clip_vision_model"],
    prefix: None,
    vision,
    text: Some(text),
    base_names: TOWERS,
    names: &[
        renamed("vision.pooler.norm", "vision_model.post_layernorm"),
        renamed("text.embed.positions", "text_model.embeddings.position_embedding"),
        renamed("text.projection", "text_projection"),
        renamed("pair.image", "visual_projection"),
    ],
};

fn vision(raw: &RawConfig) -> Result<VisionConfig> {
    let raw = &half(raw, "vision_config")?;
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let (image_size, patch_size) = sizes(raw, 224, 32)?;
    let defaults =
        Defaults { heads: 12, layers: 12, mlp: 3072, activation: "quick_gelu", eps: 1e-5 };
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", defaults.eps)? };
    Ok(VisionConfig {
        image_size,
        patch_size,
        patch_bias: Bias::Absent,
        hidden_size,
        leading: Leading::new(1, 0),
        other_sizes: OtherSizes::Refused,
        embedding_norm: Some(norm),
        layers: layers(raw, hidden_size, &defaults)?,
        final_norm: None,
        pooling: ImagePooling::FirstNormed(norm),
        classified: Classified::Mean,
    })
}

fn text(raw: &RawConfig) -> Result<TextConfig> {
    let projection = raw.optional_size("projection_dim")?.unwrap_or(512);
    let clip = ClipTextConfig::of_text(&half(raw, "text_config")?, projection)?;
    Ok(TextConfig { tower: TowerConfig::Causal(Box::new(clip)), projection })
}
