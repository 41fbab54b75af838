//! A convolution over the frames of a recording, and what follows it.

use candle_core::Tensor;

use crate::error::Result;
use crate::models::speech::config::{ConvolutionConfig, ConvolutionNorm};
use crate::nn::activation::Activation;
use crate::nn::convolution;
use crate::nn::group_norm::GroupNorm;
use crate::weights::Weights;

/// A convolution over frames and an activation.
#[derive(Debug)]
pub(super) struct Convolution {
    convolution: convolution::Convolution,
    activation: Activation,
    norm: Option<GroupNorm>,
}

impl Convolution {
    /// Reads `name.weight`, `(channels, inputs, kernel)`, and `name.bias` and `name.norm` where there are such.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        inputs: usize,
        config: ConvolutionConfig,
    ) -> Result<Self> {
        let ConvolutionConfig { channels, kernel, stride, padding, bias, activation, norm } =
            config;
        let config = convolution::ConvolutionConfig::new([inputs, channels], kernel, bias)
            .stride(stride)
            .padding(padding);
        let convolution = convolution::Convolution::load(weights, name, config)?;
        let norm = match norm {
            ConvolutionNorm::None => None,
            ConvolutionNorm::Together { eps } => {
                Some(GroupNorm::load(weights, &format!("{name}.norm"), channels, 1, eps)?)
            }
        };
        Ok(Self { convolution, activation, norm })
    }

    /// `(frames, inputs)` to `(frames of the result, channels)`, of which there is at least one.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.convolution.forward(x)?;
        let y = match self.activation {
            Activation::Linear => y,
            activation => activation.forward(&y)?,
        };
        match &self.norm {
            Some(norm) => norm.forward(&y),
            None => Ok(y),
        }
    }
}
