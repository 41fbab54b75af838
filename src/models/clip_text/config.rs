//! The half of CLIP that reads, as data.

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::source::ModelFiles;
use crate::weights::Bias;

/// The half of CLIP that reads, except its weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipTextConfig {
    /// The layers, with the table of words.
    pub encoder: EncoderConfig,
    /// Whose vector is the text's.
    pub pooled: Pooled,
    /// The width of the projected vector; the checkpoint says whether there is one.
    pub projection: usize,
}

/// The token whose vector is the text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooled {
    /// The first of this id, else the first of all: CLIP with an `eos_token_id` that is right.
    FirstOf(u32),
    /// The first of the largest id: CLIP whose `eos_token_id` is 2, as in the files of Stable Diffusion.
    LargestId,
}

impl Pooled {
    /// From the config of the half that reads.
    fn read(raw: &RawConfig) -> Result<Self> {
        match raw.optional_size("eos_token_id")?.unwrap_or(49_407) {
            2 => Ok(Self::LargestId),
            id => match u32::try_from(id) {
                Ok(id) => Ok(Self::FirstOf(id)),
                Err(_) => Err(raw.refuse("eos_token_id", "no token has it")),
            },
        }
    }

    /// Its place in a text.
    pub(crate) fn place(self, ids: &[u32]) -> usize {
        match self {
            Self::FirstOf(eos) => ids.iter().position(|&id| id == eos).unwrap_or(0),
            Self::LargestId => {
                let largest = ids.iter().max();
                ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
            }
        }
    }
}

impl ClipTextConfig {
    /// That of an opened folder.
    pub(crate) fn from_files(files: &ModelFiles) -> Result<Self> {
        Self::read(&RawConfig::read(files)?)
    }

    /// From the config of a text encoder, or of a whole CLIP, which has it as `text_config`; with the defaults of
    /// `configuration_clip.py`.
    pub(crate) fn read(whole: &RawConfig) -> Result<Self> {
        let section = whole.section("text_config")?;
        let raw = section.as_ref().unwrap_or(whole);
        if !["clip", "clip_text_model"].contains(&whole.model_type()?) {
            return Err(whole.refuse("model_type", "it should be that of a CLIP"));
        }
        // The class of a whole model reads its own field.
        let of_projection = if section.is_some() { whole } else { raw };
        let projection = of_projection.optional_size("projection_dim")?.unwrap_or(512);
        Self::of_text(raw, projection)
    }

    /// From the config of the half that reads, and the width of the projected vector.
    pub(crate) fn of_text(raw: &RawConfig, projection: usize) -> Result<Self> {
        let size = |field: &str, default: usize| {
            raw.optional_size(field).map(|size| size.unwrap_or(default))
        };
        let hidden_size = size("hidden_size", 512)?;
        let heads = size("num_attention_heads", 8)?;
        if !hidden_size.is_multiple_of(heads) {
            let reason = format!("it should divide `hidden_size`, which is {hidden_size}");
            return Err(raw.refuse("num_attention_heads", reason));
        }
        let head_dim = hidden_size / heads;
        let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
        let layer = LayerConfig {
            norms: NormPlace::Before,
            norm,
            residual_scale: None,
            attention: AttentionConfig::plain(heads, head_dim, Bias::Present),
            cross: None,
            mlp: MlpConfig::Plain {
                hidden: size("intermediate_size", 2048)?,
                activation: raw.activation("hidden_act", "quick_gelu")?,
                bias: Bias::Present,
            },
        };
        let max_positions = size("max_position_embeddings", 77)?;
        let layers = vec![layer; raw.layers()?.unwrap_or(12)];
        let encoder = EncoderConfig::plain(
            [size("vocab_size", 49_408)?, hidden_size, max_positions],
            AbsolutePositions::Learned { offset: 0, rows: max_positions },
            layers,
            AttentionSpan::Causal { window: None },
            Some(norm),
        );
        Ok(Self { encoder, pooled: Pooled::read(raw)?, projection })
    }
}
