//! Models that hear, as data.

use crate::models::decoder::DecoderConfig;
use crate::nn::activation::Activation;
use crate::nn::layer::LayerConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::RopeConfig;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// A whole encoder-decoder that hears, except its weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpeechSeq2SeqConfig {
    /// The half that hears.
    pub encoder: AudioEncoderConfig,
    /// The half that writes; its layers attend to the encoder's hidden states, too.
    pub decoder: DecoderConfig,
    /// The first token of the decoder.
    pub start_id: Option<u32>,
}

/// An encoder of sound, except its weights: convolutions, then layers whose frames look both ways.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AudioEncoderConfig {
    /// Values of a frame of features.
    pub width: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The most frames after the convolutions.
    pub max_positions: usize,
    /// From features to the first layer's input, one after the other.
    pub convolutions: Vec<ConvolutionConfig>,
    /// The table of absolute positions.
    pub positions: AbsolutePositions,
    /// One entry per layer.
    pub layers: Vec<LayerConfig>,
    /// The distinct ways in which layers rotate queries and keys: Moonshine.
    pub ropes: Vec<RopeConfig>,
    /// The distinct spans that layers attend to.
    pub spans: Vec<AttentionSpan>,
    /// After the last layer.
    pub final_norm: Option<NormConfig>,
}

/// A convolution over frames, and what follows it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ConvolutionConfig {
    /// Channels of the result.
    pub channels: usize,
    /// Frames that each result depends on.
    pub kernel: usize,
    /// Frames from one result to the next.
    pub stride: usize,
    /// Frames of zeros before the first and after the last.
    pub padding: usize,
    /// Whether a bias is added.
    pub bias: Bias,
    /// Of the result.
    pub activation: Activation,
    /// After the activation.
    pub norm: ConvolutionNorm,
}

/// How what comes out of a convolution is normed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ConvolutionNorm {
    /// All channels of all frames together: Moonshine's first.
    Together {
        /// Added to the variance.
        eps: f64,
    },
    /// Not at all: Whisper.
    None,
}

impl AudioEncoderConfig {
    /// The frames that come out of the convolutions for so many that go in; 0 where they are too few.
    #[must_use]
    pub fn frames(&self, features: usize) -> usize {
        self.convolutions.iter().fold(features, |frames, convolution| convolution.frames(frames))
    }

    /// The frames of features from one frame after the convolutions to the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.convolutions.iter().map(|convolution| convolution.stride).product()
    }
}

impl ConvolutionConfig {
    /// The frames of the result for so many frames.
    pub(super) fn frames(&self, frames: usize) -> usize {
        match (frames + 2 * self.padding).checked_sub(self.kernel) {
            Some(beyond) if frames > 0 => beyond / self.stride + 1,
            _ => 0,
        }
    }
}
