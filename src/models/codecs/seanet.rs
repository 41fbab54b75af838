//! SEANet (<https://arxiv.org/abs/2009.02095>): convolutions that make frames of samples and samples of frames.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::lstm::{Lstm, LstmConfig};
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::nn::weight_norm;
use crate::weights::slices::with_f32;
use crate::weights::{Bias, Weights};

/// Both halves of a SEANet, except the weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SeanetConfig {
    /// Channels of sound.
    pub channels: usize,
    /// The size of a frame.
    pub hidden_size: usize,
    /// Channels after the first convolution; there are twice as many after each step.
    pub filters: usize,
    /// By how much each step of the decoder multiplies the number of frames.
    pub ratios: Vec<usize>,
    /// Residual blocks in each step.
    pub residual_layers: usize,
    /// Frames that the first convolution reads.
    pub kernel: usize,
    /// Frames that the last convolution reads.
    pub last_kernel: usize,
    /// Frames that the first convolution of a residual block reads.
    pub residual_kernel: usize,
    /// Multiplies the dilation from one residual block of a step to the next.
    pub dilation_growth: usize,
    /// By how much a residual block narrows.
    pub compress: usize,
    /// Layers of LSTM beside the frames: EnCodec.
    pub lstm_layers: usize,
    /// Whether a residual block's input goes through a convolution of its own: EnCodec of 24 kHz.
    pub shortcut: Shortcut,
    /// What convolutions see.
    pub sight: Sight,
    /// What stands beyond the ends.
    pub padding: Padding,
    /// What is done to what comes out of convolutions.
    pub norm: SeanetNorm,
}

/// What a residual block's result is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortcut {
    /// A convolution of its input.
    Convolution,
    /// Its input.
    Identity,
}

/// What convolutions see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sight {
    /// The past alone. Of the frames that a transposed convolution makes too many, this share is cut off at the
    /// end, and the rest at the beginning.
    Causal {
        /// From 0 to 1.
        trim_right_ratio: f64,
    },
    /// Past and future.
    Both,
}

/// What stands beyond the ends of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// The row mirrored, without the last frame itself; zeros where the row is too short for that.
    Reflect,
    /// The last frame again and again.
    Replicate,
    /// Zeros.
    Zeros,
}

/// How convolutions are normed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeanetNorm {
    /// Their weights are, which are stored as they are or as magnitude and direction.
    Weights,
    /// All channels of all frames together.
    Together,
}

/// A convolution that gives a frame for each `stride` frames of a row, however many there are.
#[derive(Debug, Clone)]
pub(super) struct Padded {
    pub(super) inner: Convolution,
    pub(super) norm: Option<GroupNorm>,
    /// Frames that each result is computed from, and from one result's first to that of the next.
    pub(super) window: [usize; 2],
    pub(super) is_causal: bool,
    pub(super) padding: Padding,
}

/// One of a stack.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    Block(Box<Block>),
    Convolution(Padded),
    Elu,
    Lstm(Lstm),
    Transposed { inner: TransposedConvolution, after: Option<Normed> },
}

/// A residual block.
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) convolutions: [Padded; 2],
    pub(super) shortcut: Option<Padded>,
}

/// A norm, which sees the frames that are cut off after it.
#[derive(Debug, Clone)]
pub(super) struct Normed {
    norm: GroupNorm,
    cut: [usize; 2],
}

/// Layers one after the other.
#[derive(Debug, Clone)]
pub(super) struct Seanet(pub(super) Vec<Layer>);

impl Seanet {
    /// The half that makes frames of samples. Reads `layers.*` from the scope.
    pub(super) fn encoder(config: &SeanetConfig, weights: &Weights) -> Result<Self> {
        let mut stack = Stack::new(config, weights);
        let mut channels = config.filters;
        stack.convolution([config.channels, channels], config.kernel, 1)?;
        for &ratio in config.ratios.iter().rev() {
            stack.blocks(channels)?;
            stack.elu();
            stack.convolution([channels, 2 * channels], 2 * ratio, ratio)?;
            channels *= 2;
        }
        stack.lstm(channels)?;
        stack.elu();
        stack.convolution([channels, config.hidden_size], config.last_kernel, 1)?;
        Ok(Self(stack.layers))
    }

    /// The half that makes samples of frames. Reads `layers.*` from the scope.
    pub(super) fn decoder(config: &SeanetConfig, weights: &Weights) -> Result<Self> {
        let mut stack = Stack::new(config, weights);
        let mut channels = config.filters << config.ratios.len();
        stack.convolution([config.hidden_size, channels], config.kernel, 1)?;
        stack.lstm(channels)?;
        for &ratio in &config.ratios {
            stack.elu();
            stack.transposed([channels, channels / 2], ratio)?;
            channels /= 2;
            stack.blocks(channels)?;
        }
        stack.elu();
        stack.convolution([config.filters, config.channels], config.last_kernel, 1)?;
        Ok(Self(stack.layers))
    }

    /// One row, `(samples, channels)` to `(frames, hidden)` or the other way round.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.0 {
            x = match layer {
                Layer::Block(block) => {
                    let Block { convolutions: [first, second], shortcut } = &**block;
                    let y = second.forward(&elu(&first.forward(&elu(&x)?)?)?)?;
                    match shortcut {
                        Some(shortcut) => (shortcut.forward(&x)? + y)?,
                        None => (x + y)?,
                    }
                }
                Layer::Convolution(convolution) => convolution.forward(&x)?,
                Layer::Elu => elu(&x)?,
                Layer::Lstm(lstm) => (lstm.forward(&x)? + x)?,
                Layer::Transposed { inner, after: None } => inner.forward(&x)?,
                Layer::Transposed { inner, after: Some(Normed { norm, cut: [left, right] }) } => {
                    let y = norm.forward(&inner.forward(&x)?)?;
                    let frames = y.dim(0)?.saturating_sub(left + right);
                    y.narrow(0, *left, frames)?.contiguous()?
                }
            };
        }
        Ok(x)
    }
}

/// The layers so far.
struct Stack<'a> {
    config: &'a SeanetConfig,
    weights: &'a Weights,
    layers: Vec<Layer>,
    /// How many of the checkpoint's.
    number: usize,
}

impl<'a> Stack<'a> {
    fn new(config: &'a SeanetConfig, weights: &'a Weights) -> Self {
        Self { config, weights, layers: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> String {
        self.number += 1;
        format!("layers.{}", self.number - 1)
    }

    fn convolution(&mut self, channels: [usize; 2], kernel: usize, stride: usize) -> Result<()> {
        let name = self.next();
        let config = ConvolutionConfig::new(channels, kernel, Bias::Present).stride(stride);
        let layer = Padded::load(self.weights, &name, config, self.config)?;
        self.layers.push(Layer::Convolution(layer));
        Ok(())
    }

    fn elu(&mut self) {
        self.number += 1;
        self.layers.push(Layer::Elu);
    }

    fn lstm(&mut self, channels: usize) -> Result<()> {
        if self.config.lstm_layers == 0 {
            return Ok(());
        }
        let name = format!("{}.lstm", self.next());
        let config = LstmConfig {
            inputs: channels,
            hidden: channels,
            layers: self.config.lstm_layers,
            is_bidirectional: false,
        };
        self.layers.push(Layer::Lstm(Lstm::load(self.weights, &name, config)?));
        Ok(())
    }

    fn blocks(&mut self, channels: usize) -> Result<()> {
        let SeanetConfig { residual_kernel, compress, dilation_growth, residual_layers, .. } =
            *self.config;
        let mut dilation = 1_usize;
        for _ in 0..residual_layers {
            let name = self.next();
            let load = |part: &str, config| {
                Padded::load(self.weights, &format!("{name}.{part}"), config, self.config)
            };
            let narrow = channels / compress.max(1);
            let config = |channels, kernel| ConvolutionConfig::new(channels, kernel, Bias::Present);
            let first = config([channels, narrow], residual_kernel).dilation(dilation);
            let block = Block {
                convolutions: [
                    load("block.1", first)?,
                    load("block.3", config([narrow, channels], 1))?,
                ],
                shortcut: match self.config.shortcut {
                    Shortcut::Convolution => {
                        Some(load("shortcut", config([channels, channels], 1))?)
                    }
                    Shortcut::Identity => None,
                },
            };
            self.layers.push(Layer::Block(Box::new(block)));
            dilation = dilation.saturating_mul(dilation_growth);
        }
        Ok(())
    }

    fn transposed(&mut self, channels: [usize; 2], ratio: usize) -> Result<()> {
        let name = self.next();
        let cut = cut(self.config.sight, ratio);
        let config = TransposedConfig::new(channels, 2 * ratio, ratio, 0, Bias::Present);
        let after = norm(self.weights, &name, channels[1], self.config.norm)?;
        let after = after.map(|norm| Normed { norm, cut });
        let cut = if after.is_some() { [0, 0] } else { cut };
        let inner = weight_norm::transposed(
            self.weights,
            &format!("{name}.conv"),
            TransposedConfig { cut, ..config },
        )?;
        self.layers.push(Layer::Transposed { inner, after });
        Ok(())
    }
}

/// What a transposed convolution of twice its stride makes too many, at the beginning and at the end.
pub(super) fn cut(sight: Sight, stride: usize) -> [usize; 2] {
    let right = match sight {
        Sight::Causal { trim_right_ratio } => (stride as f64 * trim_right_ratio).ceil() as usize,
        Sight::Both => stride / 2,
    };
    [stride - right.min(stride), right.min(stride)]
}

fn norm(
    weights: &Weights,
    name: &str,
    channels: usize,
    norm: SeanetNorm,
) -> Result<Option<GroupNorm>> {
    match norm {
        SeanetNorm::Weights => Ok(None),
        SeanetNorm::Together => {
            GroupNorm::load(weights, &format!("{name}.norm"), channels, 1, 1e-5).map(Some)
        }
    }
}

impl Padded {
    /// Reads `name.conv` and perhaps `name.norm`. What the config says of padding is of no account.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        config: ConvolutionConfig,
        of: &SeanetConfig,
    ) -> Result<Self> {
        let reach = (config.kernel - 1).saturating_mul(config.dilation).saturating_add(1);
        if reach < config.stride {
            return Err(Error::unsupported(format!("a convolution that skips frames: {config:?}")));
        }
        Ok(Self {
            inner: weight_norm::convolution(weights, &format!("{name}.conv"), config)?,
            norm: norm(weights, name, config.out_channels, of.norm)?,
            window: [reach, config.stride],
            is_causal: matches!(of.sight, Sight::Causal { .. }),
            padding: of.padding,
        })
    }

    /// With something else beyond the ends.
    pub(super) fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// Frames beyond the ends that results see of a row of whole strides.
    pub(super) fn ends(&self) -> [usize; 2] {
        let [reach, stride] = self.window;
        let total = reach - stride;
        let right = if self.is_causal { 0 } else { total / 2 };
        [total - right, right]
    }

    /// One row, `(frames, channels)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ([_, stride], [left, right]) = (self.window, self.ends());
        let frames = x.dim(0)?;
        // So many that every frame is in a result.
        let extra = frames.div_ceil(stride) * stride - frames;
        let y = self.inner.forward(&padded(x, [left, right + extra], self.padding)?)?;
        match &self.norm {
            Some(norm) => norm.forward(&y),
            None => Ok(y),
        }
    }
}

/// `(frames, channels)` with so many more at either end.
pub(super) fn padded(x: &Tensor, [left, right]: [usize; 2], padding: Padding) -> Result<Tensor> {
    if [left, right] == [0, 0] {
        return Ok(x.clone());
    }
    let frames = x.dim(0)?;
    let place = |at: usize| -> Option<usize> {
        match padding {
            Padding::Zeros => at.checked_sub(left).filter(|&at| at < frames),
            Padding::Replicate => Some(at.saturating_sub(left).min(frames - 1)),
            Padding::Reflect => {
                // A short row is filled up with zeros on its right, which are cut off again afterwards.
                let filled = frames.max(left.max(right) + 1);
                let at = at.abs_diff(left);
                let at = if at < filled { at } else { 2 * (filled - 1) - at };
                Some(at).filter(|&at| at < frames)
            }
        }
    };
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        let zeros = Tensor::zeros((1, x.dim(1)?), x.dtype(), x.device())?;
        let places = (0..left + frames + right).map(|at| place(at).unwrap_or(frames) as u32);
        let places = Tensor::from_iter(places, x.device())?;
        return Ok(Tensor::cat(&[x, &zeros], 0)?.index_select(&places, 0)?);
    }
    let channels = x.dim(1)?;
    let mut out = vec![0.0; (left + frames + right) * channels];
    with_f32(&x.contiguous()?, |x| {
        out[left * channels..(left + frames) * channels].copy_from_slice(x);
        let ends = (0..left).chain(left + frames..left + frames + right);
        for (at, from) in ends.filter_map(|at| place(at).map(|from| (at, from))) {
            out[at * channels..(at + 1) * channels]
                .copy_from_slice(&x[from * channels..(from + 1) * channels]);
        }
    })?;
    Ok(Tensor::from_vec(out, (left + frames + right, channels), x.device())?)
}

pub(super) fn elu(x: &Tensor) -> Result<Tensor> {
    Ok(x.elu(1.0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn ends_are_those_of_the_reference() -> Result<()> {
        let x = Tensor::new(&[[1_f32], [2.0], [3.0]], &Device::Cpu)?;
        let with = |ends, padding| -> Result<Vec<f32>> {
            Ok(padded(&x, ends, padding)?.flatten_all()?.to_vec1()?)
        };
        assert_eq!(with([2, 1], Padding::Zeros)?, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(with([2, 1], Padding::Replicate)?, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(with([2, 2], Padding::Reflect)?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
        // `_pad1d` of modeling_encodec.py: pad (0, 2), then reflect (4, 1), then cut off the last 2.
        assert_eq!(with([4, 1], Padding::Reflect)?, [0.0, 0.0, 3.0, 2.0, 1.0, 2.0, 3.0, 0.0]);
        assert_eq!(with([0, 3], Padding::Reflect)?, [1.0, 2.0, 3.0, 0.0, 3.0, 2.0]);
        Ok(())
    }
}
