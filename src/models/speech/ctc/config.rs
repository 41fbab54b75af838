//! An encoder of speech as data.

use crate::nn::activation::Activation;
use crate::nn::attention::AttentionConfig;
use crate::nn::convolution::ConvolutionConfig;
use crate::nn::layer::LayerConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;

/// A whole encoder of speech, except its weights. Families make it from config.json; the encoder that
/// runs it does not know the families.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpeechEncoderConfig {
    /// From samples to frames; empty where the model reads frames of features.
    pub front: Vec<FrontLayerConfig>,
    /// Channels of a frame before it is projected to the hidden size.
    pub frame_size: usize,
    /// Of these frames: all but some HuBERT models.
    pub projection_norm: Option<NormConfig>,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Convolutions over hidden states that tell the layers where a frame is.
    pub positions: PositionsConfig,
    /// Before the first layer: where layers norm the sums of their halves.
    pub first_norm: Option<NormConfig>,
    /// One entry per layer.
    pub layers: Vec<SpeechLayerConfig>,
    /// After the last layer: where layers norm the inputs of their halves.
    pub final_norm: Option<NormConfig>,
    /// After all layers and before the adapter: half of its result is added.
    pub last_mlp: Option<MlpConfig>,
    /// What shortens the frames after all layers.
    pub adapter: Option<AdapterConfig>,
    /// The samples that one frame stands for: `inputs_to_logits_ratio` of transformers.
    pub inputs_to_logits_ratio: usize,
    /// Width of the sequence classifier's projection, `classifier_proj_size`.
    pub classifier_size: usize,
    /// Whether the sequence classifier takes a weighted sum of the inputs of all layers and the result.
    pub weighted_layers: bool,
}

/// A convolution from samples towards frames.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FrontLayerConfig {
    /// Its shape.
    pub convolution: ConvolutionConfig,
    /// Of its result.
    pub norm: FrontNorm,
    /// Of what is normed.
    pub activation: Activation,
}

/// How the result of a convolution is normed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrontNorm {
    /// Each channel over all frames of the recording: the first one of models whose
    /// `feat_extract_norm` is `group`.
    Channels,
    /// Each frame by itself: where it is `layer`.
    Frames,
    /// Not at all.
    None,
}

/// Convolutions over hidden states, whose result is added to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PositionsConfig {
    /// One, of hidden states that are normed as in training (batch norm): HuBERT, where
    /// `conv_pos_batch_norm` says so.
    BatchNorm(ConvolutionConfig, Activation),
    /// None: layers know positions themselves.
    None,
    /// So many, of which each result is normed: data2vec.
    Stack(ConvolutionConfig, Activation, usize),
    /// One, whose weight is stored as magnitudes and directions: Wav2Vec2 and most others.
    WeightNorm(ConvolutionConfig, Activation),
}

/// A layer of an encoder of speech.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SpeechLayerConfig {
    /// Attention and convolution between two feed-forward halves: Wav2Vec2-BERT.
    Conformer(ConformerConfig),
    /// As in text: Wav2Vec2 and most others.
    Transformer {
        /// Its two halves.
        layer: LayerConfig,
        /// Width of what is learned for each language, `adapter_attn_dim`: MMS.
        language_adapter: Option<usize>,
    },
}

/// Attention and convolution between two feed-forward halves, <https://arxiv.org/abs/2005.08100>.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConformerConfig {
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// Both feed-forward halves, of whose results half is added.
    pub mlp: MlpConfig,
    /// The attention.
    pub attention: AttentionConfig,
    /// Over each channel by itself.
    pub convolution: ConvolutionConfig,
    /// Of the convolution's result.
    pub activation: Activation,
}

/// What shortens the frames after all layers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdapterConfig {
    /// Of the projection to another width.
    pub projection_norm: Option<NormConfig>,
    /// Width of the result.
    pub size: usize,
    /// Its layers, all alike.
    pub layers: usize,
    /// Of each layer: to twice the width, of which one half is the other's gate.
    pub convolution: ConvolutionConfig,
    /// Attention and a feed-forward half after the convolution: Wav2Vec2-BERT.
    pub block: Option<AdapterBlockConfig>,
}

/// Attention and a feed-forward half in a layer of an adapter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AdapterBlockConfig {
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// The attention.
    pub attention: AttentionConfig,
    /// The feed-forward half.
    pub mlp: MlpConfig,
}

impl SpeechEncoderConfig {
    /// Channels of a frame that goes in: 1 where it is a sample.
    #[must_use]
    pub fn width(&self) -> usize {
        if self.front.is_empty() { self.frame_size } else { 1 }
    }

    /// Width of what comes out.
    #[must_use]
    pub fn out_size(&self) -> usize {
        self.adapter.as_ref().map_or(self.hidden_size, |adapter| adapter.size)
    }

    /// The frames of hidden states that so many inputs give, before an adapter; 0 if they are too few.
    #[must_use]
    pub fn frames(&self, inputs: usize) -> usize {
        self.front.iter().fold(inputs, |frames, layer| layer.convolution.frames(frames))
    }

    /// The inputs that so many frames before an adapter are computed from, and those from one frame's first to
    /// the next's.
    pub(super) fn seen(&self, frames: usize) -> (usize, usize) {
        let layers = self.front.iter().rev().map(|layer| layer.convolution);
        layers.fold((frames, 1), |(seen, step), layer| {
            (seen.saturating_sub(1) * layer.stride + layer.kernel, step * layer.stride)
        })
    }
}
