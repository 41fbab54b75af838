//! Normalization of channels by what was measured in training.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::weights::Weights;

/// A batch norm in use: a factor and a summand for each channel. <https://arxiv.org/abs/1502.03167>
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    factor: Tensor,
    summand: Tensor,
}

impl BatchNorm {
    /// Reads `name.weight`, `name.bias`, `name.running_mean` and `name.running_var` of so many channels.
    pub(crate) fn load(weights: &Weights, name: &str, channels: usize) -> Result<Self> {
        let read = |part: &str| -> Result<Tensor> {
            let tensor = weights.tensor(&format!("{name}.{part}"), &[channels])?;
            Ok(tensor.to_dtype(DType::F32)?)
        };
        let factor = (read("weight")? / (read("running_var")? + EPSILON)?.sqrt()?)?;
        let summand = (read("bias")? - (read("running_mean")? * &factor)?)?;
        let dtype = weights.dtype();
        Ok(Self { factor: factor.to_dtype(dtype)?, summand: summand.to_dtype(dtype)? })
    }

    /// `(.., channels)`, the same shape back.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.broadcast_mul(&self.factor)?.broadcast_add(&self.summand)?)
    }
}

/// PyTorch's default, which is added to the variance.
const EPSILON: f64 = 1e-5;
