//! Normalization over the last dimension, accumulated in f32.

use candle_core::Tensor;
use candle_nn::ops;

use crate::error::Result;
use crate::weights::Weights;

/// Which normalization.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum NormConfig {
    /// Mean and variance, with weight and bias: Falcon, StarCoder2, GPT-2, most encoders.
    Layer {
        /// Added to the variance.
        eps: f64,
    },
    /// Mean and variance, with weight and without bias: ModernBERT.
    LayerWithoutBias {
        /// Added to the variance.
        eps: f64,
    },
    /// Root mean square, with weight: Llama and what descends from it.
    /// <https://arxiv.org/abs/1910.07467>
    Rms {
        /// Added to the mean square.
        eps: f64,
    },
}

/// A normalization with its weights.
#[derive(Debug, Clone)]
pub struct Norm {
    eps: f32,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    /// Reads `name.weight`, and `name.bias` for a layer norm, of `size` entries.
    ///
    /// # Errors
    ///
    /// When a tensor is missing or has another shape.
    pub fn load(weights: &Weights, name: &str, size: usize, config: NormConfig) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &[size])?;
        Ok(match config {
            NormConfig::Layer { eps } => {
                let bias = weights.tensor(&format!("{name}.bias"), &[size])?;
                Self { eps: eps as f32, weight, bias: Some(bias) }
            }
            NormConfig::LayerWithoutBias { eps } => {
                let bias = Some(weight.zeros_like()?);
                Self { eps: eps as f32, weight, bias }
            }
            NormConfig::Rms { eps } => Self { eps: eps as f32, weight, bias: None },
        })
    }

    /// `x: (.., size)`, the same shape back.
    ///
    /// # Errors
    ///
    /// When the last dimension is not `size`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        Ok(match &self.bias {
            None => ops::rms_norm(&x, &self.weight, self.eps)?,
            Some(bias) => ops::layer_norm(&x, &self.weight, bias, self.eps)?,
        })
    }
}
