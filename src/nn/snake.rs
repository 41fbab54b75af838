//! Snake: an activation for waves, with a frequency for each channel. <https://arxiv.org/abs/2006.08195>

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::kernels::snake::snake;
use crate::weights::Weights;
use crate::weights::slices::with_f32;

/// `x + sin²(alpha x) / alpha` with an `alpha` for each channel.
#[derive(Debug, Clone)]
pub(crate) struct Snake {
    /// `(channels)` in f32.
    alpha: Tensor,
    /// `1 / alpha`.
    inverse: Tensor,
}

impl Snake {
    /// Reads the tensor `name`, of so many channels, as `(1, channels, 1)` or `(channels)`. `eps` is added to
    /// what is divided by.
    pub(crate) fn load(weights: &Weights, name: &str, channels: usize, eps: f64) -> Result<Self> {
        let alpha = weights.tensor(name, &[1, channels, 1])?;
        let alpha = alpha.flatten_all()?.to_dtype(DType::F32)?;
        let inverse = (&alpha + eps)?.recip()?;
        Ok(Self { alpha, inverse })
    }

    /// `(frames, channels)`, the same shape back.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        if channels != self.alpha.dim(0)? {
            return Err(Error::input(format!("frames of {channels} channels into {self:?}")));
        }
        if !x.device().is_cpu() || x.dtype() != DType::F32 {
            return self.by_candle(x);
        }
        let mut out = with_f32(&x.contiguous()?, <[f32]>::to_vec)?;
        with_f32(&self.alpha, |alpha| {
            with_f32(&self.inverse, |inverse| snake(&mut out, alpha, inverse))
        })??;
        Ok(Tensor::from_vec(out, (frames, channels), x.device())?)
    }

    /// The same by candle's operations, in f32 and rounded once.
    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        let wide = x.to_dtype(DType::F32)?;
        let sine = wide.broadcast_mul(&self.alpha)?.sin()?;
        let added = sine.sqr()?.broadcast_mul(&self.inverse)?;
        Ok((wide + added)?.to_dtype(x.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_serves_other_devices_is_as_the_kernel() -> Result<()> {
        let alpha = Tensor::new(&[0.3_f32, 1.0, 4.0], &Device::Cpu)?;
        let snake = Snake { inverse: alpha.recip()?, alpha };
        let x = Tensor::arange(-30_f32, 30.0, &Device::Cpu)?.reshape((20, 3))?;
        let apart = (snake.forward(&x)? - snake.by_candle(&x)?)?.abs()?.max_all()?;
        assert!(apart.to_scalar::<f32>()? < 1e-5);
        assert!(snake.forward(&x.reshape((30, 2))?).is_err());
        Ok(())
    }
}
