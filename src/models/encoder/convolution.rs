//! The convolution beside the first layer of DeBERTa v2 XL and XXL.

use candle_core::Tensor;

use crate::error::Result;
use crate::models::encoder::config::ConvolutionConfig;
use crate::nn::Step;
use crate::nn::activation::Activation;
use crate::nn::cache::Segment;
use crate::nn::norm::Norm;
use crate::weights::Weights;

/// `norm(result + act(conv(embeddings)))`.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `(hidden, hidden / groups, kernel)`.
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    activation: Activation,
    norm: Norm,
}

impl Convolution {
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        config: &ConvolutionConfig,
    ) -> Result<Self> {
        let shape = [hidden, hidden / config.groups, config.kernel];
        Ok(Self {
            weight: weights.tensor("conv.weight", &shape)?,
            bias: weights.tensor("conv.bias", &[hidden])?,
            groups: config.groups,
            activation: config.activation,
            norm: Norm::load(weights, "norm", hidden, config.norm)?,
        })
    }

    /// Of the embeddings and the first layer's result, `(packed tokens, hidden)` each.
    pub(super) fn forward(&self, embedded: &Tensor, x: &Tensor, step: &Step) -> Result<Tensor> {
        let padding = self.weight.dim(2)? / 2;
        let convolve = |row: &Segment| -> Result<Tensor> {
            let row = embedded
                .narrow(0, row.tokens.start, row.tokens.len())?
                .t()?
                .unsqueeze(0)?
                .contiguous()?;
            let out = row.conv1d(&self.weight, padding, 1, 1, self.groups)?;
            Ok(out.squeeze(0)?.t()?)
        };
        let rows = step.segments.iter().map(convolve).collect::<Result<Vec<_>>>()?;
        let convolved = Tensor::cat(&rows, 0)?.broadcast_add(&self.bias)?;
        self.norm.forward(&(x + self.activation.forward(&convolved)?)?)
    }
}
