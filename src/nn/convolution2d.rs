//! Convolutions over pictures.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::kernels::convolution2d::{Panels, Square, convolve};
use crate::nn::picture::Picture;
use crate::weights::slices::{with_dense, with_f32};
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

#[cfg_attr(not(feature = "image"), allow(dead_code, reason = "pictures have more shapes"))]
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
    /// On the CPU, each result from one pixel.
    Pixelwise(Linear),
    /// On the CPU, each result from several.
    Panels { panels: Arc<Panels>, bias: Option<Tensor> },
    /// Elsewhere: `(out_channels, in_channels, kernel, kernel)`, as PyTorch stores it.
    Candle { weight: Tensor, bias: Option<Tensor> },
}

impl Kind {
    /// Of `weight: (out_channels, in_channels, kernel, kernel)`; `in_blocks`: rounded to blocks of 8 bits.
    fn on_cpu(
        weight: &Tensor,
        bias: Option<Tensor>,
        shape: SquareConfig,
        in_blocks: bool,
    ) -> Result<Self> {
        let (outputs, inputs, kernel, _) = weight.dims4()?;
        let rows = weight.permute((0, 2, 3, 1))?.reshape((outputs, kernel * kernel * inputs))?;
        if shape == SquareConfig::ONE {
            return Ok(Self::Pixelwise(Linear::new(rows.contiguous()?, bias)?));
        }
        let rows = rows.contiguous()?;
        let panels = match in_blocks {
            true => with_f32(&rows.to_dtype(DType::F32)?, |rows| {
                Panels::quantized(rows, outputs, inputs, kernel)
            })?,
            false => with_dense(&rows, |rows| Panels::new(rows, outputs, inputs, kernel))?,
        };
        let bias = bias.map(|bias| bias.to_dtype(DType::F32)).transpose()?;
        Ok(Self::Panels { panels: Arc::new(panels), bias })
    }
}

impl Convolution2d {
    /// Reads `name.weight`, `(out_channels, in_channels, kernel, kernel)`, and `name.bias`. Where matrices are quantized,
    /// kernels of many channels are, too, to blocks of 8 bits.
    #[cfg(feature = "image")]
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        channels: [usize; 2],
        shape: SquareConfig,
        bias: Bias,
    ) -> Result<Self> {
        Self::load_as(weights, name, channels, shape, bias, true)
    }

    /// As [`load`](Self::load), never in blocks.
    #[cfg(feature = "audio")]
    pub(crate) fn load_dense(
        weights: &Weights,
        name: &str,
        channels: [usize; 2],
        shape: SquareConfig,
        bias: Bias,
    ) -> Result<Self> {
        Self::load_as(weights, name, channels, shape, bias, false)
    }

    fn load_as(
        weights: &Weights,
        name: &str,
        [inputs, outputs]: [usize; 2],
        shape: SquareConfig,
        bias: Bias,
        may_quantize: bool,
    ) -> Result<Self> {
        let kernel = shape.kernel;
        let (weight, in_blocks) = weights.kernel(name, [outputs, inputs, kernel], may_quantize)?;
        let name = format!("{name}.bias");
        let bias = match bias {
            Bias::Absent => None,
            Bias::IfStored if !weights.contains(&name) => None,
            Bias::IfStored | Bias::Present | Bias::PresentButForKeys => {
                Some(weights.tensor(&name, &[outputs])?)
            }
        };
        let kind = match weight.device().is_cpu() {
            true => Kind::on_cpu(&weight, bias, shape, in_blocks)?,
            false => Kind::Candle { weight, bias },
        };
        Ok(Self { shape, kind })
    }

    /// An error where the picture has other channels or is too small.
    pub(crate) fn forward(&self, picture: &Picture) -> Result<Picture> {
        self.forward_shifted(picture, None)
    }

    /// As [`forward`](Self::forward), plus a number for each channel of the results, `(out_channels,)`.
    pub(crate) fn forward_shifted(
        &self,
        picture: &Picture,
        shift: Option<&Tensor>,
    ) -> Result<Picture> {
        let Picture { x, height, width } = picture;
        let SquareConfig { kernel, stride, padding } = self.shape;
        let size = [*height, *width].map(|side| self.shape.results(side));
        let channels = x.dim(1)?;
        if size.contains(&0) {
            let reason = format!("a picture of {height} by {width} for a kernel of {kernel}");
            return Err(Error::input(reason));
        }
        let (panels, bias) = match &self.kind {
            Kind::Panels { panels, bias } => (panels, bias),
            Kind::Pixelwise(linear) => return shifted(picture.with(linear.forward(x)?), shift),
            Kind::Candle { weight, bias } => {
                return shifted(self.by_candle(picture, weight, bias.as_ref())?, shift);
            }
        };
        if panels.inputs != channels {
            let reason = format!("{channels} channels in place of {}", panels.inputs);
            return Err(Error::input(reason));
        }
        let bias: Option<Vec<f32>> = match (bias, shift) {
            (Some(bias), Some(shift)) => Some((bias + shift.to_dtype(DType::F32)?)?.to_vec1()?),
            (Some(bias), None) => Some(bias.to_vec1()?),
            (None, shift) => shift.map(|x| x.to_dtype(DType::F32)?.to_vec1()).transpose()?,
        };
        let square = Square { kernel, stride, before: padding[0], results: size };
        let rows = x.to_dtype(DType::F32)?.contiguous()?;
        let (shape, bias) = ([*height, *width, channels], bias.as_deref());
        let y = with_f32(&rows, |x| convolve(x, shape, square, panels, bias))?;
        let y = Tensor::from_vec(y, (size[0] * size[1], panels.outputs), x.device())?;
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

/// A picture plus a number for each channel.
fn shifted(picture: Picture, shift: Option<&Tensor>) -> Result<Picture> {
    match shift {
        Some(shift) => Ok(picture.with(picture.x.broadcast_add(shift)?)),
        None => Ok(picture),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QTensor};

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
                let kind = Kind::on_cpu(&weight, Some(bias.clone()), shape, false)?;
                let convolution = Convolution2d { shape, kind };
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

    /// In blocks of 8 bits, a convolution is that with the numbers which Q8_0 rounds to, by candle's blocks.
    #[test]
    fn blocks_are_what_they_stand_for() -> Result<()> {
        let (inputs, outputs) = (64, 40);
        let picture = Picture::new(numbers(&[40 * 33, inputs], 3)?, 40, 33)?;
        for shape in [SquareConfig::THREE, SquareConfig::HALVING] {
            let weight = numbers(&[outputs, inputs, 3, 3], 1)?;
            let rows =
                weight.permute((0, 2, 3, 1))?.reshape((outputs, 9 * inputs))?.contiguous()?;
            let blocks = QTensor::quantize(&rows, GgmlDType::Q8_0)?.dequantize(&Device::Cpu)?;
            let rounded = blocks.reshape((outputs, 3, 3, inputs))?.permute((0, 3, 1, 2))?;
            let rounded = rounded.contiguous()?;
            let kind = Kind::on_cpu(&weight, None, shape, true)?;
            let convolution = Convolution2d { shape, kind };
            let found = convolution.forward(&picture)?;
            let most = |weight: &Tensor| -> Result<f32> {
                let expected = convolution.by_candle(&picture, weight, None)?;
                Ok((&found.x - expected.x)?.abs()?.max_all()?.to_scalar::<f32>()?)
            };
            let (apart, lost) = (most(&rounded)?, most(&weight)?);
            assert!(apart < 1e-4 && lost > 1e-4 && lost < 0.05, "{shape:?}: {apart}, {lost}");
        }
        Ok(())
    }
}
