//! Normalization of channels over all frames of a row.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::kernels::group_norm;
#[cfg(feature = "audio")]
use crate::kernels::group_norm::Moments;
use crate::nn::activation::Activation;
use crate::weights::Weights;
use crate::weights::slices::with_f32;

/// `GroupNorm` of PyTorch over frames: the mean and the variance are those of a group of channels over all
/// frames of a row. <https://arxiv.org/abs/1803.08494>
#[derive(Debug, Clone)]
pub(crate) struct GroupNorm {
    groups: usize,
    eps: f32,
    weight: Tensor,
    bias: Tensor,
}

impl GroupNorm {
    /// Reads `name.weight` and `name.bias` of so many channels.
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        channels: usize,
        groups: usize,
        eps: f64,
    ) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::unsupported(format!(
                "{channels} channels of `{name}` do not divide into {groups} groups"
            )));
        }
        let tensor = |part: &str| weights.tensor(&format!("{name}.{part}"), &[channels]);
        Ok(Self { groups, eps: eps as f32, weight: tensor("weight")?, bias: tensor("bias")? })
    }

    /// With a weight and a bias `(channels)` that were computed, of groups of one channel each: an instance norm.
    #[cfg(feature = "audio")]
    pub(crate) fn of_channels(weight: Tensor, bias: Tensor, eps: f64) -> Result<Self> {
        Ok(Self { groups: weight.dim(0)?, eps: eps as f32, weight, bias })
    }

    /// The frames of one row, `(frames, channels)`, the same shape back.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.normed(x, false)
    }

    /// [`forward`](Self::forward) and [`Activation::Silu`], in one pass on the CPU.
    #[cfg(feature = "image")]
    pub(crate) fn forward_silu(&self, x: &Tensor) -> Result<Tensor> {
        self.normed(x, true)
    }

    fn normed(&self, x: &Tensor, silu: bool) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        if channels != self.weight.dim(0)? {
            return Err(Error::input(format!("frames of {channels} channels into {self:?}")));
        }
        if !x.device().is_cpu() || x.dtype() != DType::F32 {
            let y = self.by_candle(x)?;
            return if silu { Activation::Silu.forward(&y) } else { Ok(y) };
        }
        let out = with_f32(&x.contiguous()?, |x| {
            with_f32(&self.weight, |weight| {
                with_f32(&self.bias, |bias| {
                    group_norm::group(x, self.groups, [weight, bias], self.eps, silu)
                })
            })
        })???;
        Ok(Tensor::from_vec(out, (frames, channels), x.device())?)
    }

    /// What [`forward_by`](Self::forward_by) norms with, of no frames yet; `None` where frames cannot be normed
    /// part by part.
    #[cfg(feature = "audio")]
    pub(crate) fn moments(&self, x: &Tensor) -> Result<Option<Moments>> {
        let is_plain = x.device().is_cpu() && x.dtype() == DType::F32;
        let channels = self.weight.dim(0)?;
        Ok(is_plain.then(|| Moments::new(channels, self.groups)))
    }

    /// Takes some frames of a row, `(frames, channels)`, into its moments.
    #[cfg(feature = "audio")]
    pub(crate) fn add(&self, x: &Tensor, moments: &mut Moments) -> Result<()> {
        with_f32(&x.contiguous()?, |x| moments.add(x))
    }

    /// As [`forward`](Self::forward) of some frames of a row whose frames are all in `moments`.
    #[cfg(feature = "audio")]
    pub(crate) fn forward_by(&self, x: &Tensor, moments: &Moments) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        let out = with_f32(&x.contiguous()?, |x| {
            with_f32(&self.weight, |weight| {
                with_f32(&self.bias, |bias| moments.norm(x, [weight, bias], self.eps, false))
            })
        })???;
        Ok(Tensor::from_vec(out, (frames, channels), x.device())?)
    }

    /// The same by candle's operations, in f32 and rounded once.
    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        let wide = |x: &Tensor| x.to_dtype(DType::F32);
        let grouped = wide(x)?.reshape((frames, self.groups, channels / self.groups))?;
        let mean = |x: &Tensor| x.mean_keepdim(2)?.mean_keepdim(0);
        let centred = grouped.broadcast_sub(&mean(&grouped)?)?;
        let deviation = (mean(&centred.sqr()?)? + f64::from(self.eps))?.sqrt()?;
        let normed = centred.broadcast_div(&deviation)?.reshape((frames, channels))?;
        let y = normed.broadcast_mul(&wide(&self.weight)?)?.broadcast_add(&wide(&self.bias)?)?;
        Ok(y.to_dtype(x.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_serves_other_devices_is_as_the_kernel() -> Result<()> {
        let device = &Device::Cpu;
        let values = |count: usize, step: usize| {
            Tensor::from_iter((0..count).map(|at| ((at * step) % 17) as f32 - 7.5), device)
        };
        for groups in [1, 3, 12] {
            let norm =
                GroupNorm { groups, eps: 1e-5, weight: values(12, 5)?, bias: values(12, 3)? };
            let x = values(12 * 70, 11)?.reshape((70, 12))?;
            let apart = (norm.forward(&x)? - norm.by_candle(&x)?)?.abs()?.max_all()?;
            assert!(apart.to_scalar::<f32>()? < 2e-5, "{groups} groups: {apart}");
            #[cfg(feature = "audio")]
            {
                let mut moments = norm.moments(&x)?.unwrap();
                for part in [x.narrow(0, 0, 30)?, x.narrow(0, 30, 40)?] {
                    norm.add(&part, &mut moments)?;
                }
                let parts = [x.narrow(0, 0, 9)?, x.narrow(0, 9, 61)?];
                let parts = parts.iter().map(|part| norm.forward_by(part, &moments));
                let parts = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?;
                let apart = (norm.forward(&x)? - parts)?.abs()?.max_all()?;
                assert!(apart.to_scalar::<f32>()? < 2e-5, "{groups} groups in parts: {apart}");
            }
            assert!(norm.forward(&values(11, 1)?.reshape((1, 11))?).is_err());
        }
        Ok(())
    }
}
