//! HiFi-GAN: from frames of a spectrogram to samples. <https://arxiv.org/abs/2010.05646>

mod pieces;

use candle_core::{D, DType, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::lists::{nested_sizes, sizes};
use crate::nn::activation::leaky_relu;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::parts::{Frames, in_parts};
use crate::nn::residual::join;
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::nn::weight_norm;
use crate::weights::{Bias, Weights};

/// The sizes of a HiFi-GAN.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct HifiGanConfig {
    /// Channels of a frame that goes in.
    pub(super) in_channels: usize,
    /// Channels after the first convolution; halved by each upsampling.
    pub(super) channels: usize,
    /// Of each upsampling: how many frames become of one, and the kernel.
    pub(super) upsamples: Vec<(usize, usize)>,
    /// The kernels of the residual blocks behind each upsampling, and the dilations in each block.
    pub(super) blocks: Vec<(usize, Vec<usize>)>,
    /// Of leaky ReLUs, but for the last.
    pub(super) slope: f64,
    /// Whether the last convolution has a bias.
    pub(super) last_bias: bool,
    /// The width of a speaker's embedding that is added after the first convolution; 0 without.
    pub(super) speaker: usize,
    /// What the checkpoint calls some parts.
    pub(super) names: HifiGanNames,
}

/// What a checkpoint calls the parts whose names differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct HifiGanNames {
    /// The upsamplings.
    pub(super) upsampler: &'static str,
    /// From a speaker's embedding to what is added after the first convolution.
    pub(super) speaker: &'static str,
    /// From a speaker's embedding to what is added after each upsampling; `None` where nothing is: XTTS.
    pub(super) speakers: Option<&'static str>,
}

/// As in transformers.
const NAMES: HifiGanNames =
    HifiGanNames { upsampler: "upsampler", speaker: "cond", speakers: None };

impl HifiGanConfig {
    /// Reads the fields that VITS and SpeechT5's vocoder have in common, with the defaults given for upsamplings.
    pub(super) fn read(
        raw: &RawConfig,
        in_channels: usize,
        [rates, kernels]: [&[usize]; 2],
    ) -> Result<Self> {
        let rates = sizes(raw, "upsample_rates", rates)?;
        let kernels = sizes(raw, "upsample_kernel_sizes", kernels)?;
        let block_kernels = sizes(raw, "resblock_kernel_sizes", &[3, 7, 11])?;
        let dilations = nested_sizes(raw, "resblock_dilation_sizes", &[[1, 3, 5].as_slice(); 3])?;
        let channels = raw.optional_size("upsample_initial_channel")?.unwrap_or(512);
        if rates.len() != kernels.len() {
            return Err(
                raw.refuse("upsample_kernel_sizes", "as many as `upsample_rates` are wanted")
            );
        }
        if rates.iter().zip(&kernels).any(|(rate, kernel)| rate > kernel) {
            return Err(raw.refuse("upsample_kernel_sizes", "each should be at least its rate"));
        }
        let halvings = u32::try_from(rates.len()).unwrap_or(u32::MAX);
        if 1_usize.checked_shl(halvings).is_none_or(|least| least > channels) {
            return Err(raw.refuse("upsample_initial_channel", "each upsampling halves it"));
        }
        if rates.iter().try_fold(1_usize, |product, rate| product.checked_mul(*rate)).is_none() {
            return Err(raw.refuse("upsample_rates", "their product is absurd"));
        }
        if block_kernels.len() != dilations.len() {
            let reason = "as many lists as `resblock_kernel_sizes` has numbers are wanted";
            return Err(raw.refuse("resblock_dilation_sizes", reason));
        }
        let slope = raw.number("leaky_relu_slope", 0.1)?;
        if !(0.0..=1.0).contains(&slope) {
            return Err(raw.refuse("leaky_relu_slope", "it should be between 0 and 1"));
        }
        Ok(Self {
            in_channels,
            channels,
            upsamples: rates.into_iter().zip(kernels).collect(),
            blocks: block_kernels.into_iter().zip(dilations).collect(),
            slope,
            last_bias: true,
            speaker: 0,
            names: NAMES,
        })
    }

    /// Samples of a frame.
    pub(super) fn hop(&self) -> usize {
        self.upsamples.iter().map(|(rate, _)| rate).product()
    }
}

/// Samples per second of what makes sound, 16000 by default.
pub(super) fn sampling_rate(raw: &RawConfig) -> Result<u32> {
    let rate = raw.optional_size("sampling_rate")?.unwrap_or(16_000);
    let rate = u32::try_from(rate).ok().filter(|rate| *rate <= MOST_RATE);
    let reason = || format!("at most {MOST_RATE} samples per second are supported");
    rate.ok_or_else(|| raw.refuse("sampling_rate", reason()))
}

/// A HiFi-GAN with its weights.
#[derive(Debug)]
pub(super) struct HifiGan {
    first: Convolution,
    speaker: Option<Convolution>,
    stages: Vec<Stage>,
    last: Convolution,
    slope: f32,
}

/// An upsampling, and the residual blocks whose mean follows.
#[derive(Debug)]
struct Stage {
    upsample: TransposedConvolution,
    speaker: Option<Convolution>,
    blocks: Vec<ResidualBlock>,
    /// Frames before and after one that the blocks' results for it are computed from, at most.
    reach: usize,
}

#[derive(Debug)]
struct ResidualBlock {
    /// Each a dilated convolution and, but for the small version of the network, a plain one.
    steps: Vec<Vec<Convolution>>,
}

impl HifiGan {
    pub(super) fn load(weights: &Weights, config: &HifiGanConfig) -> Result<Self> {
        let same = |channels: [usize; 2], kernel: usize, dilation: usize, bias: bool| {
            ConvolutionConfig::new(channels, kernel, Bias::from(bias))
                .dilation(dilation)
                .padding((kernel * dilation - dilation) / 2)
        };
        let (mut channels, names) = (config.channels, config.names);
        let first = same([config.in_channels, channels], 7, 1, true);
        let speaker = match config.speaker {
            0 => None,
            size => {
                let config = same([size, channels], 1, 1, true);
                Some(Convolution::load(weights, names.speaker, config)?)
            }
        };
        let mut stages = Vec::new();
        for (number, &(rate, kernel)) in config.upsamples.iter().enumerate() {
            let upsample =
                upsampling(&weights.scope(names.upsampler), number, channels, [rate, kernel])?;
            channels /= 2;
            let block = |(at, (kernel, dilations)): (usize, &(usize, Vec<usize>))| {
                let scope = weights.scope("resblocks").scope(number * config.blocks.len() + at);
                // A weight may be stored in parts, a bias is not.
                let second = scope.scope("convs2");
                let is_small = !second.contains("0") && !second.contains("0.bias");
                let step = |(at, &dilation): (usize, &usize)| -> Result<Vec<Convolution>> {
                    let load = |list: &str, dilation: usize| {
                        let config = same([channels; 2], *kernel, dilation, true);
                        weight_norm::convolution(&scope.scope(list), &at.to_string(), config)
                    };
                    let dilated = load("convs1", dilation)?;
                    Ok(if is_small { vec![dilated] } else { vec![dilated, load("convs2", 1)?] })
                };
                let steps = dilations.iter().enumerate().map(step).collect::<Result<_>>()?;
                Ok(ResidualBlock { steps })
            };
            let blocks = config.blocks.iter().enumerate().map(block).collect::<Result<_>>()?;
            // A block's convolutions reach beyond a frame one after the other.
            let beyond = |(kernel, dilations): &(usize, Vec<usize>)| {
                let of_step = |dilation: &usize| (kernel - 1) / 2 * (dilation + 1);
                dilations.iter().map(of_step).sum::<usize>()
            };
            let reach = config.blocks.iter().map(beyond).max().unwrap_or(0);
            let speaker = names.speakers.map(|name| {
                let config = same([config.speaker, channels], 1, 1, true);
                Convolution::load(&weights.scope(name), &number.to_string(), config)
            });
            stages.push(Stage { upsample, speaker: speaker.transpose()?, blocks, reach });
        }
        Ok(Self {
            first: Convolution::load(weights, "conv_pre", first)?,
            speaker,
            stages,
            last: Convolution::load(
                weights,
                "conv_post",
                same([channels, 1], 7, 1, config.last_bias),
            )?,
            slope: config.slope as f32,
        })
    }

    /// Frames of a spectrogram, `(frames, in_channels)`, and a speaker's embedding `(1, speaker)`, to samples.
    pub(super) fn forward(&self, frames: &Tensor, speaker: Option<&Tensor>) -> Result<Vec<f32>> {
        let mut x = self.first.forward(frames)?;
        if let (Some(layer), Some(speaker)) = (&self.speaker, speaker) {
            x = x.broadcast_add(&layer.forward(speaker)?)?;
        }
        for stage in &self.stages {
            x = stage.forward(&x, self.slope, speaker)?;
        }
        let x = self.last.forward(&leaky_relu(&x, LAST_SLOPE)?)?;
        Ok(x.tanh()?.squeeze(D::Minus1)?.to_dtype(DType::F32)?.to_vec1()?)
    }
}

impl Stage {
    /// `(frames, channels)` to `(rate * frames, channels / 2)`.
    fn forward(&self, x: &Tensor, slope: f32, speaker: Option<&Tensor>) -> Result<Tensor> {
        let (frames, channels) = x.dims2()?;
        let speaker = match (&self.speaker, speaker) {
            (Some(layer), Some(speaker)) => Some(layer.forward(speaker)?),
            _ => None,
        };
        let compute = |x: &Tensor| -> Result<Tensor> {
            let x = self.upsample.forward(&leaky_relu(x, slope)?)?;
            let x = match &speaker {
                Some(speaker) => x.broadcast_add(speaker)?,
                None => x,
            };
            mean(&self.blocks, |block| block.forward(&x, slope))
        };
        let rate = self.upsample.stride();
        if self.upsample.frames(frames) != frames * rate {
            return compute(x);
        }
        let beside = self.reach + rate * self.upsample.reach();
        in_parts(x, Frames { rate, width: channels / 2, beside }, compute)
    }
}

/// An upsampling: each frame becomes `rate` of half as many channels.
pub(super) fn upsampling(
    weights: &Weights,
    number: usize,
    channels: usize,
    [rate, kernel]: [usize; 2],
) -> Result<TransposedConvolution> {
    let padding = (kernel - rate) / 2;
    let config =
        TransposedConfig::new([channels, channels / 2], kernel, rate, padding, Bias::Present);
    weight_norm::transposed(weights, &number.to_string(), config)
}

/// The mean of what the residual blocks behind an upsampling give.
pub(super) fn mean<T>(blocks: &[T], forward: impl Fn(&T) -> Result<Tensor>) -> Result<Tensor> {
    let (first, others) = blocks
        .split_first()
        .ok_or_else(|| Error::input("an upsampling without residual blocks"))?;
    let sum =
        others.iter().try_fold(forward(first)?, |sum, block| join(&sum, forward(block)?, None))?;
    Ok((sum / blocks.len() as f64)?)
}

impl ResidualBlock {
    fn forward(&self, x: &Tensor, slope: f32) -> Result<Tensor> {
        let mut x = x.clone();
        for step in &self.steps {
            let mut y = x.clone();
            for convolution in step {
                y = convolution.forward(&leaky_relu(&y, slope)?)?;
            }
            x = join(&x, y, None)?;
        }
        Ok(x)
    }
}

/// PyTorch's default, which the reference leaves in place before the last convolution.
const LAST_SLOPE: f32 = 0.01;
/// Samples per second.
const MOST_RATE: u32 = 1 << 18;
