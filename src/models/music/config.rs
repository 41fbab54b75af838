//! MusicGen as data.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// MusicGen's decoder of frames (<https://arxiv.org/abs/2306.05284>), except its weights: BART's, except that
/// norms stand before each half, that only norms have biases, that positions are cosines and sines, and that there
/// are tables and heads for several codebooks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MusicDecoderConfig {
    /// The layers. Its words are those of all codebooks, one codebook after the other.
    pub decoder: DecoderConfig,
    /// The most frames.
    pub frames: usize,
    /// How many codebooks there are, of all channels.
    pub codebooks: usize,
    /// Codes are below this, and this number stands where there is none.
    pub codes: usize,
    /// Channels of sound, 1 or 2. With two, codebooks alternate between left and right.
    pub channels: usize,
    /// What a frame before the first is made of, and what stands where the delay leaves a gap.
    pub start_id: u32,
}

/// Where a decoder finds what describes the music.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Described {
    /// In a source that each layer attends to.
    ByASource,
    /// In so many vectors at most before the first frame: the model with melodies.
    Before { vectors: usize },
}

/// Reads the section `decoder` of a config.json: `MusicgenDecoderConfig` of the reference, with its defaults.
pub(super) fn decoder(raw: &RawConfig, described: Described) -> Result<MusicDecoderConfig> {
    let codes = sized(raw, "vocab_size", 2048)?;
    let codebooks = sized(raw, "num_codebooks", 4)?;
    let hidden_size = sized(raw, "hidden_size", 1024)?;
    let heads = sized(raw, "num_attention_heads", 16)?;
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("it should divide {hidden_size}, the decoder's width");
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let channels = sized(raw, "audio_channels", 1)?;
    if channels > 2 || !codebooks.is_multiple_of(channels) {
        return Err(raw.refuse("audio_channels", "it should be 1, or 2 with codebooks for both"));
    }
    let head_dim = hidden_size / heads;
    let attention = AttentionConfig::plain(heads, head_dim, Bias::Absent);
    let norm = NormConfig::Layer { eps: 1e-5 };
    let layer = LayerConfig {
        norms: NormPlace::Before,
        norm,
        residual_scale: None,
        cross: (described == Described::ByASource).then(|| attention.clone()),
        attention,
        mlp: MlpConfig::Plain {
            hidden: sized(raw, "ffn_dim", 4096)?,
            activation: raw.activation("activation_function", "gelu")?,
            bias: Bias::Absent,
        },
    };
    let raw = raw.with_default("num_hidden_layers", 24);
    let layers = raw.layers()?.ok_or_else(|| raw.missing("num_hidden_layers"))?;
    let start_id = raw.optional_number("bos_token_id")?.unwrap_or(codes as f64);
    if start_id != codes as f64 {
        return Err(
            raw.refuse("bos_token_id", format!("it should be {codes}, the id after the codes"))
        );
    }
    let frames = sized(&raw, "max_position_embeddings", 2048)?;
    let before = match described {
        Described::ByASource => 0,
        Described::Before { vectors } => vectors,
    };
    let words = codebooks.checked_mul(codes + 1);
    let vocab_size = words.ok_or_else(|| raw.refuse("num_codebooks", "these are too many"))?;
    Ok(MusicDecoderConfig {
        decoder: DecoderConfig {
            vocab_size,
            hidden_size,
            max_positions: frames.saturating_add(before),
            recomputed_beyond: None,
            embedding_scale: None,
            layers: vec![layer; layers],
            positions: AbsolutePositions::CosinesFirst,
            embedding_norm: None,
            ropes: Vec::new(),
            alibis: Vec::new(),
            spans: vec![AttentionSpan::Causal { window: None }],
            final_norm: Some(norm),
            head: HeadWeights::TiedToEmbedding,
            head_bias: Bias::Absent,
            logit_scale: None,
            logit_cap: None,
        },
        frames,
        codebooks,
        codes,
        channels,
        start_id: codes as u32,
    })
}

fn sized(raw: &RawConfig, field: &str, default: usize) -> Result<usize> {
    Ok(raw.optional_size(field)?.unwrap_or(default))
}
