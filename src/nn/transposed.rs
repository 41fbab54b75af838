//! Transposed convolutions over frames: more frames come out than go in.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::weights::{Bias, Weights};

/// A transposed convolution over frames: `ConvTranspose1d` of PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransposedConfig {
    /// Channels of a frame that goes in.
    pub(crate) in_channels: usize,
    /// Channels of a frame that comes out.
    pub(crate) out_channels: usize,
    /// Frames that each frame is spread over.
    pub(crate) kernel: usize,
    /// From the first of these to that of the next frame.
    pub(crate) stride: usize,
    /// Frames that are cut off at the beginning and at the end.
    pub(crate) cut: [usize; 2],
    /// Groups of channels, of which each goes out by itself.
    pub(crate) groups: usize,
    /// Whether there is a bias for each channel that comes out.
    pub(crate) bias: Bias,
}

impl TransposedConfig {
    /// As many frames are cut off at either end as `padding` says.
    pub(crate) const fn new(
        [in_channels, out_channels]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        bias: Bias,
    ) -> Self {
        let cut = [padding; 2];
        Self { in_channels, out_channels, kernel, stride, cut, groups: 1, bias }
    }

    /// With so many groups of channels.
    pub(crate) const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// How many frames come out where so many go in; 0 if all of them are cut off.
    pub(crate) fn frames(&self, frames: usize) -> usize {
        let [start, end] = self.cut;
        let Some(others) = frames.checked_sub(1) else { return 0 };
        let whole = others.saturating_mul(self.stride).saturating_add(self.kernel);
        whole.saturating_sub(start.saturating_add(end))
    }

    /// The shape of the weight as PyTorch stores it.
    pub(crate) fn shape(&self) -> Result<[usize; 3]> {
        let Self { in_channels, out_channels, kernel, stride, groups, .. } = *self;
        let is_zero = [in_channels, out_channels, kernel, stride, groups].contains(&0);
        let is_whole = !is_zero
            && in_channels.is_multiple_of(groups)
            && out_channels.is_multiple_of(groups)
            && stride.checked_mul(out_channels).is_some();
        if !is_whole {
            return Err(Error::unsupported(format!("a transposed convolution of {self:?}")));
        }
        Ok([in_channels, out_channels / groups, kernel])
    }
}

/// A transposed convolution with its weights: plain convolutions.
///
/// The frames that come out are numbered by turns of `stride`. Those of one place in the turn are a convolution
/// of the frames that went in, with every `stride`th tap of the kernel. Where there is one group of channels, one
/// convolution makes all frames of a turn side by side, which is how they lie in memory.
#[derive(Debug, Clone)]
pub(crate) struct TransposedConvolution {
    config: TransposedConfig,
    /// One for a whole turn, or one for each place in it.
    places: Vec<Convolution>,
}

impl TransposedConvolution {
    /// Frames that come out for each that goes in.
    pub(crate) fn stride(&self) -> usize {
        self.config.stride
    }

    /// How many frames one that comes out is computed from.
    pub(crate) fn reach(&self) -> usize {
        self.config.kernel.div_ceil(self.config.stride)
    }

    /// How many frames come out where so many go in.
    pub(crate) fn frames(&self, frames: usize) -> usize {
        self.config.frames(frames)
    }

    /// Frames that are cut off at the beginning and at the end.
    pub(crate) fn cut(&self) -> [usize; 2] {
        self.config.cut
    }

    /// Reads `name.weight`, `(in_channels, out_channels / groups, kernel)`, and `name.bias` if there is one.
    pub(crate) fn load(weights: &Weights, name: &str, config: TransposedConfig) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &config.shape()?)?;
        Self::with_weight(weights, name, &weight, config)
    }

    /// As [`load`](Self::load), with a weight that was computed.
    pub(crate) fn with_weight(
        weights: &Weights,
        name: &str,
        weight: &Tensor,
        config: TransposedConfig,
    ) -> Result<Self> {
        let name = format!("{name}.bias");
        let bias = match config.bias {
            Bias::Absent => None,
            Bias::IfStored if !weights.contains(&name) => None,
            _ => Some(weights.tensor(&name, &[config.out_channels])?),
        };
        Self::new(weight, bias.as_ref(), config)
    }

    /// Of a weight `(in_channels, out_channels / groups, kernel)` and a bias `(out_channels)`.
    pub(crate) fn new(
        weight: &Tensor,
        bias: Option<&Tensor>,
        config: TransposedConfig,
    ) -> Result<Self> {
        let [ins, of_group, kernel] = config.shape()?;
        if weight.dims() != [ins, of_group, kernel] {
            let dims = weight.dims();
            return Err(Error::input(format!("a weight of {dims:?} for {config:?}")));
        }
        let TransposedConfig { out_channels, stride, groups, .. } = config;
        let taps = kernel.div_ceil(stride);
        // (groups, ins, outs, taps, stride): the last tap first, as a convolution sees frames.
        let filled = weight.pad_with_zeros(2, 0, taps * stride - kernel)?;
        let split = filled.reshape((groups, ins / groups, of_group, taps, stride))?.flip(&[3])?;
        let of = |weight: &Tensor, outs: usize, bias: Option<Tensor>| {
            let plain = ConvolutionConfig::new([ins, outs], taps, Bias::from(bias.is_some()))
                .padding(taps - 1)
                .groups(groups);
            Convolution::new(weight.reshape((outs, ins / groups, taps))?, bias, plain)
        };
        let places = if groups == 1 {
            // (stride, outs, ins, taps).
            let weight = split.permute((0, 4, 2, 1, 3))?.contiguous()?;
            let bias = bias.map(|bias| bias.repeat(stride)).transpose()?;
            vec![of(&weight, stride * out_channels, bias)?]
        } else {
            let place = |place: usize| {
                let weight = split.narrow(4, place, 1)?.squeeze(4)?;
                of(&weight.permute((0, 2, 1, 3))?.contiguous()?, out_channels, bias.cloned())
            };
            (0..stride).map(place).collect::<Result<_>>()?
        };
        Ok(Self { config, places })
    }

    /// The frames of one row, `(frames, in_channels)` to `(frames, out_channels)`. An error where none would
    /// come out.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let frames = x.dim(0)?;
        let results = self.config.frames(frames);
        if results == 0 {
            let config = &self.config;
            return Err(Error::input(format!("nothing comes of {frames} frames by {config:?}")));
        }
        let turns = match self.places.as_slice() {
            [whole] => whole.forward(x)?,
            places => {
                let places = places.iter().map(|place| place.forward(x));
                Tensor::stack(&places.collect::<Result<Vec<_>>>()?, 1)?
            }
        };
        let y = turns.reshape(((), self.config.out_channels))?;
        Ok(y.narrow(0, self.config.cut[0], results)?.contiguous()?)
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

    #[test]
    fn every_shape_is_as_by_candles_operations() -> Result<()> {
        let config = |channels, kernel, stride, padding| {
            TransposedConfig::new(channels, kernel, stride, padding, Bias::Present)
        };
        for (frames, config) in [
            (1, config([1, 1], 1, 1, 0)),
            (7, config([6, 5], 16, 8, 4)),
            (9, config([8, 4], 4, 2, 1)),
            (5, config([3, 7], 7, 3, 2)),
            (5, config([3, 7], 2, 3, 0)),
            (6, TransposedConfig { cut: [1, 0], ..config([8, 8], 3, 2, 1).groups(8) }),
            (6, config([8, 4], 4, 2, 0).groups(2)),
        ] {
            let x = numbers(&[frames, config.in_channels], 1)?;
            let weight = numbers(&config.shape()?, 2)?;
            let bias = numbers(&[config.out_channels], 3)?;
            let found = TransposedConvolution::new(&weight, Some(&bias), config)?.forward(&x)?;
            let [start, end] = config.cut;
            let expected = x.t()?.unsqueeze(0)?.contiguous()?.conv_transpose1d(
                &weight,
                start,
                start - end,
                config.stride,
                1,
                config.groups,
            )?;
            let expected = expected.squeeze(0)?.t()?.broadcast_add(&bias)?;
            assert_eq!(found.dims(), expected.dims(), "{config:?}");
            let apart = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(apart < 1e-5, "{config:?}: {apart}");
        }
        Ok(())
    }
}
