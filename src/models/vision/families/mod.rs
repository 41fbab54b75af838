//! The families of models that see: data.

mod clip;
mod dinov2;
mod siglip;
mod vit;

use crate::error::Result;
use crate::models::clip_text::ClipTextConfig;
use crate::models::encoder::EncoderConfig;
use crate::models::raw_config::RawConfig;
use crate::models::vision::config::VisionConfig;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;
use crate::weights::names::{Rule, renamed};

/// A family of models that see: how its config is read and what its tensors are called.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` in config.json: of the encoder, of its classifier, and of pairs with an encoder of texts.
    pub(crate) model_types: &'static [&'static str],
    /// What checkpoints with a head put before the names of the base model's tensors.
    pub(super) prefix: Option<&'static str>,
    /// Reads the config of the encoder of pictures.
    pub(super) vision: fn(&RawConfig) -> Result<VisionConfig>,
    /// Reads the config of the encoder of texts, in pairs.
    pub(super) text: Option<fn(&RawConfig) -> Result<TextConfig>>,
    pub(super) base_names: &'static [Rule],
    pub(super) names: &'static [Rule],
}

/// The half of a pair that reads texts.
pub(super) struct TextConfig {
    pub(super) tower: TowerConfig,
    /// Width of the space of pictures and texts.
    pub(super) projection: usize,
}

/// An encoder of texts.
pub(super) enum TowerConfig {
    /// Each token sees those before it; what the text means stands at its end: CLIP.
    Causal(Box<ClipTextConfig>),
    /// Tokens see each other; what the text means stands at the last of them: SigLIP.
    Bidirectional(Box<EncoderConfig>),
}

pub(crate) const FAMILIES: &[&Family] = &[
    &clip::FAMILY,
    &dinov2::FAMILY,
    &dinov2::WITH_REGISTERS,
    &siglip::FAMILY,
    &vit::DEIT,
    &vit::FAMILY,
];

/// A half of a pair in config.json: its part, or the whole where a half is stored by itself. What an older file calls
/// `vision_config_dict` wins over `vision_config`.
fn half(raw: &RawConfig, field: &str) -> Result<RawConfig> {
    let Some(part) = raw.section(field)? else { return Ok(raw.clone()) };
    match raw.section(&format!("{field}_dict"))? {
        Some(wins) => Ok(wins.with_defaults_of(part)),
        None => Ok(part),
    }
}

/// The sizes of the layers of a family, where its config says nothing else.
struct Defaults {
    heads: usize,
    layers: usize,
    mlp: usize,
    activation: &'static str,
    eps: f64,
}

/// Layers that norm the input of each half, as all models here have them.
fn layers(raw: &RawConfig, hidden: usize, defaults: &Defaults) -> Result<Vec<LayerConfig>> {
    let heads = raw.optional_size("num_attention_heads")?.unwrap_or(defaults.heads);
    if !hidden.is_multiple_of(heads) {
        let reason = format!("it should divide the hidden size, {hidden}");
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let head_dim = hidden / heads;
    let layer = LayerConfig {
        norms: NormPlace::Before,
        norm: NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", defaults.eps)? },
        residual_scale: None,
        attention: AttentionConfig::plain(heads, head_dim, Bias::Present),
        cross: None,
        mlp: MlpConfig::Plain {
            hidden: raw.optional_size("intermediate_size")?.unwrap_or(defaults.mlp),
            activation: raw.activation("hidden_act", defaults.activation)?,
            bias: Bias::Present,
        },
    };
    Ok(vec![layer; raw.layers()?.unwrap_or(defaults.layers)])
}

/// The edges of pictures and patches.
fn sizes(raw: &RawConfig, image: usize, patch: usize) -> Result<(usize, usize)> {
    let image = raw.optional_size("image_size")?.unwrap_or(image);
    let patch = raw.optional_size("patch_size")?.unwrap_or(patch);
    if patch > image || image / patch > MOST_PATCHES {
        return Err(raw.refuse("patch_size", format!("no patches of a picture of {image}")));
    }
    if patch > MOST_PATCH {
        return Err(raw.refuse("patch_size", format!("at most {MOST_PATCH} is supported")));
    }
    if raw.optional_size("num_channels")?.is_some_and(|channels| channels != 3) {
        return Err(raw.refuse("num_channels", "pictures are of red, green and blue"));
    }
    Ok((image, patch))
}

/// Along an edge.
const MOST_PATCHES: usize = 1 << 12;
const MOST_PATCH: usize = 1 << 10;

/// Both halves of CLIP and SigLIP.
const TOWERS: &[Rule] = &[
    renamed("vision.embed.patches", "vision_model.embeddings.patch_embedding"),
    renamed("vision.embed.class", "vision_model.embeddings.class_embedding"),
    renamed("vision.embed.positions", "vision_model.embeddings.position_embedding.weight"),
    renamed("vision.embed.norm", "vision_model.pre_layrnorm"),
    renamed("vision.layers.*.attn.q", "vision_model.encoder.layers.*.self_attn.q_proj"),
    renamed("vision.layers.*.attn.k", "vision_model.encoder.layers.*.self_attn.k_proj"),
    renamed("vision.layers.*.attn.v", "vision_model.encoder.layers.*.self_attn.v_proj"),
    renamed("vision.layers.*.attn.o", "vision_model.encoder.layers.*.self_attn.out_proj"),
    renamed("vision.layers.*.attn_norm", "vision_model.encoder.layers.*.layer_norm1"),
    renamed("vision.layers.*.mlp.act", "vision_model.encoder.layers.*.mlp.activation_fn"),
    renamed("vision.layers.*.mlp.up", "vision_model.encoder.layers.*.mlp.fc1"),
    renamed("vision.layers.*.mlp.down", "vision_model.encoder.layers.*.mlp.fc2"),
    renamed("vision.layers.*.mlp_norm", "vision_model.encoder.layers.*.layer_norm2"),
    renamed("text.embed.words", "text_model.embeddings.token_embedding"),
    renamed("text.layers.*.attn.q", "text_model.encoder.layers.*.self_attn.q_proj"),
    renamed("text.layers.*.attn.k", "text_model.encoder.layers.*.self_attn.k_proj"),
    renamed("text.layers.*.attn.v", "text_model.encoder.layers.*.self_attn.v_proj"),
    renamed("text.layers.*.attn.o", "text_model.encoder.layers.*.self_attn.out_proj"),
    renamed("text.layers.*.attn_norm", "text_model.encoder.layers.*.layer_norm1"),
    renamed("text.layers.*.mlp.act", "text_model.encoder.layers.*.mlp.activation_fn"),
    renamed("text.layers.*.mlp.up", "text_model.encoder.layers.*.mlp.fc1"),
    renamed("text.layers.*.mlp.down", "text_model.encoder.layers.*.mlp.fc2"),
    renamed("text.layers.*.mlp_norm", "text_model.encoder.layers.*.layer_norm2"),
    renamed("text.final_norm", "text_model.final_layer_norm"),
    renamed("head.out", "classifier"),
];
