//! The text encoder: what is heard in each character.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::speech::synthesis::vits::attention::RelativeAttention;
use crate::models::speech::synthesis::vits::config::VitsConfig;
use crate::nn::activation::Activation;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::{Bias, Embedding, Weights};

#[derive(Debug)]
pub(super) struct TextEncoder {
    embedding: Embedding,
    /// Multiplies embeddings.
    scale: f64,
    layers: Vec<EncoderLayer>,
    project: Convolution,
}

/// What a text is encoded to.
#[derive(Debug)]
pub(super) struct EncodedText {
    /// `(ids, hidden)`.
    pub(super) hidden_states: Tensor,
    /// `(ids, flow)`.
    pub(super) prior_means: Tensor,
    /// `(ids, flow)`.
    pub(super) prior_log_variances: Tensor,
}

#[derive(Debug)]
struct EncoderLayer {
    attention: RelativeAttention,
    attention_norm: Norm,
    first: Convolution,
    activation: Activation,
    second: Convolution,
    norm: Norm,
}

impl TextEncoder {
    pub(super) fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let layer = |number: usize| {
            EncoderLayer::load(&weights.scope("encoder.layers").scope(number), config)
        };
        let project = ConvolutionConfig::new([hidden, 2 * config.flow_size], 1, Bias::Present);
        Ok(Self {
            embedding: weights.embedding("embed_tokens", config.vocab_size, hidden)?,
            scale: (hidden as f64).sqrt(),
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            project: Convolution::load(weights, "project", project)?,
        })
    }

    pub(super) fn forward(&self, ids: &[u32], device: &Device) -> Result<EncodedText> {
        let ids = Tensor::new(ids, device)?;
        let mut x = (self.embedding.forward(&ids)? * self.scale)?;
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        let stats = self.project.forward(&x)?;
        let flow = stats.dim(1)? / 2;
        Ok(EncodedText {
            prior_means: stats.narrow(1, 0, flow)?.contiguous()?,
            prior_log_variances: stats.narrow(1, flow, flow)?.contiguous()?,
            hidden_states: x,
        })
    }
}

impl EncoderLayer {
    fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let (hidden, inner, kernel) = (config.hidden_size, config.ffn_dim, config.ffn_kernel_size);
        let convolution = |name: &str, channels: [usize; 2]| {
            let padding = [(kernel - 1) / 2, kernel / 2];
            let config = ConvolutionConfig::new(channels, kernel, Bias::Present);
            let config =
                ConvolutionConfig { padding: if kernel > 1 { padding } else { [0; 2] }, ..config };
            Convolution::load(&weights.scope("feed_forward"), name, config)
        };
        let norm = |name: &str| {
            Norm::load(weights, name, hidden, NormConfig::Layer { eps: config.layer_norm_eps })
        };
        Ok(Self {
            attention: RelativeAttention::load(&weights.scope("attention"), config)?,
            attention_norm: norm("layer_norm")?,
            first: convolution("conv_1", [hidden, inner])?,
            activation: config.hidden_act,
            second: convolution("conv_2", [inner, hidden])?,
            norm: norm("final_layer_norm")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.attention_norm.forward(&(x + self.attention.forward(x)?)?)?;
        let y = self.activation.forward(&self.first.forward(&x)?)?;
        self.norm.forward(&(&x + self.second.forward(&y)?)?)
    }
}
