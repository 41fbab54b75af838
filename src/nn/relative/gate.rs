//! What multiplies the bias by distance of each query and head: WavLM.

use candle_core::{D, DType, Tensor};
use candle_nn::ops;

use crate::error::{Error, Result};
use crate::weights::Weights;

/// `a (b c - 1) + 2`, where `a` and `b` are computed from what attention gets of a token and a head, and `c` is
/// a number of the head: `gru_rel_pos` of `WavLMAttention`, <https://arxiv.org/abs/2110.13900>.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// `(2, head_dim)` and `(2)`: of `a` and of `b`, each the sum of four.
    weight: Tensor,
    bias: Tensor,
    /// `(heads)`.
    constants: Tensor,
    heads: usize,
}

impl Gate {
    /// Reads `gate` and `gate_constant` from the scope of an attention.
    pub(crate) fn load(weights: &Weights, heads: usize, head_dim: usize) -> Result<Self> {
        let four = |x: Tensor| x.to_dtype(DType::F32)?.reshape((2, 4, ()))?.sum(1);
        let constants = weights.tensor("gate_constant", &[1, heads, 1, 1])?;
        Ok(Self {
            weight: four(weights.tensor("gate.weight", &[8, head_dim])?)?,
            bias: four(weights.tensor("gate.bias", &[8])?)?.flatten_all()?,
            constants: constants.to_dtype(DType::F32)?.flatten_all()?,
            heads,
        })
    }

    /// What attention gets, `(tokens, heads * head_dim)`, to `(tokens, heads)` in f32.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, head_dim) = (x.dim(0)?, self.weight.dim(1)?);
        if x.dim(1)? != self.heads * head_dim {
            return Err(Error::unsupported("gates of a residual stream that is no heads"));
        }
        let x = x.to_dtype(DType::F32)?.contiguous()?.reshape((tokens * self.heads, head_dim))?;
        let gates = x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?;
        let gates = ops::sigmoid(&gates)?.reshape((tokens, self.heads, 2))?;
        let (a, b) = (gates.narrow(D::Minus1, 0, 1)?, gates.narrow(D::Minus1, 1, 1)?);
        let inner = (b.squeeze(D::Minus1)?.broadcast_mul(&self.constants)? - 1.0)?;
        Ok(((a.squeeze(D::Minus1)? * inner)? + 2.0)?)
    }
}
