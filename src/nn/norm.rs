//! Normalization over the last dimension, accumulated in f32.

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::norm;
use crate::weights::Weights;
use crate::weights::slices::with_f32;

/// Which normalization.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
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
        if x.device().is_cpu() && x.dtype() == DType::F32 && x.dim(D::Minus1)? == self.size() {
            let y = with_f32(&x, |x| self.forward_rows(x))??;
            return Ok(Tensor::from_vec(y, x.shape(), x.device())?);
        }
        Ok(match &self.bias {
            None => ops::rms_norm(&x, &self.weight, self.eps)?,
            Some(bias) => ops::layer_norm(&x, &self.weight, bias, self.eps)?,
        })
    }

    /// Rows of `size`, the same back, on the CPU.
    pub(crate) fn forward_rows(&self, x: &[f32]) -> Result<Vec<f32>> {
        let size = self.size();
        if size == 0 || !x.len().is_multiple_of(size) {
            return Err(Error::input(format!("{} numbers into a norm of {size}", x.len())));
        }
        let mut y = vec![0.0; x.len()];
        with_f32(&self.weight, |weight| match &self.bias {
            None => {
                norm::rms(x, weight, self.eps, &mut y);
                Ok(())
            }
            Some(bias) => with_f32(bias, |bias| norm::layer(x, weight, bias, self.eps, &mut y)),
        })??;
        Ok(y)
    }

    fn size(&self) -> usize {
        self.weight.elem_count()
    }
}
