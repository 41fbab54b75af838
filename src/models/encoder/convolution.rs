//! The convolution beside the first layer of DeBERTa v2 XL and XXL.

use std::ops::Range;

use candle_core::Tensor;

use crate::error::Result;
use crate::models::encoder::config::ConvolutionConfig;
use crate::nn::Step;
use crate::nn::activation::Activation;
use crate::nn::convolution;
use crate::nn::norm::Norm;
use crate::weights::{Bias, Weights};

/// `norm(result + act(conv(embeddings)))`.
#[derive(Debug)]
pub(super) struct Convolution {
    convolution: convolution::Convolution,
    activation: Activation,
    norm: Norm,
}

impl Convolution {
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let ConvolutionConfig { kernel, groups, .. } = *config;
        let shape = convolution::ConvolutionConfig::new([hidden, hidden], kernel, Bias::Present)
            .padding(kernel / 2)
            .groups(groups);
        Ok(Self {
            convolution: convolution::Convolution::load(weights, "conv", shape)?,
            activation: config.activation,
            norm: Norm::load(weights, "norm", hidden, config.norm)?,
        })
    }

    /// Of the embeddings and the first layer's result, `(packed tokens, hidden)` each.
    pub(super) fn forward(&self, embedded: &Tensor, x: &Tensor, step: &Step) -> Result<Tensor> {
        let rows: Vec<Range<usize>> = step.segments.iter().map(|row| row.tokens.clone()).collect();
        let convolved = self.convolution.forward_packed(embedded, &rows)?;
        self.norm.forward(&(x + self.activation.forward(&convolved)?)?)
    }
}
