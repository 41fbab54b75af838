//! A convolution over the frames of a recording.

use candle_core::Tensor;

use crate::error::Result;
use crate::models::speech::config::ConvolutionConfig;
use crate::nn::activation::Activation;
use crate::weights::{Bias, Linear, Weights};

/// A convolution over frames, as one product: each row of it is all that a result depends on.
#[derive(Debug)]
pub(super) struct Convolution {
    /// `(channels, kernel * inputs)`.
    product: Linear,
    config: ConvolutionConfig,
}

impl Convolution {
    /// Reads `name.weight`, `(channels, inputs, kernel)`, and `name.bias` where there is one.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        inputs: usize,
        config: ConvolutionConfig,
    ) -> Result<Self> {
        let ConvolutionConfig { channels, kernel, .. } = config;
        let weight = weights.tensor(&format!("{name}.weight"), &[channels, inputs, kernel])?;
        let weight = weight.permute((0, 2, 1))?.contiguous()?.reshape((channels, ()))?;
        let bias_name = format!("{name}.bias");
        let bias = match config.bias {
            Bias::Absent => None,
            Bias::IfStored if !weights.contains(&bias_name) => None,
            Bias::IfStored | Bias::Present => Some(weights.tensor(&bias_name, &[channels])?),
        };
        Ok(Self { product: Linear::new(weight, bias)?, config })
    }

    /// `(frames, inputs)` to `(frames of the result, channels)`, of which there is at least one.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvolutionConfig { kernel, stride, padding, activation, .. } = self.config;
        let frames = self.config.frames(x.dim(0)?);
        let padded = x.pad_with_zeros(0, padding, padding)?;
        let seen = (0..frames).flat_map(|frame| (0..kernel).map(move |at| frame * stride + at));
        let seen = Tensor::from_iter(seen.map(|frame| frame as u32), x.device())?;
        let unfolded = padded.index_select(&seen, 0)?.reshape((frames, ()))?;
        let y = self.product.forward(&unfolded)?;
        if activation == Activation::Linear { Ok(y) } else { activation.forward(&y) }
    }
}
