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
    /// Mean and variance, with weight and without bias: ModernBERT, Command-R.
    LayerWithoutBias {
        /// Added to the variance.
        eps: f64,
    },
    /// Root mean square, with weight: Llama and its descendants. <https://arxiv.org/abs/1910.07467>
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
        Self::load_shaped(weights, name, &[size], config)
    }

    /// As [`load`](Self::load), of a weight `(heads, size)`: what is normed are `heads` vectors one after the
    /// other, each by itself and with its own row of the weight.
    pub(crate) fn load_shaped(
        weights: &Weights,
        name: &str,
        shape: &[usize],
        config: NormConfig,
    ) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), shape)?;
        Ok(match config {
            NormConfig::Layer { eps } => {
                let bias = weights.tensor(&format!("{name}.bias"), shape)?;
                Self { eps: eps as f32, weight, bias: Some(bias) }
            }
            NormConfig::LayerWithoutBias { eps } => {
                let bias = Some(weight.zeros_like()?);
                Self { eps: eps as f32, weight, bias }
            }
            NormConfig::Rms { eps } => Self { eps: eps as f32, weight, bias: None },
        })
    }

    /// A layer norm with a weight and a bias `(size)` that were computed or are called otherwise.
    #[cfg(feature = "audio")]
    pub(crate) fn layer_of(weight: Tensor, bias: Tensor, eps: f64) -> Self {
        Self { eps: eps as f32, weight, bias: Some(bias) }
    }

    /// A layer norm without weights of its own, beside those of the checkpoint: data2vec.
    #[cfg(feature = "audio")]
    pub(crate) fn without_weights(weights: &Weights, size: usize, eps: f64) -> Result<Self> {
        let weight = Tensor::ones(size, weights.dtype(), weights.device())?;
        Ok(Self { eps: eps as f32, bias: Some(weight.zeros_like()?), weight })
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
        match &self.bias {
            None => Ok(ops::rms_norm(&x, &self.weight, self.eps)?),
            Some(bias) => self.layer(&x, bias),
        }
    }

    /// A layer norm on any device, in f32 and rounded once. candle's own takes the difference of two
    /// means of squares, in which a large mean leaves nothing.
    fn layer(&self, x: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let wide = |x: &Tensor| x.to_dtype(DType::F32);
        let rows = &x.dims()[..x.rank() - 1];
        let numbers = wide(x)?.reshape([rows, self.weight.dims()].concat())?;
        let centred = numbers.broadcast_sub(&numbers.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centred.broadcast_div(&(variance + f64::from(self.eps))?.sqrt()?)?;
        let y = normed.broadcast_mul(&wide(&self.weight)?)?.broadcast_add(&wide(bias)?)?;
        Ok(y.reshape(x.dims())?.to_dtype(x.dtype())?)
    }

    /// Rows of `size`, the same back, on the CPU.
    pub(crate) fn forward_rows(&self, x: &[f32]) -> Result<Vec<f32>> {
        let size = self.size();
        if size == 0 || !x.len().is_multiple_of(size) {
            return Err(Error::input(format!("{} numbers into a norm of {size}", x.len())));
        }
        let mut y = vec![0.0; x.len()];
        let width = self.weight.dim(D::Minus1)?;
        with_f32(&self.weight, |weight| match &self.bias {
            None => {
                norm::rms(x, width, weight, self.eps, &mut y);
                Ok(())
            }
            Some(bias) => with_f32(bias, |bias| {
                norm::layer(x, width, [weight, bias], self.eps, &mut y);
            }),
        })??;
        Ok(y)
    }

    fn size(&self) -> usize {
        self.weight.elem_count()
    }
}

/// `x` through a norm, if there is one.
pub(crate) fn normed(norm: Option<&Norm>, x: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Vectors with rows of the weight of their own give what each gives alone, on any device.
    #[test]
    fn heads_are_normed_each_by_itself() -> Result<()> {
        let device = &Device::Cpu;
        let values = |count: usize, step: usize| {
            Tensor::from_iter((0..count).map(|at| ((at * step) % 17) as f32 - 7.5), device)
        };
        let (weight, x) = (values(12, 5)?.reshape((3, 4))?, values(24, 11)?.reshape((2, 12))?);
        let bias = weight.zeros_like()?;
        let heads = Norm { eps: 1e-5, weight: weight.clone(), bias: Some(bias.clone()) };
        for head in 0..3 {
            let alone = |table: &Tensor| table.get(head);
            let norm = Norm { eps: 1e-5, weight: alone(&weight)?, bias: Some(alone(&bias)?) };
            let expected = norm.forward(&x.narrow(1, 4 * head, 4)?)?.to_vec2::<f32>()?;
            for found in [heads.forward(&x)?, heads.layer(&x, &bias)?] {
                let found = found.narrow(1, 4 * head, 4)?.to_vec2::<f32>()?;
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
                }
            }
        }
        Ok(())
    }

    /// What serves other devices and dtypes is what the CPU's kernel gives, also of large means.
    #[test]
    fn layer_norms_keep_what_a_large_mean_hides() -> Result<()> {
        let device = &Device::Cpu;
        let weight = Tensor::new(&[1.0_f32, 0.5, 2.0, -1.0], device)?;
        let bias = Tensor::new(&[0.0_f32, 0.25, -0.5, 1.0], device)?;
        let norm = |dtype: DType| -> Result<Norm> {
            Ok(Norm {
                eps: 1e-5,
                weight: weight.to_dtype(dtype)?,
                bias: Some(bias.to_dtype(dtype)?),
            })
        };
        let rows = [[10_000.0_f32, 10_001.0, 10_002.0, 10_003.0], [-2.0, 0.5, 1.0, 3.0]];
        let x = Tensor::new(&rows, device)?;
        let expected = norm(DType::F32)?.forward(&x)?.to_vec2::<f32>()?;
        let slope = 1.25_f32.sqrt();
        assert!((expected[0][0] + 1.5 / slope).abs() < 1e-4, "{expected:?}");
        for (dtype, rows, allowed) in
            [(DType::F32, 2, 1e-5), (DType::F16, 1, 2e-3), (DType::BF16, 1, 2e-2)]
        {
            // Those of large means have no numbers in 16 bits.
            let x = x.narrow(0, 2 - rows, rows)?.to_dtype(dtype)?;
            let norm = norm(dtype)?;
            let bias = norm.bias.as_ref().unwrap();
            let found = norm.layer(&x, bias)?;
            assert_eq!(found.dtype(), dtype);
            let found = found.to_dtype(DType::F32)?.to_vec2::<f32>()?;
            for (found, expected) in
                found.iter().flatten().zip(expected[2 - rows..].iter().flatten())
            {
                assert!((found - expected).abs() < allowed, "{dtype:?}: {found}, not {expected}");
            }
        }
        Ok(())
    }
}
