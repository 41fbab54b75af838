//! Convolutions over frames.

use std::ops::Range;

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::convolution::{Window, depthwise, padded, phase, unfold};
use crate::weights::slices::with_f32;
use crate::weights::{Bias, Linear, Weights};

/// A convolution over frames: `Conv1d` of PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ConvolutionConfig {
    /// Channels of a frame that goes in.
    pub in_channels: usize,
    /// Channels of a frame that comes out.
    pub out_channels: usize,
    /// Frames that each result is computed from.
    pub kernel: usize,
    /// Frames from one result's first to the next result's.
    pub stride: usize,
    /// Frames of zeros before the first one and after the last one.
    pub padding: [usize; 2],
    /// From one frame of a result to the next.
    pub dilation: usize,
    /// Groups of channels, of which each goes out by itself.
    pub groups: usize,
    /// Whether there is a bias for each channel that comes out.
    pub bias: Bias,
}

impl ConvolutionConfig {
    /// Every frame is the first of a result, without padding, dilation or groups.
    #[must_use]
    pub const fn new([in_channels, out_channels]: [usize; 2], kernel: usize, bias: Bias) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel,
            stride: 1,
            padding: [0; 2],
            dilation: 1,
            groups: 1,
            bias,
        }
    }

    /// With a result every so many frames.
    #[must_use]
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With so many frames of zeros at either end.
    #[must_use]
    pub const fn padding(self, padding: usize) -> Self {
        Self { padding: [padding; 2], ..self }
    }

    /// With so many frames from one frame of a result to the next.
    #[must_use]
    pub const fn dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// With so many groups of channels.
    #[must_use]
    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// How many frames come out where so many go in; 0 if they are too few for one.
    #[must_use]
    pub fn frames(&self, frames: usize) -> usize {
        let [before, after] = self.padding;
        self.window().results(frames.saturating_add(before).saturating_add(after))
    }

    /// The shape of the weight as PyTorch stores it.
    pub(crate) fn shape(&self) -> Result<[usize; 3]> {
        let Self { in_channels, out_channels, kernel, stride, dilation, groups, .. } = *self;
        let is_zero = [in_channels, out_channels, kernel, stride, dilation, groups].contains(&0);
        let is_whole = !is_zero
            && in_channels.is_multiple_of(groups)
            && out_channels.is_multiple_of(groups)
            && kernel.checked_mul(in_channels).is_some();
        if !is_whole {
            return Err(Error::unsupported(format!("a convolution of {self:?}")));
        }
        Ok([out_channels, in_channels / groups, kernel])
    }

    const fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, dilation: self.dilation }
    }
}

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    config: ConvolutionConfig,
    kind: Kind,
}

/// How it is computed.
#[derive(Debug, Clone)]
enum Kind {
    /// On the CPU: for each group a layer from the frames of a result, `(kernel, channels)`, to its
    /// channels.
    Products(Vec<Linear>),
    /// On the CPU, where each channel is a group: `(kernel, channels)`.
    Depthwise { weight: Tensor, bias: Option<Tensor> },
    /// Elsewhere: `(out_channels, in_channels / groups, kernel)`, as PyTorch stores it.
    Candle { weight: Tensor, bias: Option<Tensor> },
}

/// Numbers of frames that are written out for packed weights and for dilated convolutions at a time: few
/// enough to stay in the caches.
const UNFOLDED: usize = 1 << 19;

impl Convolution {
    /// Reads `name.weight`, `(out_channels, in_channels / groups, kernel)`, and `name.bias` if there is one.
    pub(crate) fn load(weights: &Weights, name: &str, config: ConvolutionConfig) -> Result<Self> {
        let weight = weights.tensor(&format!("{name}.weight"), &config.shape()?)?;
        Self::with_weight(weights, name, weight, config)
    }

    /// As [`load`](Self::load), with a weight that was computed.
    pub(crate) fn with_weight(
        weights: &Weights,
        name: &str,
        weight: Tensor,
        config: ConvolutionConfig,
    ) -> Result<Self> {
        let name = format!("{name}.bias");
        let bias = match config.bias {
            Bias::Absent => None,
            Bias::IfStored if !weights.contains(&name) => None,
            _ => Some(weights.tensor(&name, &[config.out_channels])?),
        };
        Self::new(weight, bias, config)
    }

    /// Of a weight `(out_channels, in_channels / groups, kernel)` and a bias `(out_channels)`.
    pub(crate) fn new(
        weight: Tensor,
        bias: Option<Tensor>,
        config: ConvolutionConfig,
    ) -> Result<Self> {
        let [outs, width, kernel] = config.shape()?;
        if weight.dims() != [outs, width, kernel] {
            let dims = weight.dims();
            return Err(Error::input(format!("a weight of {dims:?} for {config:?}")));
        }
        let groups = config.groups;
        let kind = if !weight.device().is_cpu() {
            Kind::Candle { weight, bias }
        } else if width == 1 && outs == groups {
            let weight = weight.squeeze(1)?.t()?.contiguous()?.to_dtype(DType::F32)?;
            let bias = bias.map(|bias| bias.to_dtype(DType::F32)).transpose()?;
            Kind::Depthwise { weight, bias }
        } else {
            // Frames lie one after the other, so the channels of one go together.
            let rows = weight.transpose(1, 2)?.reshape((outs, kernel * width))?;
            let of_group = outs / groups;
            let linear = |group: usize| {
                let part = |x: &Tensor| x.narrow(0, group * of_group, of_group)?.contiguous();
                Linear::new(part(&rows)?, bias.as_ref().map(part).transpose()?)
            };
            Kind::Products((0..groups).map(linear).collect::<Result<_>>()?)
        };
        Ok(Self { config, kind })
    }

    /// Channels of a frame that comes out.
    pub(crate) fn out_channels(&self) -> usize {
        self.config.out_channels
    }

    /// How many frames come out where so many go in.
    pub(crate) fn frames(&self, frames: usize) -> usize {
        self.config.frames(frames)
    }

    /// Frames from the first that a result is computed from to the last, both included, and from one result's first to
    /// the next result's.
    #[cfg(feature = "audio")]
    pub(crate) fn window(&self) -> [usize; 2] {
        [self.config.window().reach(), self.config.stride]
    }

    /// Frames of zeros before the first one and after the last one.
    #[cfg(feature = "audio")]
    pub(crate) fn padding(&self) -> [usize; 2] {
        self.config.padding
    }

    /// The frames of one row, `(frames, in_channels)` to `(frames, out_channels)`. An error where they are
    /// too few for one.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        let ConvolutionConfig { in_channels, out_channels, kernel, .. } = self.config;
        if channels != in_channels {
            let found = format!("frames of {channels} channels into {in_channels}");
            return Err(Error::input(found));
        }
        let results = self.frames(frames);
        if results == 0 {
            return Err(Error::input(format!(
                "{frames} frames are too few for a convolution over {kernel}"
            )));
        }
        if let Kind::Candle { weight, bias } = &self.kind {
            return self.by_candle(x, weight, bias.as_ref());
        }
        let rows = x.to_dtype(DType::F32)?.contiguous()?;
        let y = with_f32(&rows, |x| self.forward_rows(x))??;
        Ok(Tensor::from_vec(y, (results, out_channels), x.device())?.to_dtype(x.dtype())?)
    }

    /// As [`forward`](Self::forward), of rows that lie one after the other.
    pub(crate) fn forward_packed(&self, x: &Tensor, rows: &[Range<usize>]) -> Result<Tensor> {
        let convolve = |row: &Range<usize>| self.forward(&x.narrow(0, row.start, row.len())?);
        let filled = rows.iter().filter(|row| !row.is_empty());
        Ok(Tensor::cat(&filled.map(convolve).collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// `(frames, in_channels)` to `(frames, out_channels)` on the CPU.
    fn forward_rows(&self, x: &[f32]) -> Result<Vec<f32>> {
        let ConvolutionConfig { in_channels, padding, groups, .. } = self.config;
        let (width, is_padded) = (in_channels / groups, padding != [0; 2]);
        match &self.kind {
            Kind::Candle { .. } => Err(Error::input("a convolution on another device")),
            Kind::Depthwise { weight, bias } => {
                let copy;
                let x = if is_padded {
                    copy = padded(x, in_channels, 0..in_channels, padding);
                    &copy
                } else {
                    x
                };
                let window = self.config.window();
                with_f32(weight, |weight| match bias {
                    None => Ok(depthwise(x, weight, None, in_channels, window)),
                    Some(bias) => {
                        with_f32(bias, |bias| depthwise(x, weight, Some(bias), in_channels, window))
                    }
                })?
            }
            Kind::Products(linears) => match linears.as_slice() {
                [linear] if !is_padded => self.multiply(linear, x),
                [linear] => self.multiply(linear, &padded(x, in_channels, 0..in_channels, padding)),
                linears => {
                    let mut out = Vec::new();
                    for (group, linear) in linears.iter().enumerate() {
                        let part = group * width..(group + 1) * width;
                        let y = self.multiply(linear, &padded(x, in_channels, part, padding))?;
                        let of_group = linear.out_features();
                        if group == 0 {
                            out = vec![0.0; y.len() * groups];
                        }
                        let outs = out.chunks_exact_mut(of_group * groups);
                        for (out, y) in outs.zip(y.chunks_exact(of_group)) {
                            out[group * of_group..][..of_group].copy_from_slice(y);
                        }
                    }
                    Ok(out)
                }
            },
        }
    }

    /// The results of one group, of padded frames of its channels.
    fn multiply(&self, linear: &Linear, x: &[f32]) -> Result<Vec<f32>> {
        let window = self.config.window();
        let width = linear.in_features() / window.kernel;
        let results = window.results(x.len() / width);
        if window.dilation == 1 || window.kernel == 1 {
            let end = ((results - 1) * window.stride + window.kernel) * width;
            let y = linear.forward_overlapping(&x[..end], window.stride * width)?;
            if let Some(y) = y {
                return Ok(y);
            }
        } else if window.stride == 1
            && let Some(y) = dilated(linear, x, window)?
        {
            return Ok(y);
        }
        let most = (UNFOLDED / linear.in_features()).max(1);
        let mut out = Vec::with_capacity(results * linear.out_features());
        for start in (0..results).step_by(most) {
            let rows = unfold(x, width, window, start..results.min(start + most));
            let [y] = Linear::forward_rows([linear], &rows)?;
            out.extend(y);
        }
        Ok(out)
    }

    /// The same by candle's operations, in any dtype and on any device.
    fn by_candle(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let ConvolutionConfig { stride, padding: [before, after], dilation, groups, .. } =
            self.config;
        let x = x.to_dtype(weight.dtype())?.t()?.unsqueeze(0)?;
        let x = x.pad_with_zeros(2, before, after)?.contiguous()?;
        let y = x.conv1d(weight, 0, stride, dilation, groups)?.squeeze(0)?.t()?.contiguous()?;
        Ok(match bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

/// The results of a dilated convolution without a stride, of padded frames: as many plain convolutions as the
/// dilation says, each over every so many frames. `None` where the weights only take rows that lie one after
/// the other.
fn dilated(linear: &Linear, x: &[f32], window: Window) -> Result<Option<Vec<f32>>> {
    let Window { kernel, dilation, .. } = window;
    let (width, outs) = (linear.in_features() / kernel, linear.out_features());
    let mut out = vec![0.0; window.results(x.len() / width) * outs];
    let results = out.len() / outs;
    for first in 0..dilation.min(results) {
        let frames = phase(x, width, first, dilation);
        let Some(y) = linear.forward_overlapping(&frames, width)? else { return Ok(None) };
        let places = out.chunks_exact_mut(outs).skip(first).step_by(dilation);
        places.zip(y.chunks_exact(outs)).for_each(|(to, y)| to.copy_from_slice(y));
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    use super::*;
    use crate::options::{LoadOptions, QuantLevel};
    use crate::source::ModelSource;
    use crate::weights::NameTable;

    fn numbers(shape: &[usize], seed: usize) -> Result<Tensor> {
        let number = |at: usize| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5;
        let count = shape.iter().product();
        Ok(Tensor::from_iter((0..count).map(number), &Device::Cpu)?.reshape(shape)?)
    }

    fn most_apart(found: &Tensor, expected: &Tensor) -> Result<f32> {
        assert_eq!(found.dims(), expected.dims());
        Ok((found - expected)?.abs()?.max_all()?.to_scalar()?)
    }

    fn config(channels: [usize; 2], kernel: usize, bias: bool) -> ConvolutionConfig {
        ConvolutionConfig::new(channels, kernel, Bias::from(bias))
    }

    /// By what serves other devices: candle's `conv1d`.
    fn expected(config: &ConvolutionConfig, x: &Tensor) -> Result<(Convolution, Tensor)> {
        let weight = numbers(&config.shape()?, 2)?;
        let bias = (config.bias == Bias::Present).then(|| numbers(&[config.out_channels], 3));
        let bias = bias.transpose()?;
        let convolution = Convolution::new(weight.clone(), bias.clone(), *config)?;
        let expected = convolution.by_candle(x, &weight, bias.as_ref())?;
        Ok((convolution, expected))
    }

    #[test]
    fn every_shape_is_as_by_candles_operations() -> Result<()> {
        let with = |config: ConvolutionConfig, dilation, padding| ConvolutionConfig {
            dilation,
            padding,
            ..config
        };
        let configs = [
            (1, config([1, 1], 1, false)),
            (37, config([1, 24], 10, true).stride(5)),
            (400, config([1, 16], 10, false).stride(5)),
            (50, config([80, 48], 3, true).padding(1)),
            (51, config([48, 40], 3, true).padding(1).stride(2)),
            (3, config([7, 5], 3, true)),
            (9, config([7, 5], 2, true).stride(3)),
            (30, config([32, 32], 16, true).groups(4).padding(8)),
            (20, config([6, 12], 3, false).groups(3).stride(2)),
            (20, config([6, 12], 3, true).groups(6)),
            (25, with(config([5, 9], 3, true), 4, [3, 0])),
            (40, with(config([16, 16], 7, true), 5, [15, 15])),
            (9, with(config([4, 6], 3, false).groups(2), 4, [0, 0])),
            (25, with(config([5, 9], 3, true).stride(2), 3, [3, 0])),
            (25, with(config([8, 8], 5, true).groups(8).stride(2), 2, [8, 0])),
            (40, with(config([70, 70], 31, false).groups(70), 1, [30, 0])),
        ];
        for (frames, config) in configs {
            let x = numbers(&[frames, config.in_channels], 1)?;
            let (convolution, expected) = expected(&config, &x)?;
            let most = most_apart(&convolution.forward(&x)?, &expected)?;
            assert!(most < 2e-5, "{config:?}: {most}");
        }
        Ok(())
    }

    #[test]
    fn rows_that_lie_together_are_convolved_each_alone() -> Result<()> {
        let config = config([6, 4], 3, true).padding(1).stride(2);
        let (x, rows) = (numbers(&[17, 6], 1)?, [0..9, 9..9, 9..10, 10..17]);
        let (convolution, _) = expected(&config, &x)?;
        let alone = |row: &Range<usize>| convolution.forward(&x.narrow(0, row.start, row.len())?);
        let alone = [alone(&rows[0])?, alone(&rows[2])?, alone(&rows[3])?];
        let together = convolution.forward_packed(&x, &rows)?;
        assert_eq!(most_apart(&together, &Tensor::cat(&alone, 0)?)?, 0.0);
        assert_eq!(alone.map(|row| row.dims()[0]), [9, 1, 7].map(|frames| config.frames(frames)));
        Ok(())
    }

    /// Packed weights take rows that are written out, some at a time.
    #[test]
    fn packed_weights_convolve_as_dense_ones() -> Result<()> {
        let config = config([64, 40], 3, false).padding(1).stride(2);
        let x = numbers(&[6000, 64], 1)?;
        let (dense, expected) = expected(&config, &x)?;
        let Kind::Products(linears) = &dense.kind else { panic!("no products") };
        let ones = Tensor::eye(192, DType::F32, &Device::Cpu)?;
        let rows = linears[0].forward(&ones)?.t()?.flatten_all()?.to_vec1::<f32>()?;
        let bytes: Vec<u8> = rows.into_iter().flat_map(f32::to_le_bytes).collect();
        let view = TensorView::new(Dtype::F32, vec![40, 192], &bytes).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = safetensors::serialize([("rows.weight", view)], None).unwrap();
        std::fs::write(folder.path().join("model.safetensors"), file).unwrap();
        let files = ModelSource::directory(folder.path()).open()?;
        let options = LoadOptions::default().device(Device::Cpu).quantize(QuantLevel::Q8_0);
        let weights = Weights::open(&files, NameTable::stored_names(), &options)?;
        let linear = weights.linear("rows", 192, 40, Bias::Absent)?;
        assert_eq!(linear.precision(), "q8_0");
        let packed = Convolution { kind: Kind::Products(vec![linear]), ..dense };
        assert!(most_apart(&packed.forward(&x)?, &expected)? < 0.06);
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused() -> Result<()> {
        let x = numbers(&[2, 6], 1)?;
        let (convolution, _) = expected(&config([6, 4], 2, true), &x)?;
        for wrong in [numbers(&[1, 6], 1)?, numbers(&[4, 3], 1)?] {
            assert!(convolution.forward(&wrong).is_err());
        }
        let weight = numbers(&[4, 6, 2], 1)?;
        for config in [
            config([6, 4], 3, false),
            config([6, 4], 0, false),
            config([6, 4], 2, false).groups(4),
            config([6, 4], 2, false).stride(0),
        ] {
            assert!(Convolution::new(weight.clone(), None, config).is_err(), "{config:?}");
        }
        Ok(())
    }
}
