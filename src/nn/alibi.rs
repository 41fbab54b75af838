//! Attention with linear biases: <https://arxiv.org/abs/2108.12409>.
//!
//! Follows `build_alibi_tensor` in transformers' modeling_falcon.py, which adds `slope * position of
//! the key` and computes it in bfloat16 whatever the model computes in: weights have been trained
//! with these roundings.

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::Result;

/// Biases in proportion to the position of the key, with a slope for each head.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AlibiConfig {
    /// Query heads; their slopes are a geometric sequence.
    pub heads: usize,
    /// Multiplies the biases. Falcon scales them as it scales scores.
    pub scale: f64,
}

impl AlibiConfig {
    /// What is added to the scores of keys by their positions, `(heads, slots)` in f32.
    pub(crate) fn biases(&self, slots: usize, device: &Device) -> Result<Tensor> {
        let keys = Tensor::arange(0, slots as u32, &Device::Cpu)?.to_dtype(DType::F32)?;
        let slopes = Tensor::from_vec(self.slopes(), (self.heads, 1), &Device::Cpu)?;
        let biases = slopes.to_dtype(DType::BF16)?.broadcast_mul(&keys.to_dtype(DType::BF16)?)?;
        Ok((biases.to_dtype(DType::F32)? * self.scale)?.to_device(device)?)
    }

    /// `2^(-8 i / n)` for the largest power of two `n` of heads; heads beyond it lie between the first.
    fn slopes(&self) -> Vec<f32> {
        let power = self.heads.checked_ilog2().map_or(1, |log| 1_usize << log);
        let sequence = |n: usize, first: usize, step: usize, count: usize| {
            let base = 2_f32.powf(-(2_f64.powf(3.0 - (n as f64).log2())) as f32);
            (0..count).map(move |i| base.powi((first + step * i) as i32))
        };
        let beyond = self.heads - power.min(self.heads);
        sequence(power, 1, 1, power).chain(sequence(2 * power, 1, 2, beyond)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_any_number_of_heads() {
        let slopes = |heads| AlibiConfig { heads, scale: 1.0 }.slopes();
        assert_eq!(slopes(8), (1..=8).map(|i| 0.5_f32.powi(i)).collect::<Vec<_>>());
        // Those of four heads, then the first and third of eight.
        assert_eq!(slopes(6), [0.25, 0.0625, 0.015_625, 0.003_906_25, 0.5, 0.125]);
        assert_eq!(slopes(1), [0.003_906_25]);
    }
}
