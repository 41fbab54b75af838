//! The sizes of SpeechT5.

use serde::Serialize;

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;

/// `SpeechT5Config` of transformers: what speaking needs of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpeechT5Config {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Channels of all layers.
    pub hidden_size: usize,
    /// Layers of the text encoder.
    pub encoder_layers: usize,
    /// Heads of its attention.
    pub encoder_attention_heads: usize,
    /// Channels between the layers of its MLPs.
    pub encoder_ffn_dim: usize,
    /// Its attention knows distances below this.
    pub encoder_max_relative_position: usize,
    /// Layers of the speech decoder.
    pub decoder_layers: usize,
    /// Heads of its attention.
    pub decoder_attention_heads: usize,
    /// Channels between the layers of its MLPs.
    pub decoder_ffn_dim: usize,
    /// Of all MLPs.
    pub hidden_act: Activation,
    /// Of all norms.
    pub layer_norm_eps: f64,
    /// Channels of a frame of the spectrogram.
    pub num_mel_bins: usize,
    /// Frames that a step writes.
    pub reduction_factor: usize,
    /// Layers before the decoder.
    pub speech_decoder_prenet_layers: usize,
    /// Channels of these.
    pub speech_decoder_prenet_units: usize,
    /// The share of their results that is kept: the reference calls it a dropout, and scales by 1 over the rest.
    pub speech_decoder_prenet_dropout: f64,
    /// Layers behind the decoder.
    pub speech_decoder_postnet_layers: usize,
    /// Channels of these.
    pub speech_decoder_postnet_units: usize,
    /// Frames that these look at.
    pub speech_decoder_postnet_kernel: usize,
    /// Numbers of a speaker's embedding.
    pub speaker_embedding_dim: usize,
    /// The most steps.
    pub max_speech_positions: usize,
    /// The most ids.
    pub max_text_positions: usize,
}

impl SpeechT5Config {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let size = |field: &str, default: usize| -> Result<usize> {
            Ok(raw.optional_size(field)?.unwrap_or(default))
        };
        let few = |field: &str, default: usize| -> Result<usize> {
            match size(field, default)? {
                size if size > 1 << 10 => Err(raw.refuse(field, "no model has that many")),
                size => Ok(size),
            }
        };
        let hidden_size = size("hidden_size", 768)?;
        let heads = |field: &str| -> Result<usize> {
            match size(field, 12)? {
                heads if hidden_size.is_multiple_of(heads) => Ok(heads),
                _ => Err(raw.refuse(field, "it should divide `hidden_size`")),
            }
        };
        if !hidden_size.is_multiple_of(2) {
            return Err(raw.refuse("hidden_size", "it should be even"));
        }
        let dropout = raw.number("speech_decoder_prenet_dropout", 0.5)?;
        if !(0.0..1.0).contains(&dropout) {
            return Err(
                raw.refuse("speech_decoder_prenet_dropout", "it should be from 0 to below 1")
            );
        }
        let kernel = few("speech_decoder_postnet_kernel", 5)?;
        if kernel.is_multiple_of(2) {
            return Err(raw.refuse("speech_decoder_postnet_kernel", "it should be odd"));
        }
        Ok(Self {
            vocab_size: size("vocab_size", 81)?,
            hidden_size,
            encoder_layers: few("encoder_layers", 12)?,
            encoder_attention_heads: heads("encoder_attention_heads")?,
            encoder_ffn_dim: size("encoder_ffn_dim", 3072)?,
            encoder_max_relative_position: size("encoder_max_relative_position", 160)?,
            decoder_layers: few("decoder_layers", 6)?,
            decoder_attention_heads: heads("decoder_attention_heads")?,
            decoder_ffn_dim: size("decoder_ffn_dim", 3072)?,
            hidden_act: raw.plain_activation("hidden_act", "gelu")?,
            layer_norm_eps: raw.epsilon("layer_norm_eps", 1e-5)?,
            num_mel_bins: size("num_mel_bins", 80)?,
            reduction_factor: few("reduction_factor", 2)?,
            speech_decoder_prenet_layers: few("speech_decoder_prenet_layers", 2)?,
            speech_decoder_prenet_units: size("speech_decoder_prenet_units", 256)?,
            speech_decoder_prenet_dropout: dropout,
            speech_decoder_postnet_layers: few("speech_decoder_postnet_layers", 5)?,
            speech_decoder_postnet_units: size("speech_decoder_postnet_units", 256)?,
            speech_decoder_postnet_kernel: kernel,
            speaker_embedding_dim: size("speaker_embedding_dim", 512)?,
            max_speech_positions: size("max_speech_positions", 4000)?,
            max_text_positions: size("max_text_positions", 450)?,
        })
    }
}
