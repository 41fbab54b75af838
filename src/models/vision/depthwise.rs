//! A convolution over pictures of which each channel is a group.

use candle_core::{DType, Tensor};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::error::Result;
use crate::weights::Weights;
use crate::weights::slices::with_f32;

/// A convolution with a square kernel of odd size that keeps the size of pictures and mixes no channels.
#[derive(Debug)]
pub(super) struct Depthwise {
    /// `(channels, 1, kernel, kernel)`, as PyTorch stores it.
    weight: Tensor,
    /// The same on the CPU, `(kernel * kernel, channels)`.
    taps: Option<Vec<f32>>,
    bias: Tensor,
    kernel: usize,
}

impl Depthwise {
    /// Reads `name.weight` and `name.bias`.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        channels: usize,
        kernel: usize,
    ) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &[channels, 1, kernel, kernel])?;
        let taps = match weight.device().is_cpu() && weight.dtype() == DType::F32 {
            true => {
                let taps = weight.reshape((channels, kernel * kernel))?.t()?.flatten_all()?;
                Some(taps.to_vec1::<f32>()?)
            }
            false => None,
        };
        let bias = weights.tensor(&format!("{name}.bias"), &[channels])?;
        Ok(Self { weight, taps, bias, kernel })
    }

    /// `x: (height * width, channels)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor, height: usize, width: usize) -> Result<Tensor> {
        let channels = x.dim(1)?;
        if let (Some(taps), DType::F32) = (&self.taps, x.dtype()) {
            let bias = self.bias.to_vec1::<f32>()?;
            let out = with_f32(&x.contiguous()?, |x| self.rows(x, [height, width], taps, &bias))?;
            return Ok(Tensor::from_vec(out, x.shape(), x.device())?);
        }
        let planes = x.t()?.contiguous()?.reshape((1, channels, height, width))?;
        let y = planes.conv2d(&self.weight, self.kernel / 2, 1, 1, channels)?;
        let y = y.reshape((channels, height * width))?.t()?;
        Ok(y.broadcast_add(&self.bias)?.contiguous()?)
    }

    /// Row by row, by several threads.
    fn rows(&self, x: &[f32], [height, width]: [usize; 2], taps: &[f32], bias: &[f32]) -> Vec<f32> {
        let (kernel, channels) = (self.kernel, bias.len());
        let half = kernel / 2;
        let mut out = vec![0.0; x.len()];
        out.par_chunks_mut(width * channels).enumerate().for_each(|(y, out)| {
            out.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(bias));
            for (tap, weights) in taps.chunks_exact(channels).enumerate() {
                let (down, right) = (tap / kernel, tap % kernel);
                let Some(from) = (y + down).checked_sub(half).filter(|&from| from < height) else {
                    continue;
                };
                // The places whose neighbour in that direction is inside of the picture.
                let places =
                    half.saturating_sub(right)..width.min((width + half).saturating_sub(right));
                for place in places {
                    let source = (from * width + place + right - half) * channels;
                    let pixel = &mut out[place * channels..(place + 1) * channels];
                    let values = &x[source..source + channels];
                    for ((out, value), weight) in pixel.iter_mut().zip(values).zip(weights) {
                        *out += value * weight;
                    }
                }
            }
        });
        out
    }
}
