//! Convolutions over pictures.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::kernels::convolution2d::{Square, unfold};
use crate::nn::picture::Picture;
use crate::weights::slices::with_f32;
use crate::weights::{Bias, Linear, Weights};

/// A convolution over pictures with a square kernel: `Conv2d` of PyTorch.
#[derive(Debug, Clone)]
pub(crate) struct Convolution2d {
    shape: SquareConfig,
    kind: Kind,
}

/// The shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SquareConfig {
    /// Pixels of a side of the kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros before the first row and column, and after the last.
    pub(crate) padding: [usize; 2],
}

impl SquareConfig {
    /// Each result from one pixel.
    pub(crate) const ONE: Self = Self { kernel: 1, stride: 1, padding: [0; 2] };
    /// Each result from a pixel and its neighbours; as many results as pixels.
    pub(crate) const THREE: Self = Self { kernel: 3, stride: 1, padding: [1; 2] };
    /// As [`THREE`](Self::THREE), for every second pixel.
    pub(crate) const HALVING: Self = Self { kernel: 3, stride: 2, padding: [1; 2] };
    /// As [`HALVING`](Self::HALVING), with zeros at the right and the bottom only: the encoder of a VAE.
    pub(crate) const HALVING_RIGHT: Self = Self { kernel: 3, stride: 2, padding: [0, 1] };

    /// How many results a side of so many pixels gives.
    fn results(self, pixels: usize) -> usize {
        let [before, after] = self.padding;
        match (pixels + before + after).checked_sub(self.kernel) {
            Some(beyond) => beyond / self.stride + 1,
            None => 0,
        }
    }
}

/// How it is computed.
#[derive(Debug, Clone)]
enum Kind {
    /// On the CPU: from the pixels of a result, `(kernel, kernel, channels)`, to its channels.
    Products(Linear),
    /// Elsewhere: `(out_channels, in_channels, kernel, kernel)`, as PyTorch stores it.
    Candle { weight: Tensor, bias: Option<Tensor> },
}

/// Numbers that are written out at a time: few enough to stay in the caches.
const UNFOLDED: usize = 1 << 19;
/// Results that are computed at a time at least: for each such part, all weights are read.
const TOGETHER: usize = 384;

impl Convolution2d {
    /// Reads `name.weight`, `(out_channels, in_channels, kernel, kernel)`, and `name.bias`.
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        [inputs, outputs]: [usize; 2],
        shape: SquareConfig,
        bias: Bias,
    ) -> Result<Self> {
        let kernel = shape.kernel;
        let weight =
            weights.tensor(&format!("{name}.weight"), &[outputs, inputs, kernel, kernel])?;
        let name = format!("{name}.bias");
        let bias = match bias {
            Bias::Absent => None,
            Bias::IfStored if !weights.contains(&name) => None,
            Bias::IfStored | Bias::Present | Bias::PresentButForKeys => {
                Some(weights.tensor(&name, &[outputs])?)
            }
        };
        let kind = if weight.device().is_cpu() {
            let rows =
                weight.permute((0, 2, 3, 1))?.reshape((outputs, kernel * kernel * inputs))?;
            Kind::Products(Linear::new(rows.contiguous()?, bias)?)
        } else {
            Kind::Candle { weight, bias }
        };
        Ok(Self { shape, kind })
    }

    /// An error where the picture has other channels or is too small.
    pub(crate) fn forward(&self, picture: &Picture) -> Result<Picture> {
        let Picture { x, height, width } = picture;
        let SquareConfig { kernel, stride, padding } = self.shape;
        let size = [*height, *width].map(|side| self.shape.results(side));
        let channels = x.dim(1)?;
        if size.contains(&0) {
            let reason = format!("a picture of {height} by {width} for a kernel of {kernel}");
            return Err(Error::input(reason));
        }
        let linear = match &self.kind {
            Kind::Products(linear) => linear,
            Kind::Candle { weight, bias } => return self.by_candle(picture, weight, bias.as_ref()),
        };
        if linear.in_features() != kernel * kernel * channels {
            let wanted = linear.in_features() / (kernel * kernel);
            return Err(Error::input(format!("{channels} channels in place of {wanted}")));
        }
        if self.shape == SquareConfig::ONE {
            return Ok(picture.with(linear.forward(x)?));
        }
        let square = Square { kernel, stride, before: padding[0], results: size[1] };
        let rows = x.to_dtype(DType::F32)?.contiguous()?;
        let results = size[0] * size[1];
        let most = (UNFOLDED / linear.in_features()).max(TOGETHER);
        let y = with_f32(&rows, |x| -> Result<Vec<f32>> {
            let mut out = Vec::with_capacity(results * linear.out_features());
            for start in (0..results).step_by(most) {
                let end = results.min(start + most);
                let rows = unfold(x, [*height, *width, channels], square, start..end);
                let [y] = Linear::forward_rows([linear], &rows)?;
                out.extend(y);
            }
            Ok(out)
        })??;
        let y = Tensor::from_vec(y, (results, linear.out_features()), x.device())?;
        Picture::new(y.to_dtype(x.dtype())?, size[0], size[1])
    }

    fn by_candle(
        &self,
        picture: &Picture,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Picture> {
        let [before, after] = self.shape.padding;
        let x = picture.to_channels()?.unsqueeze(0)?.to_dtype(weight.dtype())?;
        let (x, padding) = if before == after {
            (x, before)
        } else {
            let x = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
            (x, 0)
        };
        let y = x.contiguous()?.conv2d(weight, padding, self.shape.stride, 1, 1)?.squeeze(0)?;
        let y = Picture::from_channels(&y)?;
        match bias {
            Some(bias) => Ok(y.with(y.x.broadcast_add(bias)?)),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn numbers(shape: &[usize], seed: usize) -> Result<Tensor> {
        let number = |at: usize| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5;
        let count = shape.iter().product();
        Ok(Tensor::from_iter((0..count).map(number), &Device::Cpu)?.reshape(shape)?)
    }

    /// As by what serves other devices: candle's `conv2d`.
    #[test]
    fn every_shape_is_as_by_candles_operations() -> Result<()> {
        for shape in [
            SquareConfig::ONE,
            SquareConfig::THREE,
            SquareConfig::HALVING,
            SquareConfig::HALVING_RIGHT,
        ] {
            for (inputs, outputs, height, width) in [(3, 8, 7, 5), (20, 4, 40, 33)] {
                let kernel = shape.kernel;
                let weight = numbers(&[outputs, inputs, kernel, kernel], 1)?;
                let bias = numbers(&[outputs], 2)?;
                let rows = weight.permute((0, 2, 3, 1))?;
                let rows = rows.reshape((outputs, kernel * kernel * inputs))?;
                let linear = Linear::new(rows, Some(bias.clone()))?;
                let convolution = Convolution2d { shape, kind: Kind::Products(linear) };
                let picture = Picture::new(numbers(&[height * width, inputs], 3)?, height, width)?;
                let found = convolution.forward(&picture)?;
                let expected = convolution.by_candle(&picture, &weight, Some(&bias))?;
                assert_eq!((found.height, found.width), (expected.height, expected.width));
                let most = (found.x - expected.x)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(most < 2e-5, "{shape:?}: {most}");
            }
        }
        Ok(())
    }
}
