//! The halves of CLIP and SigLIP that read, as data.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{AttentionConfig, Positions, QkNorm};
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// A half of CLIP that reads, except its weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClipTextConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The most tokens of a text.
    pub max_positions: usize,
    /// The table of positions.
    pub positions: AbsolutePositions,
    /// One entry per layer.
    pub layers: Vec<LayerConfig>,
    /// Which tokens layers attend to.
    pub span: AttentionSpan,
    /// After the last layer.
    pub norm: NormConfig,
    /// Whose vector is the text's.
    pub pooled: Pooled,
    /// The width of the projected vector; the checkpoint says whether there is one.
    pub projection: Option<usize>,
}

/// The token whose vector is the text's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooled {
    /// The first of this id, else the first of all: CLIP with an `eos_token_id` that is right.
    FirstOf(u32),
    /// The first of the largest id: CLIP whose `eos_token_id` is 2, as in the files of Stable Diffusion.
    LargestId,
    /// The last: SigLIP.
    Last,
}

impl Pooled {
    /// Its place in a text.
    pub(super) fn place(self, ids: &[u32]) -> usize {
        match self {
            Self::FirstOf(eos) => ids.iter().position(|&id| id == eos).unwrap_or(0),
            Self::LargestId => {
                let largest = ids.iter().max();
                ids.iter().position(|id| Some(id) == largest).unwrap_or(0)
            }
            Self::Last => ids.len().saturating_sub(1),
        }
    }
}

impl ClipTextConfig {
    /// From the config of a text encoder, or of a whole CLIP or SigLIP, which has it as `text_config`; with the
    /// defaults of `configuration_clip.py` and `configuration_siglip.py`.
    pub(crate) fn read(whole: &RawConfig) -> Result<Self> {
        let section = whole.section("text_config")?;
        let raw = section.as_ref().unwrap_or(whole);
        let is_siglip = match whole.model_type()? {
            "clip" | "clip_text_model" => false,
            "siglip" | "siglip_text_model" => true,
            _ => return Err(whole.refuse("model_type", "it should be that of a CLIP or a SigLIP")),
        };
        let size = |field: &str, clip: usize, siglip: usize| {
            let default = if is_siglip { siglip } else { clip };
            Ok::<_, crate::error::Error>(raw.optional_size(field)?.unwrap_or(default))
        };
        let hidden_size = size("hidden_size", 512, 768)?;
        let heads = size("num_attention_heads", 8, 12)?;
        if !hidden_size.is_multiple_of(heads) {
            let reason = format!("it should divide `hidden_size`, which is {hidden_size}");
            return Err(raw.refuse("num_attention_heads", reason));
        }
        let head_dim = hidden_size / heads;
        let (activation, eps) =
            if is_siglip { ("gelu_pytorch_tanh", 1e-6) } else { ("quick_gelu", 1e-5) };
        let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", eps)? };
        let layer = LayerConfig {
            norms: NormPlace::Before,
            norm,
            residual_scale: None,
            attention: AttentionConfig {
                heads,
                kv_heads: heads,
                head_dim,
                scale: (head_dim as f64).powf(-0.5),
                span: 0,
                positions: Positions::None,
                score_cap: None,
                qk_norm: QkNorm::None,
                qkv_bias: Bias::Present,
                output_bias: Bias::Present,
            },
            cross: None,
            mlp: MlpConfig::Plain {
                hidden: size("intermediate_size", 2048, 3072)?,
                activation: raw.activation("hidden_act", activation)?,
                bias: Bias::Present,
            },
        };
        let max_positions = size("max_position_embeddings", 77, 64)?;
        // The class of a whole model reads its own field.
        let projection = match (&section, is_siglip) {
            (_, true) => raw.optional_size("projection_size")?.or(Some(hidden_size)),
            (Some(_), false) => whole.optional_size("projection_dim")?.or(Some(512)),
            (None, false) => raw.optional_size("projection_dim")?.or(Some(512)),
        };
        Ok(Self {
            vocab_size: size("vocab_size", 49_408, 32_000)?,
            hidden_size,
            max_positions,
            positions: AbsolutePositions::Learned { offset: 0, rows: max_positions },
            layers: vec![layer; raw.layers()?.unwrap_or(12)],
            span: match is_siglip {
                true => AttentionSpan::Bidirectional { window: None },
                false => AttentionSpan::Causal { window: None },
            },
            norm,
            pooled: match (is_siglip, raw.number("eos_token_id", 49_407.0)?) {
                (true, _) => Pooled::Last,
                (false, 2.0) => Pooled::LargestId,
                (false, eos) => Pooled::FirstOf(eos as u32),
            },
            projection,
        })
    }
}
