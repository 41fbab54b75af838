//! The sizes of VITS.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::hifigan::{HifiGanConfig, sampling_rate};
use crate::nn::activation::Activation;

/// `VitsConfig` of transformers: what speaking needs of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VitsConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Channels of the text encoder, the duration predictor and the flow.
    pub hidden_size: usize,
    /// Layers of the text encoder.
    pub num_hidden_layers: usize,
    /// Heads of its attention.
    pub num_attention_heads: usize,
    /// Its attention knows distances up to this; `None`: none.
    pub window_size: Option<usize>,
    /// Whether its projections have biases.
    pub use_bias: bool,
    /// Channels of its feed-forward layers.
    pub ffn_dim: usize,
    /// Frames that its feed-forward layers look at.
    pub ffn_kernel_size: usize,
    /// Their activation.
    pub hidden_act: Activation,
    /// Of its norms.
    pub layer_norm_eps: f64,
    /// Channels of a frame that the flow makes.
    pub flow_size: usize,
    /// Whether durations are drawn.
    pub use_stochastic_duration_prediction: bool,
    /// How many voices there are.
    pub num_speakers: usize,
    /// The width of a voice's embedding.
    pub(super) speaker_size: usize,
    /// Layers of a block of the drawn durations' predictor.
    pub depth_separable_num_layers: usize,
    /// Bins of its splines.
    pub duration_predictor_flow_bins: usize,
    /// Splines reach from minus this to this.
    pub duration_predictor_tail_bound: f64,
    /// Its kernel.
    pub duration_predictor_kernel_size: usize,
    /// Its flows.
    pub duration_predictor_num_flows: usize,
    /// Channels of the predictor of certain durations.
    pub duration_predictor_filter_channels: usize,
    /// Flows to the spectrogram.
    pub prior_encoder_num_flows: usize,
    /// Layers of each.
    pub prior_encoder_num_wavenet_layers: usize,
    /// Kernel of their layers.
    pub wavenet_kernel_size: usize,
    /// Each layer is dilated by so much more than the one before.
    pub wavenet_dilation_rate: usize,
    /// How fast is spoken, by default.
    pub speaking_rate: f64,
    /// How much the sound varies, by default.
    pub noise_scale: f64,
    /// How much durations vary, by default.
    pub noise_scale_duration: f64,
    /// Samples per second.
    pub sampling_rate: u32,
    pub(super) vocoder: HifiGanConfig,
}

impl VitsConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let size = |field: &str, default: usize| -> Result<usize> {
            Ok(raw.optional_size(field)?.unwrap_or(default))
        };
        let few = |field: &str, default: usize, most: usize| -> Result<usize> {
            match size(field, default)? {
                size if size > most => Err(raw.refuse(field, "no model has that many")),
                size => Ok(size),
            }
        };
        let hidden_size = size("hidden_size", 192)?;
        let num_attention_heads = size("num_attention_heads", 2)?;
        if !hidden_size.is_multiple_of(num_attention_heads) {
            return Err(raw.refuse("num_attention_heads", "it should divide `hidden_size`"));
        }
        let flow_size = size("flow_size", 192)?;
        if !flow_size.is_multiple_of(2) {
            return Err(raw.refuse("flow_size", "it should be even"));
        }
        if size("depth_separable_channels", 2)? != 2 {
            return Err(raw.refuse("depth_separable_channels", "only 2 is supported"));
        }
        let whole = |field: &str, default: f64| -> Result<usize> {
            let number = raw.number(field, default)?;
            if number < 0.0 || number.fract() != 0.0 || number > 1e6 {
                return Err(raw.refuse(field, "it should be a whole number"));
            }
            Ok(number as usize)
        };
        let num_speakers = whole("num_speakers", 1.0)?;
        let speaker_size = whole("speaker_embedding_size", 0.0)?;
        if num_speakers > 1 && speaker_size == 0 {
            return Err(raw.refuse("speaker_embedding_size", "several speakers need embeddings"));
        }
        let within = |field: &str, default: f64, range: RangeInclusive<f64>| -> Result<f64> {
            let number = raw.number(field, default)?;
            if range.contains(&number) {
                return Ok(number);
            }
            let (least, most) = (range.start(), range.end());
            Err(raw.refuse(field, format!("it should be between {least} and {most}")))
        };
        let odd = |field: &str, default: usize| -> Result<usize> {
            match few(field, default, 1 << 10)? {
                size if size.is_multiple_of(2) => Err(raw.refuse(field, "it should be odd")),
                size => Ok(size),
            }
        };
        let vocoder = HifiGanConfig::read(raw, flow_size, [&[8, 8, 2, 2], &[16, 16, 4, 4]])?;
        Ok(Self {
            vocab_size: size("vocab_size", 38)?,
            hidden_size,
            num_hidden_layers: few("num_hidden_layers", 6, 1 << 10)?,
            num_attention_heads,
            window_size: match raw.with_default("window_size", 4).optional_number("window_size")? {
                None => None,
                Some(_) => Some(few("window_size", 4, 1 << 12)?),
            },
            use_bias: raw.flag("use_bias", true)?,
            ffn_dim: size("ffn_dim", 768)?,
            ffn_kernel_size: few("ffn_kernel_size", 3, 1 << 10)?,
            hidden_act: raw.plain_activation("hidden_act", "relu")?,
            layer_norm_eps: raw.epsilon("layer_norm_eps", 1e-5)?,
            flow_size,
            use_stochastic_duration_prediction: raw
                .flag("use_stochastic_duration_prediction", true)?,
            num_speakers,
            speaker_size,
            depth_separable_num_layers: few("depth_separable_num_layers", 3, 12)?,
            duration_predictor_flow_bins: few("duration_predictor_flow_bins", 10, 512)?,
            duration_predictor_tail_bound: raw.number("duration_predictor_tail_bound", 5.0)?,
            duration_predictor_kernel_size: odd("duration_predictor_kernel_size", 3)?,
            duration_predictor_num_flows: few("duration_predictor_num_flows", 4, 1 << 10)?,
            duration_predictor_filter_channels: size("duration_predictor_filter_channels", 256)?,
            prior_encoder_num_flows: few("prior_encoder_num_flows", 4, 1 << 10)?,
            prior_encoder_num_wavenet_layers: few("prior_encoder_num_wavenet_layers", 4, 32)?,
            wavenet_kernel_size: odd("wavenet_kernel_size", 5)?,
            wavenet_dilation_rate: few("wavenet_dilation_rate", 1, 16)?,
            speaking_rate: within("speaking_rate", 1.0, RATES)?,
            noise_scale: within("noise_scale", 0.667, NOISES)?,
            noise_scale_duration: within("noise_scale_duration", 0.8, NOISES)?,
            sampling_rate: sampling_rate(raw)?,
            vocoder: HifiGanConfig { last_bias: false, speaker: speaker_size, ..vocoder },
        })
    }
}

/// Of speaking rates.
pub(super) const RATES: RangeInclusive<f64> = 0.05..=20.0;
/// Of the scales of noise.
pub(super) const NOISES: RangeInclusive<f64> = 0.0..=10.0;
