//! Sinusoids that a trained number scales. <https://arxiv.org/abs/1809.08895>

use std::ops::Range;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::weights::Weights;

#[derive(Debug)]
pub(super) struct ScaledPositions {
    hidden: usize,
    alpha: f32,
}

impl ScaledPositions {
    /// Reads `encode_positions.alpha`.
    pub(super) fn load(weights: &Weights, hidden: usize) -> Result<Self> {
        let alpha = weights.tensor("encode_positions.alpha", &[])?.to_dtype(DType::F32)?;
        Ok(Self { hidden, alpha: alpha.to_scalar()? })
    }

    /// What is added at some places, `(places, hidden)`, in the dtype and on the device of a tensor.
    pub(super) fn rows(&self, places: Range<usize>, like: &Tensor) -> Result<Tensor> {
        let count = places.len();
        let half = self.hidden / 2;
        let step = -(10_000_f64.ln() / self.hidden as f64) as f32;
        let mut out = Vec::with_capacity(count * self.hidden);
        for place in places {
            for pair in 0..half {
                let angle = place as f32 * (2.0 * pair as f32 * step).exp();
                out.extend([self.alpha * angle.sin(), self.alpha * angle.cos()]);
            }
        }
        let out = Tensor::from_vec(out, (count, self.hidden), like.device())?;
        Ok(out.to_dtype(like.dtype())?)
    }
}
